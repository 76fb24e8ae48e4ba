"""A user's own questions: a JSON Lines file with `question` and `answer`, and perhaps `reasoning`, on each line."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .data import DataError, read_numbered, require
from .parsing import answer_is, boxed, hashes, parse_number, same_number, think
from .task import Example, Parsed

INSTRUCTION = "\n\nReason step by step, then give the final answer after ####."


@dataclass(frozen=True)
class JsonlTask:
    """Questions from a file, which is read anew at each call of `examples`; every split is the whole file.

    Attributes:
        path: the file; `~` is the home folder.
        name: the file's name without its ending, unless given.

    Raises:
        DataError: the file is not there.
    """

    path: str
    name: str = ""
    cue: str = "\n#### "
    temperature: float = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "path", str(Path(self.path).expanduser()))
        object.__setattr__(self, "name", self.name or Path(self.path).stem)
        if not os.path.isfile(self.path):  # noqa: PTH113 - no error where the folder is closed to us
            raise DataError(f"{self.path} is not a file: give a JSON Lines file with question and answer on each line")

    def examples(self, split: str, limit: int | None = None) -> list[Example]:
        """The file's first `limit` rows, whatever the split.

        Raises:
            DataError: a line is wrong, or a field missing or empty; with file and line. All lines are checked.
        """
        if split not in ("train", "dev", "test"):
            raise ValueError(f"{self.name} has no split '{split}': choose one of train, dev, test")
        return [_to_example(row, f"{self.path} line {number}") for number, row in read_numbered(self.path)][:limit]

    def prompt(self, example: Example) -> list[dict[str, str]]:
        return [{"role": "user", "content": example.question + INSTRUCTION}]

    def parse(self, completion: str) -> Parsed | None:
        r"""The first `#### X`, else the last `\boxed{X}`, else "The answer is X", else what follows `</think>`."""
        return hashes(completion) or boxed(completion) or answer_is(completion) or think(completion)

    def answer_text(self, example: Example) -> str:
        return example.answer if self.cue[-1:].isspace() else f" {example.answer}"

    def check(self, answer: str, truth: str) -> bool:
        """Whether both are the same number, units aside; if one is no number, the same text but for case and space."""
        if parse_number(answer) is not None and parse_number(truth) is not None:
            return same_number(answer, truth)
        return _plain(answer) == _plain(truth)


def _plain(text: str) -> str:
    return " ".join(text.casefold().split()).strip(" .*")


def _to_example(row: dict[str, Any], where: str) -> Example:
    texts: dict[str, str] = {}
    for field in ("question", "answer", "reasoning"):
        if field == "reasoning" and row.get(field) is None:
            continue
        value = require(row, field, where)
        if isinstance(value, int | float) and not isinstance(value, bool) and field == "answer":
            value = str(value)
        if not isinstance(value, str):
            raise DataError(f"{where}: field '{field}' must be text, not {type(value).__name__}")
        texts[field] = value.strip()
    return Example(texts["question"], texts["answer"], texts.get("reasoning"))
