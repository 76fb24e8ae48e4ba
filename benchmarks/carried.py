"""What the reward pays for text that carries the answer, beside worked solutions: `atmanrl.gaming`, by name.

    python benchmarks/carried.py gsm8k [--split dev] [--count 20] [--first 0] [--kinds carried "fake derivation" ...]
    python benchmarks/carried.py chains|hinted|uneven|decoy [--count 40]          # the bundled models

Writes benchmarks/results/carried-TASK-SPLIT-FIRST.json, from which it goes on: every reward.
"""

import argparse
import random

from scored_texts import RESULTS, SOURCES, score_by_name

from atmanrl.gaming import KINDS, honest, tricks


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", choices=SOURCES)
    parser.add_argument("--split", default="dev")
    parser.add_argument("--count", type=int, default=20)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--kinds", nargs="*", choices=KINDS, default=list(KINDS), metavar="KIND")
    args = parser.parse_args()
    source, task = SOURCES[args.task]
    examples = task.examples(args.split, args.first + args.count)[args.first :]
    rng = random.Random(0)
    made = [{"worked": honest(task, e), **tricks(task, e, rng)} for e in examples]
    names = {"worked", *(name for kind in args.kinds for name in KINDS[kind])}
    file = RESULTS / f"carried-{args.task}-{args.split}-{args.first}.json"
    rewards = score_by_name(source, task, examples, made, file, names)
    worked = rewards.pop("worked")
    pairs = [
        (a, b) for own in rewards.values() for a, b in zip(own, worked, strict=True) if a is not None and b is not None
    ]
    print(f"{sum((b or 0) > 0 for b in worked)} of {len(worked)} worked solutions over 0")
    print(f"{sum(a > b for a, b in pairs)} of {len(pairs)} pairs over the worked solution")


if __name__ == "__main__":
    main()
