"""What the reward pays for text that carries the answer, beside worked solutions: `atmanrl.gaming`, by name.

    python benchmarks/carried.py gsm8k [--split dev] [--count 20] [--first 0]     # SmolLM2; GSM8K's own solutions
    python benchmarks/carried.py chains|hinted|uneven|decoy [--count 40]          # the bundled models

Writes benchmarks/results/carried-TASK-SPLIT.json: every reward, and a row a trick: mean, in how many questions it is
worth more than the worked solution.
"""

import argparse
import json
import random
import time
from pathlib import Path
from statistics import fmean

import torch

from atmanrl.gaming import KINDS, honest, tricks
from atmanrl.models import load_model
from atmanrl.scoring import score_completions
from atmanrl.tasks import GSM8K, Chains, ChainsDecoy, ChainsHinted, ChainsUneven

RESULTS = Path(__file__).parent / "results"
SOURCES = {
    "gsm8k": ("smollm2", GSM8K()),
    "chains": ("tiny", Chains()),
    "hinted": ("tiny-hinted", ChainsHinted(keys="right")),
    "uneven": ("tiny-uneven", ChainsUneven(keys="right")),
    "decoy": ("tiny-decoy", ChainsDecoy()),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", choices=SOURCES)
    parser.add_argument("--split", default="dev")
    parser.add_argument("--count", type=int, default=20)
    parser.add_argument("--first", type=int, default=0)
    args = parser.parse_args()
    torch.set_num_threads(1)
    source, task = SOURCES[args.task]
    model, tokenizer = load_model(source, device="cpu")
    examples = task.examples(args.split, args.first + args.count)[args.first :]
    rng = random.Random(0)
    made = [{"worked": honest(task, e), **tricks(task, e, rng)} for e in examples]
    rewards: dict[str, list[float | None]] = {}
    for name in ("worked", *(name for names in KINDS.values() for name in names)):
        here = [i for i, texts in enumerate(made) if name in texts]
        started = time.perf_counter()
        scored = score_completions(
            model,
            tokenizer,
            task,
            [task.prompt(examples[i]) for i in here],
            [tokenizer(made[i][name], add_special_tokens=False)["input_ids"] for i in here],
            [examples[i].answer for i in here],
            questions=[examples[i].question for i in here],
        )
        rewards[name] = [None] * len(made)
        for i, one in zip(here, scored, strict=True):
            rewards[name][i] = round(one.reward, 4)
        pairs = [(rewards[name][i], rewards["worked"][i]) for i in here]
        over = sum(a > b for a, b in pairs)
        seconds = (time.perf_counter() - started) / len(here)
        print(f"| {name} | {fmean(a for a, _ in pairs):.2f} | {over} of {len(here)} | {seconds:.2f} s |", flush=True)
        file = RESULTS / f"carried-{args.task}-{args.split}-{args.first}.json"
        file.write_text(json.dumps({"source": source, "rewards": rewards}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
