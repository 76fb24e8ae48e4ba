"""Tasks: questions, a prompt, a way to find the parts of a completion, a check."""

from dataclasses import fields
from pathlib import Path
from typing import Any

from .chains import Chains
from .chains_decoy import ChainsDecoy
from .chains_hinted import ChainsHinted
from .chains_mental import ChainsMental
from .chains_uneven import ChainsUneven
from .data import DataError
from .gsm8k import GSM8K
from .jsonl import JsonlTask
from .mmlu import MMLU
from .task import Example, Parsed, Task

__all__ = [
    "GSM8K",
    "MMLU",
    "Chains",
    "ChainsDecoy",
    "ChainsHinted",
    "ChainsMental",
    "ChainsUneven",
    "DataError",
    "Example",
    "JsonlTask",
    "Parsed",
    "Task",
    "load_task",
]


KINDS: dict[str, type[Chains | GSM8K | MMLU]] = {
    "chains": Chains,
    "chains-uneven": ChainsUneven,
    "chains-hinted": ChainsHinted,
    "chains-decoy": ChainsDecoy,
    "chains-mental": ChainsMental,
    "gsm8k": GSM8K,
    "mmlu": MMLU,
}


def load_task(name: str | Path, data: str | Path | None = None, **options: Any) -> Chains | GSM8K | MMLU | JsonlTask:
    """A task by its name, one of `KINDS`, or the path of a JSON Lines file of your own.

    Args:
        data: the folder that `gsm8k` and `mmlu` are read from; else `ATMANRL_DATA`, else the hub.
        options: the task's own fields: `shots` of `gsm8k`, `subjects` of `mmlu`, `cue` of each.

    Raises:
        ValueError: no such task, or it has no such option.
        DataError: the JSON Lines file is not there.
    """
    name = str(name)
    own_file = name.endswith(".jsonl")
    if not own_file and name not in KINDS:
        raise ValueError(f"no task '{name}': choose {', '.join(KINDS)}, or the path of a .jsonl file")
    kind = JsonlTask if own_file else KINDS[name]
    allowed = [field.name for field in fields(kind) if field.name not in ("name", "path", "data", "temperature")]
    for option in options:
        if option not in allowed:
            raise ValueError(f"task {name} has no option '{option}': it has {', '.join(allowed)}")
    if own_file:
        return JsonlTask(name, **options)
    if not issubclass(kind, Chains):
        options["data"] = None if data is None else str(data)
    return kind(**options)
