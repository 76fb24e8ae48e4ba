"""Tricks that please the saliency reward beside worked solutions, with and without the cut after the answer was told.

    python benchmarks/tricks.py bundled    # three bundled models, 60 dev stories of each kind; 2 minutes on 2 cores
    python benchmarks/tricks.py gsm8k      # SmolLM2: what is cut of 60 worked solutions, tricks on 10 (dev); 8 minutes

`bundled`: by model and kind of key each trick's mean saliency reward, and the worked solution's own (`honest`), and in
how many of the stories the trick's is over it. `gsm8k`: the same for a sixth of the questions; and how many worked
solutions tell their answer early, with every cut. Writes benchmarks/results/tricks-PART.json.
"""

import argparse
import json
import random
from pathlib import Path
from statistics import fmean
from typing import Any

from cost import worked_solutions

from atmanrl.gamed import score_tricks
from atmanrl.mask import MaskConfig
from atmanrl.models import load_model
from atmanrl.rewards import RewardConfig
from atmanrl.tasks import GSM8K, Chains, ChainsHinted, ChainsUneven, Task
from atmanrl.told import before_told, told_at
from atmanrl.trace import Trace

TASKS: dict[str, tuple[str, Task]] = {
    "tiny": ("tiny", Chains()),
    "tiny-hinted, no key": ("tiny-hinted", ChainsHinted(keys="none")),
    "tiny-hinted, right key": ("tiny-hinted", ChainsHinted(keys="right")),
    "tiny-uneven, no list": ("tiny-uneven", ChainsUneven(keys="none")),
    "tiny-uneven, right list": ("tiny-uneven", ChainsUneven(keys="right")),
}


def bundled(count: int) -> dict[str, Any]:
    return {
        name: {
            "cut" if cut else "as it stands": rewards_of(
                source, task, count, RewardConfig(quantity="mask", cut_after_told=cut)
            )
            for cut in (True, False)
        }
        for name, (source, task) in TASKS.items()
    }


def rewards_of(source: str, task: Task, count: int, reward: RewardConfig) -> dict[str, Any]:
    """By trick the mean reward, and in how many stories it is over the worked solution's."""
    model, tokenizer = load_model(source, device="cpu")
    mask = MaskConfig(passes=8, max_tokens=16_384)
    rows = score_tricks(model, tokenizer, task, task.examples("dev", count), random.Random(0), mask, reward)
    return {
        name: {
            "reward": round(fmean(row[name] for row in rows), 3),
            "over_honest": sum(row[name] > row["honest"] for row in rows),
        }
        for name in rows[0]
    }


def gsm8k(count: int) -> dict[str, Any]:
    model, tokenizer = load_model("smollm2", device="cpu")
    traces = worked_solutions(tokenizer, "dev", count)
    kept = before_told(model, tokenizer, traces, RewardConfig().margin)
    cuts = []
    for trace, part in zip(traces, kept, strict=True):
        reasoning, left = trace.text(trace.reasoning), part.text(part.reasoning)
        if left != reasoning:
            tokens = len(trace.reasoning) - len(part.reasoning)
            cuts.append({"tokens": tokens, "before": left[-40:], "cut": reasoning[len(left) :]})
    early = sum(bool(_told_early(trace)) for trace in traces)
    rewards = rewards_of("smollm2", GSM8K(), count // 6, RewardConfig(quantity="mask"))
    return {"rewards": rewards, "rewards_count": count // 6, "told": early, "cut": len(cuts), "cuts": cuts}


def _told_early(trace: Trace) -> bool:
    reasoning = trace.text(trace.reasoning)
    return any(reasoning[end:].strip() for end in told_at(reasoning, trace.text(trace.answer)))


PARTS = {"bundled": bundled, "gsm8k": gsm8k}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=tuple(PARTS))
    parser.add_argument("--count", type=int, default=60)
    args = parser.parse_args()
    result = {"split": "dev", "count": args.count, **PARTS[args.part](args.count)}
    text = json.dumps(result, indent=1, ensure_ascii=False)
    print(text)
    (Path(__file__).parent / "results" / f"tricks-{args.part}.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
