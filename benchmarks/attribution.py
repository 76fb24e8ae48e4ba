"""The learned mask beside other attribution methods: AUROC on `chains`, deletion and insertion on GSM8K with SmolLM2.

    python benchmarks/attribution.py chains            # 200 test stories with known filler, minutes
    python benchmarks/attribution.py gsm8k --limit 20  # worked solutions of test rows, about half an hour on 2 cores

Deletion is the answer's mean log-probability with the top 5, 10, 20, 30, 50 % of the tokens gone, lower is better;
insertion with only they left, higher is better. `closed` hides their keys by attention, `removed` takes them out of the
text, `replaced` puts neutral tokens in their place. Areas are means over the shares, in nats, with 95 % intervals over
traces, and paired differences to the mask. Prints tables and writes benchmarks/results/attribution-PART.json; a stopped
run goes on where it was.
"""

import argparse
import json
import random
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from defaults import SHARES, chains_traces, curves
from sklearn.metrics import roc_auc_score

from atmanrl.attribution import METHODS, attribute
from atmanrl.faithfulness.filler_tokens import neutral_id
from atmanrl.forcing import Forcer, Request
from atmanrl.journal import Journal
from atmanrl.mask import MaskConfig, learn_mask
from atmanrl.models import load_model
from atmanrl.saliency import tokens_by_span, without_punctuation
from atmanrl.statistics import mean_with_interval, paired_difference
from atmanrl.tasks import GSM8K
from atmanrl.text import sentence_spans
from atmanrl.trace import Trace

RESULTS = Path(__file__).parent / "results"
MASKS = {"mask": MaskConfig(), "mask, scope answer": MaskConfig(scope="answer")}
NAMES = (*MASKS, *METHODS, "random")
AREAS = tuple(f"{kind} {way}" for way in ("closed", "removed", "replaced") for kind in ("deletion", "insertion"))


def scores_by(name: str, model: Any, trace: Trace, rng: random.Random) -> tuple[Sequence[float], float]:
    """Scores of a trace's reasoning tokens by one method, and the seconds that they took."""
    started = time.perf_counter()
    if name == "random":
        return [rng.random() for _ in trace.reasoning], 0.0
    if name in MASKS:
        scores: Sequence[float] = learn_mask(model, trace, MASKS[name]).gates
        return scores, time.perf_counter() - started
    found = attribute(model, [trace], name)[0]
    return found.scores, found.seconds


def areas(
    model: Any, forcer: Forcer, neutral: int, index: int, trace: Trace, scores: Sequence[float]
) -> dict[str, float]:
    """Deletion and insertion areas of one ranking, by closing keys and by editing the text."""
    order = sorted(range(len(scores)), key=lambda i: -scores[i])
    tops = [set(order[: max(1, round(share * len(order)))]) for share in SHARES]
    deletion, insertion = curves(model, trace, scores)
    closed = {"deletion closed": deletion, "insertion closed": insertion}
    return closed | _areas_edited(forcer, neutral, index, trace, tops)


def _areas_edited(forcer: Forcer, neutral: int, index: int, trace: Trace, tops: list[set[int]]) -> dict[str, float]:
    ids = trace.ids[trace.prompt_end : trace.reasoning_end]
    cue, answer = trace.ids[trace.reasoning_end : trace.cue_end], trace.ids[trace.cue_end :]
    requests, keys = [], []
    for top in tops:
        for kind, keep in (("deletion", False), ("insertion", True)):
            removed = [token for i, token in enumerate(ids) if (i in top) == keep]
            replaced = [token if (i in top) == keep else neutral for i, token in enumerate(ids)]
            requests += [Request(index, (*removed, *cue), answer), Request(index, (*replaced, *cue), answer)]
            keys += [f"{kind} removed", f"{kind} replaced"]
    found: dict[str, list[float]] = {}
    for key, result in zip(keys, forcer.force(requests), strict=True):
        found.setdefault(key, []).append(result.logprob)
    return {key: float(np.mean(values)) for key, values in found.items()}


def run_gsm8k(args: argparse.Namespace) -> dict[str, Any]:
    model, tokenizer = load_model("smollm2", device="cpu")
    task = GSM8K()
    traces = [
        Trace.from_text(tokenizer, task.prompt(e), e.reasoning or "", task.cue, task.answer_text(e))
        for e in task.examples(args.split, args.limit)
    ]
    forcer = Forcer(model, tokenizer, [trace.ids[: trace.prompt_end] for trace in traces], max_tokens=8192)
    neutral = neutral_id(tokenizer)
    facts = {"split": args.split, "seed": args.seed, "masks": {name: asdict(config) for name, config in MASKS.items()}}
    journal = Journal(RESULTS / "attribution-gsm8k.part.jsonl", facts)
    rows: dict[str, list[dict[str, float]]] = {name: [] for name in NAMES}
    for index, trace in enumerate(traces):
        for name in NAMES:
            key = f"{name} {index}"
            if key not in journal:
                rng = random.Random(f"{args.seed} {index}")
                scores, seconds = scores_by(name, model, trace, rng)
                row = {**areas(model, forcer, neutral, index, trace, scores), "seconds": seconds}
                journal.add(key, row)
            else:
                row = journal[key]
            rows[name].append(row)
        print(f"trace {index}: {len(trace.reasoning)} tokens", flush=True)
    results = []
    for name in NAMES:
        means = {key: mean_with_interval([row[key] for row in rows[name]], args.seed) for key in (*AREAS, "seconds")}
        differences = {
            key: paired_difference([row[key] for row in rows["mask"]], [row[key] for row in rows[name]], args.seed)
            for key in AREAS
        }
        results.append(
            {
                "name": name,
                **{key: asdict(metric) for key, metric in means.items()},
                "minus mask": {key: asdict(metric) for key, metric in differences.items()},
            }
        )
        print(f"{name:22s}" + "  ".join(f"{key} {means[key].value:.2f}" for key in means), flush=True)
    return {**facts, "n": len(traces), "tokens": float(np.mean([len(t.reasoning) for t in traces])), "rows": results}


def run_chains(args: argparse.Namespace) -> dict[str, Any]:
    model, tokenizer = load_model("tiny", device="cpu")
    traces, needed = chains_traces(tokenizer, args.split, args.limit, args.seed)
    results = [rule_row(traces, needed, args.seed)]
    for name in NAMES:
        scored = [scores_by(name, model, trace, random.Random(f"{args.seed} {i}")) for i, trace in enumerate(traces)]
        scores, seconds = [s for s, _ in scored], float(np.mean([t for _, t in scored]))
        row = {"name": name, **aurocs(traces, scores, needed, args.seed), "seconds": seconds}
        results.append(row)
        print(f"{name:22s} sentence {row['sentence']}  token {row['token']}  {seconds:.3f} s", flush=True)
    return {"split": args.split, "seed": args.seed, "n": len(traces), "rows": results}


def by_rule(trace: Trace) -> list[float]:
    """Without a model: what holds a number or a symbol is needed, words are not."""
    return [float(any(c.isdigit() or c in "+-*/=" for c in text)) for text in trace.reasoning_tokens]


def rule_row(traces: list[Trace], needed: list[list[bool]], seed: int) -> dict[str, Any]:
    """What the texts' form alone gives away: the least that a method has to be over."""
    rule = [by_rule(trace) for trace in traces]
    return {"name": "rule without a model", **aurocs(traces, list(rule), needed, seed), "seconds": 0.0}


def aurocs(
    traces: list[Trace], scores: list[Sequence[float]], needed: list[list[bool]], seed: int
) -> dict[str, dict[str, Any]]:
    """AUROC of needed equations over filler, by sentence (mean score without punctuation) and by token, pooled over
    the traces; intervals by a bootstrap of traces."""
    by_trace = []
    for trace, own, truth in zip(traces, scores, needed, strict=True):
        members = tokens_by_span(trace.reasoning_tokens, sentence_spans(trace.text(trace.reasoning)))
        counted = [(m[0], without_punctuation(trace.reasoning_tokens, m)) for m in members if m]
        sentences = [(truth[first], float(np.mean([own[i] for i in words]))) for first, words in counted]
        by_trace.append({"sentence": sentences, "token": list(zip(truth, own, strict=True))})
    rng, found = np.random.default_rng(seed), {}
    for kind in ("sentence", "token"):

        def auroc(chosen: Sequence[int], kind: str = kind) -> float:
            pairs = [pair for i in chosen for pair in by_trace[i][kind]]
            return float(roc_auc_score([truth for truth, _ in pairs], [score for _, score in pairs]))

        draws = [auroc(rng.integers(len(by_trace), size=len(by_trace))) for _ in range(200)]
        low, high = np.quantile(draws, [0.025, 0.975])
        found[kind] = {"value": auroc(range(len(by_trace))), "ci95": [float(low), float(high)]}
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=("chains", "gsm8k"))
    parser.add_argument("--limit", type=int)
    parser.add_argument("--split", default="test")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    args.limit = args.limit or (200 if args.part == "chains" else 20)
    result = (run_chains if args.part == "chains" else run_gsm8k)(args)
    name = f"attribution-{args.part}" + ("" if args.split == "test" else f"-{args.split}")
    (RESULTS / f"{name}.json").write_text(json.dumps(result, indent=1) + "\n")
    if args.part == "gsm8k":
        (RESULTS / "attribution-gsm8k.part.jsonl").unlink(missing_ok=True)


if __name__ == "__main__":
    main()
