"""What the README states, measured: the bundled model, its masks, and `explain` with SmolLM2 on GSM8K.

    python benchmarks/reach.py tiny      # accuracy with and without reasoning, filler, AUROC
    python benchmarks/reach.py explain   # 50 GSM8K test questions: seconds, memory, result in top five

Prints a table and writes benchmarks/results/reach-PART.json.
"""

import argparse
import json
import random
import re
import resource
import time
from pathlib import Path
from typing import Any

import numpy as np
from defaults import chains_scores, chains_traces

from atmanrl.evaluation import Decoding, evaluate, mean_with_interval
from atmanrl.explanation import explain
from atmanrl.generation import generate
from atmanrl.mask import MaskConfig, learn_mask
from atmanrl.models import load_model
from atmanrl.tasks import GSM8K, Chains
from atmanrl.trace import completion_text, prompt_ids

RESULTS = Path(__file__).parent / "results"
FAST = MaskConfig(max_tokens=16384)


def tiny(seed: int) -> dict[str, Any]:
    model, tokenizer = load_model("tiny", device="cpu")
    task = Chains()
    examples = task.examples("test", 1000)
    sampled = evaluate(model, tokenizer, task, examples, decoding=Decoding(1.0, 96), mask=FAST, seed=seed)
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


def result_tokens(spans: list[tuple[int, int]], text: str, answer: str) -> set[int]:
    """Tokens that overlap an occurrence of the final result in the reasoning."""
    plain = re.escape(answer.replace(",", ""))
    places = [m.span() for form in {re.escape(answer), plain} for m in re.finditer(rf"(?<![\d.]){form}(?!\d)", text)]
    return {i for i, (start, end) in enumerate(spans) for a, b in places if start < b and end > a}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=("tiny", "explain"))
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    result = (tiny if args.part == "tiny" else explain_gsm8k)(args.seed)
    print(json.dumps(result, indent=1))
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"reach-{args.part}.json").write_text(json.dumps({"seed": args.seed, **result}, indent=1) + "\n")


if __name__ == "__main__":
    main()
