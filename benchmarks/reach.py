"""What the README states, measured: the bundled model, its masks, and `explain` with SmolLM2 on GSM8K.

    python benchmarks/reach.py tiny      # accuracy with and without reasoning, filler, AUROC
    python benchmarks/reach.py explain   # 50 GSM8K test questions: seconds, memory, result in top five
    python benchmarks/reach.py demo      # the demo: filler, accuracy, density before and after, seconds
    python benchmarks/reach.py train     # two GRPO steps of SmolLM2 on GSM8K: masks of its own completions

Prints the figures and writes benchmarks/results/reach-PART.json (reach-PART-SEED.json for another seed than 0).
"""

import argparse
import json
import random
import re
import resource
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from defaults import chains_scores, chains_traces

from atmanrl.callbacks import read_metrics
from atmanrl.demo import QUICK, run_demo
from atmanrl.evaluation import evaluate
from atmanrl.explanation import explain
from atmanrl.generation import Decoding, generate
from atmanrl.mask import MaskConfig, learn_mask
from atmanrl.models import load_model
from atmanrl.recipe import load_recipe
from atmanrl.statistics import mean_with_interval
from atmanrl.tasks import GSM8K, Chains
from atmanrl.trace import completion_text, prompt_ids
from atmanrl.training import train

RESULTS = Path(__file__).parent / "results"
FAST = MaskConfig(max_tokens=16384)


def tiny(seed: int) -> dict[str, Any]:
    model, tokenizer = load_model("tiny", device="cpu")
    task = Chains()
    examples = task.examples("test", 1000)
    sampled = evaluate(
        model, tokenizer, task, examples, decoding=Decoding(1.0, 96), mask=FAST, seed=seed, measures=QUICK, chunk=1000
    )
    forced = [prompt_ids(tokenizer, task.prompt(e) + task.cue) for e in examples]
    answers = [completion_text(tokenizer, ids).split(".")[0] for ids in generate(model, tokenizer, forced, 16)]
    without = [float(task.check(a, e.answer)) for a, e in zip(answers, examples, strict=True)]
    traces, needed = chains_traces(tokenizer, "test", 200, seed)
    saliencies = learn_mask(model, traces, FAST)
    metrics = {k: sampled.metrics[k] for k in ("accuracy", "filler_share", "reasoning_tokens", "density", "reliance")}
    metrics["accuracy_without_reasoning"] = mean_with_interval(without, seed)
    figures = {k: {"value": m.value, "ci95": m.ci95, "n": m.n} for k, m in metrics.items()}
    return {"parameters": model.num_parameters(), **figures, "masks": chains_scores(saliencies, needed)}


def explain_gsm8k(seed: int, count: int = 50, split: str = "test") -> dict[str, Any]:
    model, tokenizer = load_model("smollm2", device="cpu")
    task, rng = GSM8K(), random.Random(seed)
    hits, by_chance, seconds = [], [], []
    for index, example in enumerate(task.examples(split, count)):
        started = time.perf_counter()
        saliency = explain(model, tokenizer, task, example, reasoning_from="reference").saliency
        seconds.append(time.perf_counter() - started)
        inside = result_tokens(saliency.token_spans(), saliency.text, example.answer)
        best = sorted(range(len(saliency.gates)), key=lambda i: -saliency.gates[i])[:5]
        drawn = [set(rng.sample(range(len(saliency.gates)), min(5, len(saliency.gates)))) for _ in range(200)]
        hits.append(float(bool(inside & set(best))))
        by_chance.append(float(np.mean([bool(inside & d) for d in drawn])))
        print(f"{index:3d}  {seconds[-1]:5.1f} s  hit {hits[-1]:.0f}  by chance {by_chance[-1]:.2f}", flush=True)
    hit, chance = mean_with_interval(hits, seed), mean_with_interval(by_chance, seed)
    return {
        "result_in_top_five": {"value": hit.value, "ci95": hit.ci95, "n": hit.n},
        "random": {"value": chance.value, "ci95": chance.ci95, "n": chance.n},
        "seconds_mean": float(np.mean(seconds)),
        "seconds_max": max(seconds),
        "peak_memory_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2,
    }


def demo(seed: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        summary = run_demo(f"{folder}/demo", seed)
    before, after = summary["before"], summary["after"]
    return {
        **summary,
        "filler_down": 1 - after["filler_share"] / before["filler_share"],
        "accuracy_points": 100 * (after["accuracy"] - before["accuracy"]),
        "density_ratio": after["density"] / before["density"],
    }


def train_smollm2(seed: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        overrides = {"output_dir": f"{folder}/run", "seed": seed, "device": "cpu", "grpo.max_steps": 2}
        started = time.perf_counter()
        train(load_recipe("smollm2-gsm8k", overrides))
        seconds = time.perf_counter() - started
        logged = [row for row in read_metrics(Path(folder) / "run" / "metrics.jsonl") if "loss" in row]
    keys = ("outcome/computed", "saliency/computed", "saliency/reliance", "saliency/density", "step_time")
    return {"seconds": seconds, "steps": [{key: row.get(key) for key in keys} for row in logged]}


def result_tokens(spans: list[tuple[int, int]], text: str, answer: str) -> set[int]:
    """Tokens that overlap an occurrence of the final result in the reasoning."""
    plain = re.escape(answer.replace(",", ""))
    places = [m.span() for form in {re.escape(answer), plain} for m in re.finditer(rf"(?<![\d.]){form}(?!\d)", text)]
    return {i for i, (start, end) in enumerate(spans) for a, b in places if start < b and end > a}


PARTS = {"tiny": tiny, "explain": explain_gsm8k, "demo": demo, "train": train_smollm2}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=tuple(PARTS))
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    result = PARTS[args.part](args.seed)
    print(json.dumps(result, indent=1))
    RESULTS.mkdir(exist_ok=True)
    name = f"reach-{args.part}-{args.seed}" if args.seed else f"reach-{args.part}"
    (RESULTS / f"{name}.json").write_text(json.dumps({"seed": args.seed, **result}, indent=1) + "\n")


if __name__ == "__main__":
    main()
