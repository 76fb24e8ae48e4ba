"""Masks that follow the reasoning, beside those of the answer alone and beside step-by-step resampling.

    python benchmarks/following.py            # 200 test stories with filler; 4 minutes on 2 cores

Each story twice: `all values`, read by `tiny`, whose answer takes a number from every step; and `last value`, read by
the control `finisher` (tests/controls), whose answer is the last equation's result. What is needed is the same in both:
every token of every step. By method the AUROC of needed tokens over filler, by sentence (mean without punctuation) and
by token; which tokens of the steps are salient, by place from the last step back; seconds a trace. Writes
benchmarks/results/following.json.
"""

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from attribution import aurocs
from defaults import chains_traces

from atmanrl.generation import generate
from atmanrl.mask import MaskConfig, learn_mask
from atmanrl.models import load_model
from atmanrl.saliency import SALIENT_GATE, tokens_by_span
from atmanrl.statistics import mean_with_interval
from atmanrl.tasks import Chains
from atmanrl.text import sentence_spans
from atmanrl.trace import Trace

RESULTS = Path(__file__).parent / "results"
MODELS = {"all values": "tiny", "last value": str(Path(__file__).parents[1] / "tests" / "controls" / "finisher")}
WEIGHTS = (0.0, 0.1, 0.3, 1.0, 3.0)
SAMPLES = 8
RESAMPLED = 50
"""Stories that are resampled: it is the slowest by far."""


def last_value(tokenizer: Any, trace: Trace) -> Trace:
    """The same reasoning with the last value alone as its answer."""
    task = Chains()
    answer = f" {trace.text(trace.answer).split()[-1]}"
    return Trace.from_text(tokenizer, trace.text(trace.prompt), trace.text(trace.reasoning), task.cue, answer)


def resampled(model: Any, tokenizer: Any, trace: Trace, seed: int) -> list[float]:
    """Each sentence's counterfactual importance, given to its tokens: the share of continuations from before it that
    go on with another sentence and come to another answer (after Bogdan et al. 2025, "Thought Anchors")."""
    task, text = Chains(), trace.text(trace.reasoning)
    spans = sentence_spans(text)
    prompt, own = list(trace.ids[: trace.prompt_end]), trace.text(range(trace.reasoning_end, len(trace)))
    truth = task.parse(text + own)
    assert truth is not None
    wanted = (text + own)[truth.answer_start : truth.answer_end]
    members = tokens_by_span(trace.reasoning_tokens, spans)
    prefixes = [prompt + list(trace.ids[trace.prompt_end : trace.prompt_end + inside[0]]) for inside in members]
    written = generate(model, tokenizer, [p for p in prefixes for _ in range(SAMPLES)], 96, 1.0, seed)
    scores = [0.0] * len(trace.reasoning)
    for number, (inside, (start, end)) in enumerate(zip(members, spans, strict=True)):
        others = []
        for ids in written[number * SAMPLES : (number + 1) * SAMPLES]:
            new = text[:start] + tokenizer.decode(ids, skip_special_tokens=True)
            if not new.startswith(text[:end]):
                parsed = task.parse(new)
                others.append(parsed is None or not task.check(new[parsed.answer_start : parsed.answer_end], wanted))
        for i in inside:
            scores[i] = float(np.mean(others)) if others else 0.0
    return scores


def salient_by_step(
    traces: Sequence[Trace], scores: Sequence[Sequence[float]], needed: Sequence[Sequence[bool]]
) -> Any:
    """Share of the tokens that are salient, without full stops: of the last step, the one before, ...; of filler."""
    found: dict[str, list[bool]] = {}
    for trace, own, truth in zip(traces, scores, needed, strict=True):
        members = [m for m in tokens_by_span(trace.reasoning_tokens, sentence_spans(trace.text(trace.reasoning))) if m]
        steps = [m for m in members if truth[m[0]]]
        for inside in members:
            name = f"step {steps.index(inside) - len(steps)}" if inside in steps else "filler"
            found.setdefault(name, []).extend(own[i] > SALIENT_GATE for i in inside if trace.reasoning_tokens[i] != ".")
    return {name: float(np.mean(found[name])) for name in sorted(found)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--split", default="test")
    parser.add_argument("--limit", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    rows = []
    for question, name in MODELS.items():
        model, tokenizer = load_model(name, device="cpu")
        traces, needed = chains_traces(tokenizer, args.split, args.limit, args.seed)
        if question == "last value":
            traces = [last_value(tokenizer, trace) for trace in traces]
        for weight in WEIGHTS:
            started = time.perf_counter()
            learned = learn_mask(model, traces, MaskConfig(follow=weight, max_tokens=16384))
            scores: list[Sequence[float]] = [saliency.gates for saliency in learned]
            row = {"question": question, "name": f"follow {weight}", "n": len(traces)}
            row["seconds"] = (time.perf_counter() - started) / len(traces)
            row |= aurocs(traces, scores, needed, args.seed)
            row["salient"] = salient_by_step(traces, scores, needed)
            row["given_up"] = mean_with_interval([s.open - s.learned for s in learned], args.seed).value
            rows.append(row)
            show(row)
        started, some = time.perf_counter(), traces[:RESAMPLED]
        scores = [resampled(model, tokenizer, trace, args.seed + i) for i, trace in enumerate(some)]
        row = {"question": question, "name": "step-by-step resampling", "n": len(some)}
        row["seconds"] = (time.perf_counter() - started) / len(some)
        rows.append(row | aurocs(some, scores, needed[: len(some)], args.seed))
        show(rows[-1])
    facts = {"split": args.split, "seed": args.seed}
    file = RESULTS / ("following.json" if args.split == "test" else f"following-{args.split}.json")
    file.write_text(json.dumps({**facts, "rows": rows}, indent=1) + "\n")


def show(row: dict[str, Any]) -> None:
    figures = "  ".join(f"{kind} {row[kind]['value']:.3f} {row[kind]['ci95']}" for kind in ("sentence", "token"))
    print(
        f"{row['question']:12s} {row['name']:14s} {figures}  {row.get('salient')}  {row['seconds']:.3f} s", flush=True
    )


if __name__ == "__main__":
    main()
