"""Masks that follow the reasoning, beside those of the answer alone and beside step-by-step resampling.

    python benchmarks/following.py chains               # 200 test stories with filler; 2 minutes on 2 cores
    python benchmarks/following.py decoy                # the same on `chains-decoy`; a minute
    python benchmarks/following.py gsm8k --limit 20     # SmolLM2 on worked solutions; 8 minutes

`chains`: each story twice: `all values`, read by `tiny`, whose answer takes a number from every step; and `last
value`, read by the control `finisher` (tests/controls), whose answer is the last equation's result. What is needed is
the same in both: every token of every step. By method the AUROC of needed tokens over filler, by sentence (mean without
punctuation) and by token; which tokens of the steps are salient, by place from the last step back; seconds a trace.
`decoy`: filler is true equations here (read by `tiny-decoy`), so that no form tells it from what is needed.
`gsm8k`: how many results of earlier steps that later steps take up are salient, and of the last one; deletion and
insertion as in `attribution.py`. Writes benchmarks/results/following-PART-SPLIT.json.
"""

import argparse
import json
import re
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from attribution import aurocs, rule_row
from cost import worked_solutions
from defaults import chains_traces, curves

from atmanrl.generation import generate
from atmanrl.mask import MaskConfig, learn_mask
from atmanrl.models import load_model
from atmanrl.saliency import SALIENT_GATE, Saliency, tokens_by_span
from atmanrl.statistics import mean_with_interval
from atmanrl.tasks import Chains, ChainsDecoy
from atmanrl.tasks.chains_decoy import decoyed_reasoning
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


def run_chains(split: str, limit: int, seed: int) -> list[dict[str, Any]]:
    rows = []
    for question, name in MODELS.items():
        model, tokenizer = load_model(name, device="cpu")
        traces, needed = chains_traces(tokenizer, split, limit, seed)
        if question == "last value":
            traces = [last_value(tokenizer, trace) for trace in traces]
        rows += by_method(question, model, tokenizer, traces, needed, seed)
    return rows


def run_decoy(split: str, limit: int, seed: int) -> list[dict[str, Any]]:
    model, tokenizer = load_model("tiny-decoy", device="cpu")
    traces, needed = chains_traces(tokenizer, split, limit, seed, ChainsDecoy(), decoyed_reasoning)
    return by_method("decoys", model, tokenizer, traces, needed, seed)


def by_method(
    question: str, model: Any, tokenizer: Any, traces: list[Trace], needed: list[list[bool]], seed: int
) -> list[dict[str, Any]]:
    rows = [{"question": question, **rule_row(traces, needed, seed)}]
    show(rows[0])
    for weight in WEIGHTS:
        started = time.perf_counter()
        learned = learn_mask(model, traces, MaskConfig(follow=weight, max_tokens=16384))
        scores: list[Sequence[float]] = [saliency.gates for saliency in learned]
        row = {"question": question, "name": f"follow {weight}", "n": len(traces)}
        row["seconds"] = (time.perf_counter() - started) / len(traces)
        row |= aurocs(traces, scores, needed, seed)
        row["salient"] = salient_by_step(traces, scores, needed)
        row["given_up"] = mean_with_interval([s.open - s.learned for s in learned], seed).value
        rows.append(row)
        show(row)
    started, some = time.perf_counter(), traces[:RESAMPLED]
    scores = [resampled(model, tokenizer, trace, seed + i) for i, trace in enumerate(some)]
    row = {"question": question, "name": "step-by-step resampling", "n": len(some)}
    row["seconds"] = (time.perf_counter() - started) / len(some)
    rows.append(row | aurocs(some, scores, needed[: len(some)], seed))
    show(rows[-1])
    return rows


_RESULT = re.compile(r"=\s*\$?(\d+(?:,\d{3})*(?:\.\d+)?)")


def results_taken_up(trace: Trace) -> tuple[list[int], list[int]]:
    """Tokens of results ("= 48") that stand in the text again later on, and of the last result."""
    text = trace.text(trace.reasoning)
    found = list(_RESULT.finditer(text))
    spans = [m.span(1) for m in found[:-1] if re.search(rf"(?<![\d.,]){re.escape(m[1])}(?![.,]?\d)", text[m.end() :])]
    members = tokens_by_span(trace.reasoning_tokens, [*spans, found[-1].span(1)]) if found else [[]]
    return [i for inside in members[:-1] for i in inside], list(members[-1])


def run_gsm8k(split: str, limit: int, seed: int) -> list[dict[str, Any]]:
    model, tokenizer = load_model("smollm2", device="cpu")
    traces, rows = worked_solutions(tokenizer, split, limit), []
    for weight in WEIGHTS:
        started = time.perf_counter()
        learned = learn_mask(model, traces, MaskConfig(follow=weight))
        row: dict[str, Any] = {"name": f"follow {weight}", "n": len(traces)}
        row["seconds"] = (time.perf_counter() - started) / len(traces)
        areas = [curves(model, trace, s.gates) for trace, s in zip(traces, learned, strict=True)]
        taken = [results_taken_up(trace) for trace in traces]
        for name, values in {
            "deletion": [a for a, _ in areas],
            "insertion": [b for _, b in areas],
            "density": [s.density for s in learned],
            "earlier results salient": _salient(learned, [earlier for earlier, _ in taken]),
            "last result salient": _salient(learned, [last for _, last in taken]),
        }.items():
            row[name] = asdict(mean_with_interval(values, seed))
        rows.append(row)
        print(weight, {k: v["value"] if isinstance(v, dict) else v for k, v in row.items()}, flush=True)
    return rows


def _salient(learned: Sequence[Saliency], places: Sequence[Sequence[int]]) -> list[float]:
    """By trace the share of these tokens that is salient, where it has any."""
    pairs = zip(learned, places, strict=True)
    return [float(np.mean([saliency.salient[i] for i in own])) for saliency, own in pairs if own]


PARTS = {"chains": (run_chains, 200), "decoy": (run_decoy, 200), "gsm8k": (run_gsm8k, 20)}
"""Each with its traces unless told otherwise."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=tuple(PARTS))
    parser.add_argument("--split", default="test")
    parser.add_argument("--limit", type=int)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    run, limit = PARTS[args.part]
    rows = run(args.split, args.limit or limit, args.seed)
    file = RESULTS / f"following-{args.part}-{args.split}.json"
    file.write_text(json.dumps({"split": args.split, "seed": args.seed, "rows": rows}, indent=1) + "\n")


def show(row: dict[str, Any]) -> None:
    figures = "  ".join(f"{kind} {row[kind]['value']:.3f} {row[kind]['ci95']}" for kind in ("sentence", "token"))
    print(
        f"{row['question']:12s} {row['name']:14s} {figures}  {row.get('salient')}  {row['seconds']:.3f} s", flush=True
    )


if __name__ == "__main__":
    main()
