"""gsm8k: grade-school word problems (Cobbe et al. 2021) with worked solutions."""

import re
from dataclasses import dataclass
from functools import lru_cache

from .data import DataError, data_folder, load_rows
from .parsing import boxed, hashes, same_number
from .task import Example, Parsed

DEV_SIZE = 500
"""Rows at the end of the training file that are the dev split."""

INSTRUCTION = "\n\nReason step by step, then give the final number after ####."

_NOTE = re.compile(r"<<[^<>]*>>")


@dataclass(frozen=True)
class GSM8K:
    """GSM8K. `dev` is the last 500 rows of the training file, which `train` goes without.

    Attributes:
        data: a folder with `gsm8k/train.jsonl` and `gsm8k/test.jsonl`; else `ATMANRL_DATA`, else the hub.
        shots: how many worked examples stand in the prompt as earlier turns: always the first rows of `train`.
    """

    name: str = "gsm8k"
    cue: str = "\n#### "
    temperature: float = 0.0
    data: str | None = None
    shots: int = 0

    def __post_init__(self) -> None:
        if self.shots < 0:
            raise ValueError(f"shots must be 0 or more, not {self.shots}")

    def examples(self, split: str, limit: int | None = None) -> list[Example]:
        folder = data_folder(self.data)
        return list(_examples(split, str(folder) if folder else None)[:limit])

    def prompt(self, example: Example) -> list[dict[str, str]]:
        messages = []
        if self.shots:
            shown = [e for e in self.examples("train", self.shots + 1) if e.question != example.question]
            for shot in shown[: self.shots]:
                solution = f"{shot.reasoning}{self.cue}{self.answer_text(shot)}"
                messages.append({"role": "user", "content": shot.question + INSTRUCTION})
                messages.append({"role": "assistant", "content": solution})
        return [*messages, {"role": "user", "content": example.question + INSTRUCTION}]

    def parse(self, completion: str) -> Parsed | None:
        """The first `####` followed by a number, else the last box that holds one."""
        return hashes(completion, numeric=True) or boxed(completion, numeric=True)

    def answer_text(self, example: Example) -> str:
        return example.answer if self.cue[-1:].isspace() else f" {example.answer}"

    def check(self, answer: str, truth: str) -> bool:
        return same_number(answer, truth)


def to_example(question: str, answer: str, where: str) -> Example:
    """A row as an example: the worked solution without its `<<...>>` notes is the reasoning, `#### X` the answer.

    Raises:
        DataError: the answer holds no solution or no `#### X`; `where` names the row.
    """
    solution, _, result = answer.rpartition("####")
    solution, result = _NOTE.sub("", solution).strip(), result.strip()
    if not solution or not result:
        raise DataError(f"{where}: field 'answer' must be a worked solution and a last line '#### RESULT'")
    return Example(question, result, solution)


@lru_cache(maxsize=8)
def _examples(split: str, folder: str | None) -> tuple[Example, ...]:
    if split not in ("train", "dev", "test"):
        raise ValueError(f"gsm8k has no split '{split}': choose one of train, dev, test")
    if split != "test":
        rows = _file_examples("train", folder)
        if len(rows) <= DEV_SIZE:
            raise DataError(
                f"gsm8k's training file needs more than {DEV_SIZE} rows (the last are dev), not {len(rows)}"
            )
        return rows[:-DEV_SIZE] if split == "train" else rows[-DEV_SIZE:]
    return _file_examples("test", folder)


@lru_cache(maxsize=8)
def _file_examples(split: str, folder: str | None) -> tuple[Example, ...]:
    rows = load_rows("gsm8k", split, folder)
    return tuple(to_example(row["question"], row["answer"], f"gsm8k {split} row {i}") for i, row in enumerate(rows))
