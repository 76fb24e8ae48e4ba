"""Completions made by rule, scored by name: what `carried.py` and `edited.py` have in common."""

import hashlib
import json
import time
from collections.abc import Collection
from pathlib import Path
from statistics import fmean

import torch

from atmanrl.files import write_text
from atmanrl.models import load_model
from atmanrl.scoring import score_completions
from atmanrl.tasks import GSM8K, Chains, ChainsDecoy, ChainsHinted, ChainsUneven, Example, Task

RESULTS = Path(__file__).parent / "results"
SOURCES: dict[str, tuple[str, Task]] = {
    "gsm8k": ("smollm2", GSM8K()),
    "chains": ("tiny", Chains()),
    "hinted": ("tiny-hinted", ChainsHinted(keys="right")),
    "uneven": ("tiny-uneven", ChainsUneven(keys="right")),
    "decoy": ("tiny-decoy", ChainsDecoy()),
}

Rewards = dict[str, list[float | None]]
"""By name, one a question; `None` where the question has no such text."""


def score_by_name(
    source: str,
    task: Task,
    examples: list[Example],
    made: list[dict[str, str]],
    file: Path,
    names: Collection[str] | None = None,
) -> Rewards:
    """Score every question's completions, name after name in the order of the first that has it.

    What is scored is kept in the file after each name, and not scored again where the texts are the same: remove it
    after a change of the reward. Prints a row a name: mean; in how many questions it is over the worked solution, and
    in how many under it.

    Args:
        names: the texts that are scored; by default all.
    """
    torch.set_num_threads(1)
    texts = hashlib.sha256(json.dumps(made).encode()).hexdigest()[:16]
    kept = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    rewards: Rewards = kept["rewards"] if kept.get("texts") == texts else {}
    pair = None
    for name in dict.fromkeys(name for one in made for name in one):
        started, here = time.perf_counter(), [i for i, one in enumerate(made) if name in one]
        if name not in rewards:
            if names is not None and name not in names:
                continue
            pair = pair or load_model(source, device="cpu")
            scored = score_completions(
                *pair,
                task,
                [task.prompt(examples[i]) for i in here],
                [pair[1](made[i][name], add_special_tokens=False)["input_ids"] for i in here],
                [examples[i].answer for i in here],
                questions=[examples[i].question for i in here],
            )
            rewards[name] = [None] * len(made)
            for i, one in zip(here, scored, strict=True):
                rewards[name][i] = round(one.reward, 4)
            write_text(file, json.dumps({"source": source, "texts": texts, "rewards": rewards}, indent=1) + "\n")
        seconds = (time.perf_counter() - started) / len(here)
        print(f"| {name} | {row(rewards, name)} | {seconds:.2f} s |", flush=True)
    return rewards


def row(rewards: Rewards, name: str) -> str:
    """Mean, and how it stands to the worked solution where there is such a text."""
    both = zip(rewards[name], rewards["worked"], strict=True)
    pairs = [(own, worked) for own, worked in both if own is not None and worked is not None]
    over, under = sum(a > b for a, b in pairs), sum(a < b for a, b in pairs)
    return f"{fmean(a for a, _ in pairs):.2f} | over in {over}, under in {under} of {len(pairs)}"
