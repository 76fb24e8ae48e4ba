"""Does bypass tell worked solutions from decoration? SmolLM2 on GSM8K questions that hold a right answer key.

    python benchmarks/bypass.py [--split test] [--count 40]      # three minutes on 2 cores

For each question the right answer is forced after its own worked solution, and after the next question's. Prints and
writes (benchmarks/results/bypass-SPLIT.json) how often bypass is under one nat with the first, over with the second,
and both, by closing, by blending and by the smaller of the two; and the seconds a trace of bypass and of a mask.
"""

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import mannwhitneyu

from atmanrl.bypass import measure_bypass
from atmanrl.mask import learn_mask
from atmanrl.models import load_model
from atmanrl.statistics import mean_with_interval
from atmanrl.tasks import GSM8K
from atmanrl.tasks.chains_hinted import KEY
from atmanrl.trace import Trace

LIMIT = 1.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--split", default="test")
    parser.add_argument("--count", type=int, default=40)
    args = parser.parse_args()
    model, tokenizer = load_model("smollm2", device="cpu")
    task = GSM8K()
    plain = task.examples(args.split, args.count + 1)
    keyed = [replace(e, question=f"{e.question} {KEY.format(e.answer)}") for e in plain[: args.count]]
    questions = [e.question for e in keyed]

    def traces(solutions: list[Any]) -> list[Trace]:
        return [
            Trace.from_text(tokenizer, task.prompt(e), s.reasoning or "", task.cue, task.answer_text(e))
            for e, s in zip(keyed, solutions, strict=True)
        ]

    own = traces(plain[: args.count])
    started = time.perf_counter()
    worked = measure_bypass(model, own, questions)
    seconds = (time.perf_counter() - started) / len(own)
    other = measure_bypass(model, traces(plain[1 : args.count + 1]), questions)
    started = time.perf_counter()
    learn_mask(model, own[:8])
    mask_seconds = (time.perf_counter() - started) / 8
    result: dict[str, Any] = {"split": args.split, "n": args.count, "seconds": seconds, "mask_seconds": mask_seconds}
    for way in ("drops", "closed", "blended"):
        low, high = (np.array([max(0.0, *getattr(b, way)) for b in found]) for found in (worked, other))
        figures = {"worked_under": low < LIMIT, "other_over": high > LIMIT, "both": (low < LIMIT) & (high > LIMIT)}
        means = {name: mean_with_interval(hit.astype(float).tolist()) for name, hit in figures.items()}
        result[way] = {name: {"value": m.value, "ci95": m.ci95} for name, m in means.items()}
        result[way]["auroc"] = float(mannwhitneyu(high, low).statistic) / (len(high) * len(low))
        result[way]["quantiles_10_50_90"] = [np.quantile(v, [0.1, 0.5, 0.9]).round(3).tolist() for v in (low, high)]
    read = [b.sentence is not None and KEY.split(" {")[0] in b.sentence for b in other]
    result["the_key_is_what_is_read"] = float(np.mean(read))
    print(json.dumps(result, indent=1))
    file = Path(__file__).parent / "results" / f"bypass-{args.split}.json"
    file.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
