"""Choose the mask's defaults: AUROC against known filler on `chains`, deletion and insertion on GSM8K with SmolLM2.

    python benchmarks/defaults.py chains             # 200 dev stories, minutes
    python benchmarks/defaults.py gsm8k --limit 12   # worked solutions of dev rows, about 20 minutes on 2 cores

Prints a table and writes benchmarks/results/defaults-PART.json. Only dev rows are used: nothing here is a test result.
"""

import argparse
import json
import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.metrics import roc_auc_score

from atmanrl.batch import TraceBatch
from atmanrl.logprobs import AnswerScorer
from atmanrl.mask import MaskConfig, learn_mask
from atmanrl.model_state import frozen
from atmanrl.models import load_model
from atmanrl.saliency import Saliency, tokens_by_span
from atmanrl.tasks import GSM8K, Chains, Example
from atmanrl.tasks.chains import wordy_reasoning
from atmanrl.trace import Trace

RESULTS = Path(__file__).parent / "results"
SHARES = (0.05, 0.1, 0.2, 0.3, 0.5)

BASE = MaskConfig()
GRID: dict[str, MaskConfig] = {
    "default": BASE,
    **{f"{n} passes": replace(BASE, passes=n) for n in (6, 10, 20)},
    "plain Adam, 200 passes": replace(BASE, passes=200),
    "plain Adam, 15 passes at 0.5": replace(BASE, steps=15, learning_rate=0.5),
    "scope answer": replace(BASE, scope="answer"),
    "parametrisation free": replace(BASE, parametrisation="free"),
    "start -2": replace(BASE, start=-2.0),
    **{f"sparsity {s}": replace(BASE, sparsity=s) for s in (0.0025, 0.025, 0.05, 0.1, 0.4)},
}


def chains_traces(
    tokenizer: Any,
    split: str,
    count: int,
    seed: int,
    task: Chains | None = None,
    write: Callable[[Example, random.Random], str] = wordy_reasoning,
) -> tuple[list[Trace], list[list[bool]]]:
    """Traces of wordy stories (of `chains`), and for each token whether it belongs to a needed equation."""
    task, rng = task or Chains(), random.Random(seed)
    traces, needed = [], []
    for example in task.examples(split, count):
        reasoning = write(example, rng)
        trace = Trace.from_text(tokenizer, task.prompt(example), reasoning, task.cue, task.answer_text(example))
        filler = tokens_by_span(trace.reasoning_tokens, task.filler_spans(example, reasoning))
        inside = {i for members in filler for i in members}
        traces.append(trace)
        needed.append([i not in inside for i in range(len(trace.reasoning))])
    return traces, needed


def chains_scores(saliencies: list[Saliency], needed: list[list[bool]]) -> dict[str, float]:
    """AUROC of needed over filler: sentences (mean of their gates) and tokens, pooled over the traces."""
    sentence_truth, sentence_score, token_truth, token_score = [], [], [], []
    for saliency, truth in zip(saliencies, needed, strict=True):
        for sentence in saliency.by_sentence():
            sentence_truth.append(truth[sentence.first_token])
            sentence_score.append(sentence.saliency)
        token_truth += truth
        token_score += saliency.gates
    return {
        "auroc_sentence": float(roc_auc_score(sentence_truth, sentence_score)),
        "auroc_token": float(roc_auc_score(token_truth, token_score)),
        "density": float(np.mean([s.density for s in saliencies])),
        "gate_p50": float(np.quantile(token_score, 0.5)),
        "gate_p95": float(np.quantile(token_score, 0.95)),
    }


def curves(model: Any, trace: Trace, scores: Sequence[float]) -> tuple[float, float]:
    """Mean answer log-probability (nats) over `SHARES` with the top tokens closed, and with only they open."""
    order = sorted(range(len(scores)), key=lambda i: -scores[i])
    batch = TraceBatch.of([trace], next(model.parameters()).device)
    columns = batch.reasoning[0].nonzero()[:, 0]
    with frozen(model), torch.no_grad():
        scorer = AnswerScorer(model, batch, "all")
        closed = scorer.closed_mask[0]
        gone, only = [], []
        for share in SHARES:
            chosen = torch.zeros_like(batch.reasoning[0])
            chosen[columns[order[: max(1, round(share * len(order)))]]] = True
            gone.append(torch.where(chosen, closed, 0.0))
            only.append(torch.where(chosen, 0.0, closed))
        values = scorer(torch.stack([*gone, *only])).tolist()
    return float(np.mean(values[: len(SHARES)])), float(np.mean(values[len(SHARES) :]))


def run_chains(args: argparse.Namespace) -> Iterator[dict[str, Any]]:
    model, tokenizer = load_model("tiny", device="cpu")
    traces, needed = chains_traces(tokenizer, "dev", args.limit or 200, args.seed)
    for name, config in GRID.items():
        started = time.perf_counter()
        saliencies = learn_mask(model, traces, replace(config, max_tokens=16384))
        seconds = (time.perf_counter() - started) / len(traces)
        yield {"name": name, **chains_scores(saliencies, needed), "seconds": seconds, "config": asdict(config)}


def run_gsm8k(args: argparse.Namespace) -> Iterator[dict[str, Any]]:
    model, tokenizer = load_model("smollm2", device="cpu")
    task = GSM8K()
    traces = [
        Trace.from_text(tokenizer, task.prompt(e), e.reasoning or "", task.cue, task.answer_text(e))
        for e in task.examples("dev", args.limit or 12)
    ]
    rng = random.Random(args.seed)
    at_random = [curves(model, t, [rng.random() for _ in t.reasoning]) for t in traces]
    yield {"name": "random", **_areas(at_random), "seconds": 0.0}
    for name, config in GRID.items():
        started = time.perf_counter()
        saliencies = [learn_mask(model, trace, config) for trace in traces]
        seconds = (time.perf_counter() - started) / len(traces)
        areas = [curves(model, t, list(s.gates)) for t, s in zip(traces, saliencies, strict=True)]
        gates = {"density": float(np.mean([s.density for s in saliencies]))}
        yield {"name": name, **_areas(areas), **gates, "seconds": seconds, "config": asdict(config)}


def _areas(areas: list[tuple[float, float]]) -> dict[str, float]:
    return {"deletion": float(np.mean([a for a, _ in areas])), "insertion": float(np.mean([b for _, b in areas]))}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=("chains", "gsm8k"))
    parser.add_argument("--limit", type=int)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    rows = []
    for row in (run_chains if args.part == "chains" else run_gsm8k)(args):
        rows.append(row)
        figures = "  ".join(f"{k} {v:.3f}" for k, v in row.items() if isinstance(v, float))
        print(f"{row['name']:34s} {figures}", flush=True)
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / f"defaults-{args.part}.json").write_text(json.dumps({"seed": args.seed, "rows": rows}, indent=1))


if __name__ == "__main__":
    main()
