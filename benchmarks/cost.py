"""What the saliency reward costs: against the plain method, other attributions, a GRPO step, memory, length, the bound.

    python benchmarks/cost.py --json benchmarks/results/cost.json    # everything, at most 40 minutes on 2 cores
    python benchmarks/cost.py --part plain --json F                   # one part; a file that is there keeps the others'
    python benchmarks/cost.py --choose-rate                           # the plain method's learning rate, dev rows
    python benchmarks/cost.py --make-reference                        # its gates, kept in benchmarks/results

Writes a list of `{"name", "ratio", "reference_seconds", "seconds", ...}`. In `plain` and `instead` the ratio is
reference over own seconds; in the other parts it is what is to be small. The tables: docs/performance.md.
"""

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import cost_bound
import cost_growth
import cost_ideas
import cost_training
import numpy as np
import torch
from defaults import curves
from plain import STEPS, plain_descent
from scipy.stats import spearmanr

from atmanrl.attribution import attribute
from atmanrl.batch import TraceBatch
from atmanrl.descent import mask_of
from atmanrl.journal import Journal
from atmanrl.logprobs import AnswerScorer
from atmanrl.mask import MaskConfig, learn_mask, start_theta
from atmanrl.model_state import frozen, matmul_precision
from atmanrl.models import load_model
from atmanrl.saliency import Scope
from atmanrl.statistics import paired_difference
from atmanrl.tasks import GSM8K
from atmanrl.trace import Trace

RESULTS = Path(__file__).parent / "results"
SCOPES: tuple[Scope, ...] = ("all", "answer")
RATES = (0.1, 0.3, 1.0, 3.0)
CONVERGED = 0.05  # nats over the lowest objective
TRACES, TIMED, TIMED_STEPS = 32, 8, 10
LENGTHS = (32, 64, 128, 256)
INSTEAD = ("occlusion", "integrated_gradients", "atman")

Row = dict[str, Any]


def worked_solutions(tokenizer: Any, split: str, count: int) -> list[Trace]:
    task = GSM8K()
    return [
        Trace.from_text(tokenizer, task.prompt(e), e.reasoning or "", task.cue, task.answer_text(e))
        for e in task.examples(split, count)
    ]


# Against the plain method


def reference_file(scope: Scope) -> Path:
    return RESULTS / f"plain-{scope}.json"


def make_reference() -> None:
    """The plain method's gates: 200 steps in float32. Rows before the mask are kept and traces batched, which
    changes nothing but the time: `plain_rows` holds them to the plain method itself, and so do the tests."""
    model, tokenizer = load_model("smollm2", device="cpu")
    traces = worked_solutions(tokenizer, "test", TRACES)
    rates = json.loads((RESULTS / "plain-rates.json").read_text())["chosen"]
    for scope in SCOPES:
        config = MaskConfig(scope=scope, steps=STEPS, passes=STEPS, learning_rate=rates[scope], matmuls="float32")
        journal = Journal(RESULTS / f"plain-{scope}.part.jsonl", {"scope": scope, "rate": rates[scope]})
        order = sorted(range(len(traces)), key=lambda i: len(traces[i]))
        for members in (order[at : at + 8] for at in range(0, len(order), 8)):
            if str(members[0]) in journal:
                continue
            learned = learn_mask(model, [traces[i] for i in members], config)
            for index, saliency in zip(reversed(members), reversed(learned), strict=True):  # the first one last
                journal.add(str(index), [float(f"{gate:.4g}") for gate in saliency.gates])
            print(f"{scope}: {len(journal.parts)} of {len(traces)}", flush=True)
        gates = [journal[str(index)] for index in range(len(traces))]
        config_facts = {"learning_rate": rates[scope], "steps": STEPS, "sparsity": config.sparsity, "split": "test"}
        reference_file(scope).write_text(json.dumps({"scope": scope, **config_facts, "gates": gates}) + "\n")
        journal.path.unlink()


def choose_rate(count: int = 6) -> None:
    """Deletion and insertion areas of the plain method's 200 steps at several learning rates, on dev rows; of those
    whose objective has come to the lowest of all the one with the best difference of the two is chosen."""
    model, tokenizer = load_model("smollm2", device="cpu")
    traces = worked_solutions(tokenizer, "dev", count)
    journal = Journal(RESULTS / "plain-rates.part.jsonl", {"count": count})
    rows, chosen = [], {}
    for scope in SCOPES:
        for rate in RATES:
            if f"{scope} {rate}" not in journal:
                journal.add(f"{scope} {rate}", rate_row(model, traces, scope, rate))
            rows.append(journal[f"{scope} {rate}"])
            print(rows[-1], flush=True)
        own = [r for r in rows if r["scope"] == scope]
        converged = [r for r in own if r["objective"] < min(o["objective"] for o in own) + CONVERGED]
        chosen[scope] = max(converged, key=lambda r: r["insertion"] - r["deletion"])["rate"]
    (RESULTS / "plain-rates.json").write_text(json.dumps({"chosen": chosen, "rows": rows}, indent=1) + "\n")
    journal.path.unlink()


def rate_row(model: Any, traces: list[Trace], scope: Scope, rate: float) -> Row:
    """200 steps at a learning rate: objectives on the way, areas at the end, means over the traces.

    With rows kept, traces batched and rounded factors: the order of the gates is the plain method's (Spearman 0.999).
    """
    config = MaskConfig(scope=scope)
    batch = TraceBatch.of(traces, torch.device("cpu"))
    objectives = []
    with frozen(model), matmul_precision(config.matmuls):
        scorer = AnswerScorer(model, batch, scope)
        theta = torch.full(batch.ids.shape, start_theta(config), requires_grad=True)
        optimizer = torch.optim.Adam([theta], lr=rate)
        for _ in range(STEPS):
            mask = mask_of(theta, batch.reasoning, "gate")
            value = config.sparsity * torch.where(batch.reasoning, mask.exp(), 0.0).sum(dim=1) - scorer(mask)  # (B,)
            (theta.grad,) = torch.autograd.grad(value.sum(), [theta])
            optimizer.step()
            objectives.append(float(value.detach().mean()))
    gates = [theta[i, batch.reasoning[i]].sigmoid().tolist() for i in range(len(traces))]
    areas = [curves(model, t, g) for t, g in zip(traces, gates, strict=True)]
    deletion, insertion = (float(np.mean([area[i] for area in areas])) for i in (0, 1))
    facts = {"scope": scope, "rate": rate, "deletion": deletion, "insertion": insertion}
    return {**facts, **{f"objective_at_{at}": objectives[at - 1] for at in (10, 50, 150)}, "objective": objectives[-1]}


def plain_rows(model: Any, tokenizer: Any) -> list[Row]:
    """Seconds a trace, gates and areas of the default mask beside the plain method's."""
    traces = worked_solutions(tokenizer, "test", TRACES)
    by_length = sorted(traces, key=len)
    timed = by_length[TRACES // TIMED // 2 :: TRACES // TIMED]
    rows = []
    for scope in SCOPES:
        kept = json.loads(reference_file(scope).read_text())
        config = MaskConfig(scope=scope)
        exact = replace(
            config,
            steps=TIMED_STEPS,
            passes=TIMED_STEPS,
            learning_rate=kept["learning_rate"],
            matmuls="float32",
        )
        same = learn_mask(model, timed, exact)
        seconds, worst = [], 0.0
        for trace, saliency in zip(timed, same, strict=True):
            with frozen(model):
                descent = plain_descent(model, trace, config, kept["learning_rate"])
                started = time.perf_counter()
                theta = [next(descent) for _ in range(TIMED_STEPS)][-1]
                seconds.append((time.perf_counter() - started) / TIMED_STEPS * STEPS)
            worst = max(worst, float((theta.sigmoid() - torch.tensor(saliency.gates)).abs().max()))
        learn_mask(model, traces[:2], config)
        started = time.perf_counter()
        learned = learn_mask(model, traces, config)
        own = (time.perf_counter() - started) / len(traces)
        ranks = [float(spearmanr(s.gates, g).statistic) for s, g in zip(learned, kept["gates"], strict=True)]
        ours = [curves(model, t, list(s.gates)) for t, s in zip(traces, learned, strict=True)]
        theirs = [curves(model, t, g) for t, g in zip(traces, kept["gates"], strict=True)]
        areas = {
            name: {
                "value": float(np.mean([a[i] for a in ours])),
                "reference": float(np.mean([a[i] for a in theirs])),
                "difference_ci95": paired_difference([a[i] for a in theirs], [a[i] for a in ours], 0).ci95,
            }
            for i, name in enumerate(("deletion", "insertion"))
        }
        rows.append(
            {
                "name": f"plain/{scope}",
                "ratio": float(np.mean(seconds)) / own,
                "reference_seconds": float(np.mean(seconds)),
                "seconds": own,
                "spearman": float(np.median(ranks)),
                "spearman_least": min(ranks),
                **areas,
                "same_steps_largest_gate_difference": worst,
                "n": len(traces),
                "reasoning_tokens": float(np.mean([len(t.reasoning) for t in traces])),
                "tokens": float(np.mean([len(t) for t in traces])),
                "tokens_of_the_timed": float(np.mean([len(t) for t in timed])),
                "plain_learning_rate": kept["learning_rate"],
                "passes": config.passes,
            }
        )
    return rows


# Against what a user would pick instead


def instead_rows(model: Any, tokenizer: Any) -> list[Row]:
    """Seconds of one trace, by the mask and by other methods, at several lengths; and of eight traces at once."""
    rows = []
    for method in INSTEAD:  # their imports and first calls are not theirs to pay for
        attribute(model, [of_length(tokenizer, 8, 0)], method)
    for length in LENGTHS:
        traces = [of_length(tokenizer, length, start) for start in range(8)]
        learn_mask(model, traces[0])
        one = measured(lambda traces=traces: learn_mask(model, traces[0]), 3)
        many = measured(lambda traces=traces: learn_mask(model, traces), 1) / len(traces)
        for method in INSTEAD:
            theirs = measured(lambda traces=traces, m=method: attribute(model, traces[:1], m), 1)
            facts = {"reference_seconds": theirs, "reasoning_tokens": length}
            rows.append({"name": f"instead/{method}/{length}", "ratio": theirs / one, "seconds": one, **facts})
            rows.append(
                {"name": f"instead/{method}/{length}/batch of 8", "ratio": theirs / many, "seconds": many, **facts}
            )
    return rows


def of_length(tokenizer: Any, length: int, start: int) -> Trace:
    """A worked solution that goes on with those of the next questions until it has `length` tokens."""
    task = GSM8K()
    examples = task.examples("dev", start + 16)[start:]
    text = " ".join(e.reasoning or "" for e in examples)
    whole = Trace.from_text(tokenizer, task.prompt(examples[0]), text, task.cue, task.answer_text(examples[0]))
    keep = (*range(whole.prompt_end + length), *range(whole.reasoning_end, len(whole)))
    cut = len(whole.reasoning) - length
    ids, texts = ([part[i] for i in keep] for part in (whole.ids, whole.texts))
    return Trace(tuple(ids), tuple(texts), whole.prompt_end, whole.reasoning_end - cut, whole.cue_end - cut)


def measured(work: Any, times: int) -> float:
    """Seconds: the middle of several runs."""
    seconds = []
    for _ in range(times):
        started = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - started)
    return float(np.median(seconds))


PARTS = ("plain", "instead", "share", "growth", "bound", "ideas")


def run(part: str) -> list[Row]:
    if part == "share":
        return cost_training.rows()
    if part == "growth":
        return cost_growth.rows()
    model, tokenizer = load_model("smollm2", device="cpu")
    if part == "plain":
        return plain_rows(model, tokenizer)
    if part == "instead":
        return instead_rows(model, tokenizer)
    if part == "ideas":
        references = {scope: reference_file(scope) for scope in SCOPES}
        return cost_ideas.rows(model, worked_solutions(tokenizer, "test", 4), references)
    return cost_bound.rows(model, worked_solutions(tokenizer, "dev", 8))


def show(rows: Sequence[Row]) -> None:
    for row in rows:
        figures = "  ".join(
            f"{key} {value:.4g}" if isinstance(value, float) else f"{key} {value}"
            for key, value in row.items()
            if isinstance(value, int | float) and key != "name"
        )
        print(f"{row['name']:34s} {figures}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--part", choices=PARTS)
    parser.add_argument("--choose-rate", action="store_true")
    parser.add_argument("--make-reference", action="store_true")
    args = parser.parse_args()
    if args.choose_rate or args.make_reference:
        return choose_rate() if args.choose_rate else make_reference()
    missing = [str(reference_file(scope)) for scope in SCOPES if not reference_file(scope).exists()]
    if missing:
        sys.exit(f"no {missing[0]}: make it with --choose-rate, then --make-reference (an hour)")
    before = json.loads(args.json.read_text()) if args.part and args.json and args.json.exists() else []
    rows = []
    for part in (args.part,) if args.part else PARTS:
        started = time.perf_counter()
        new = run(part)
        rows += new
        show(new)
        print(f"{part}: {time.perf_counter() - started:.0f} s", flush=True)
        if args.json:
            names = {row["name"] for row in rows}
            args.json.write_text(json.dumps([r for r in before if r["name"] not in names] + rows, indent=1) + "\n")
    return None


if __name__ == "__main__":
    main()
