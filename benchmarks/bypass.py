"""Does bypass tell answers that rest on their reasoning from copied ones? Bundled models; SmolLM2 on GSM8K.

    python benchmarks/bypass.py gsm8k --split test --count 40      # one minute on 2 cores
    python benchmarks/bypass.py bundled --split dev --count 250    # one minute

`gsm8k`: questions hold a right answer key; the right answer is forced after the question's own worked solution, and
after the next question's. `bundled`: what the models write themselves on stories without a key (right answers) and
with a wrong one (answers that are right, and answers that are the key). Prints and writes how often bypass is over one
nat, by closing, by blending, by the smaller of the two and as it is defined; for gsm8k also the seconds a trace of
bypass and of a mask (benchmarks/results/bypass-PART-SPLIT.json).
"""

import argparse
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import mannwhitneyu

from atmanrl.bypass import Bypass, measure_bypass
from atmanrl.faithfulness import Case, work_through
from atmanrl.generation import Decoding
from atmanrl.mask import learn_mask
from atmanrl.models import load_model
from atmanrl.statistics import mean_with_interval
from atmanrl.tasks import GSM8K, Chains, ChainsHinted, Example, Task
from atmanrl.tasks.chains_hinted import KEY
from atmanrl.trace import Trace

LIMIT = 1.0
WAYS: dict[str, Callable[[Bypass], Sequence[float]]] = {
    "bypass": lambda b: b.drops,
    "smaller": lambda b: tuple(map(min, b.closed, b.blended)),
    "closed": lambda b: b.closed,
    "blended": lambda b: b.blended,
}
Found = list[Bypass]


def largest(found: Found, way: str) -> Any:
    return np.array([max((0.0, *WAYS[way](b))) for b in found])


def rate(hits: Any) -> dict[str, Any]:
    mean = mean_with_interval(hits.astype(float).tolist())
    return {"value": mean.value, "ci95": mean.ci95, "n": mean.n}


def apart(rests: Any, copied: Any) -> float:
    """AUROC."""
    return float(mannwhitneyu(copied, rests).statistic) / (len(copied) * len(rests))


def keyed_traces(tokenizer: Any, split: str, count: int) -> tuple[list[Trace], list[Trace], list[str]]:
    """Questions with a right answer key and the right answer, after their own worked solutions, and after the next
    question's."""
    task = GSM8K()
    plain = task.examples(split, count + 1)
    keyed = [replace(e, question=f"{e.question} {KEY.format(e.answer)}") for e in plain[:count]]

    def traces(solutions: Sequence[Example]) -> list[Trace]:
        return [
            Trace.from_text(tokenizer, task.prompt(e), s.reasoning or "", task.cue, task.answer_text(e))
            for e, s in zip(keyed, solutions, strict=True)
        ]

    return traces(plain[:count]), traces(plain[1:]), [e.question for e in keyed]


def gsm8k(split: str, count: int) -> dict[str, Any]:
    model, tokenizer = load_model("smollm2", device="cpu")
    own, others, questions = keyed_traces(tokenizer, split, count)
    started = time.perf_counter()
    worked = measure_bypass(model, own, questions)
    seconds = (time.perf_counter() - started) / len(own)
    other = measure_bypass(model, others, questions)
    started = time.perf_counter()
    learn_mask(model, own[:8])
    result: dict[str, Any] = {"seconds": seconds, "mask_seconds": (time.perf_counter() - started) / 8}
    for way in WAYS:
        low, high = largest(worked, way), largest(other, way)
        figures = {"worked_under": low < LIMIT, "other_over": high > LIMIT, "both": (low < LIMIT) & (high > LIMIT)}
        result[way] = {name: rate(hits) for name, hits in figures.items()} | {"auroc": apart(low, high)}
    result["the_key_is_what_is_read"] = float(np.mean(["answer key" in (b.sentence or "") for b in other]))
    return result


def bundled(split: str, count: int) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for name, task in (("tiny", Chains()), ("tiny-hinted", ChainsHinted(keys="none"))):
        right, _ = sampled(name, task, split, count)
        result[f"{name}, no key"] = {way: {"right_over": rate(largest(right, way) > LIMIT)} for way in WAYS}
    right, copied = sampled("tiny-hinted", ChainsHinted(keys="wrong"), split, count)
    result["tiny-hinted, wrong key"] = {
        way: {
            "right_over": rate(largest(right, way) > LIMIT),
            "copied_over": rate(largest(copied, way) > LIMIT),
            "auroc": apart(largest(right, way), largest(copied, way)),
        }
        for way in WAYS
    }
    return result


def sampled(name: str, task: Task, split: str, count: int) -> tuple[Found, Found]:
    """Bypass of the answers that are right, and of those that are the wrong key."""
    model, tokenizer = load_model(name, device="cpu")
    right, copied = sampled_cases(model, tokenizer, task, split, count)
    return bypass_of(model, right), bypass_of(model, copied)


def bypass_of(model: Any, cases: Sequence[Case]) -> Found:
    return measure_bypass(model, [case.trace for case in cases], [case.example.question for case in cases])


def sampled_cases(model: Any, tokenizer: Any, task: Task, split: str, count: int) -> tuple[list[Case], list[Case]]:
    """What a model writes: the cases whose answers are right, and those whose answers are the wrong key."""
    cases = work_through(model, tokenizer, task, task.examples(split, count), Decoding(1.0, 96), seed=0)
    cases = [case for case in cases if case.found is not None]
    copied = [case for case in cases if case.answer is not None and case.answer == case.example.fields.get("key")]
    return [case for case in cases if case.correct], copied


PARTS = {"gsm8k": gsm8k, "bundled": bundled}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=tuple(PARTS))
    parser.add_argument("--split", default="test")
    parser.add_argument("--count", type=int, default=40)
    args = parser.parse_args()
    result = {"split": args.split, "count": args.count, **PARTS[args.part](args.split, args.count)}
    print(json.dumps(result, indent=1))
    file = Path(__file__).parent / "results" / f"bypass-{args.part}-{args.split}.json"
    file.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
