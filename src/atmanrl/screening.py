"""Questions that a model solves sometimes: of those that it always or never solves a group of GRPO learns nothing."""

from collections.abc import Sequence
from pathlib import Path

from .tasks import DataError, Example
from .tasks.data import read_numbered, require


def solved_sometimes(examples: Sequence[Example], files: Sequence[str | Path]) -> list[Example]:
    """The examples that some of a model's evaluations solved and some did not, in their order.

    Args:
        files: rows of two or more evaluations at a temperature over 0, each from another seed, as
            `atmanrl evaluate --json` writes them beside its result. An example that is in none of them is left out.

    Raises:
        DataError: a file cannot be read or is no such rows, or no example is solved sometimes.
    """
    solved: dict[str, set[bool]] = {}
    for file in files:
        for number, row in read_numbered(file):
            where = f"{file} line {number}"
            question, correct = str(require(row, "question", where)), row.get("correct")
            if not isinstance(correct, bool):
                raise DataError(f"{where}: field 'correct' must be true or false: give the rows of an evaluation")
            solved.setdefault(question, set()).add(correct)
    chosen = [example for example in examples if len(solved.get(example.question, ())) == 2]
    if not chosen:
        raise DataError(
            f"none of the {len(examples)} training questions is solved in some and not in all of "
            f"{', '.join(map(str, files))}: evaluate more of the split 'train', sampled, from more seeds"
        )
    return chosen
