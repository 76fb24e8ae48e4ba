"""Rows of the data sets: from a folder of JSON Lines, or from the hub."""

import json
import os
from pathlib import Path
from typing import Any

HUB = {"gsm8k": ("openai/gsm8k", "main"), "mmlu": ("cais/mmlu", "all")}
"""The hub's repository and configuration of each data set."""

FIELDS = {"gsm8k": ("question", "answer"), "mmlu": ("question", "choices", "answer")}
"""The fields that each row of a data set must have."""

Row = dict[str, Any]


class DataError(ValueError):
    """Rows cannot be had: a file is missing or wrong, or the hub cannot be reached. One line, which names the mend."""


def read_jsonl(path: str | Path) -> list[Row]:
    """The objects in a JSON Lines file (UTF-8), in order; blank lines are passed over.

    Raises:
        DataError: the file cannot be read or holds no rows, or a line is not a JSON object; with file and line number.
    """
    return [row for _, row in read_numbered(path)]


def read_numbered(path: str | Path) -> list[tuple[int, Row]]:
    """`read_jsonl`, each row with the number of its line, counted from 1."""
    try:
        lines = Path(path).read_bytes().removeprefix(b"\xef\xbb\xbf").split(b"\n")
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}") from None
    rows = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        row = _parse_line(line, f"{path} line {number}")
        rows.append((number, row))
    if not rows:
        raise DataError(f"{path} holds no rows: give one JSON object a line")
    return rows


def _parse_line(line: bytes, where: str) -> Row:
    try:
        row = json.loads(line.decode())
    except UnicodeDecodeError as error:
        raise DataError(f"{where} is not UTF-8: byte {error.start + 1} of the line") from None
    except json.JSONDecodeError as error:
        raise DataError(f"{where} is not JSON: {error.msg} at column {error.colno}") from None
    except (ValueError, RecursionError) as error:
        raise DataError(f"{where} is not JSON: {str(error).splitlines()[0]}") from None
    if not isinstance(row, dict):
        raise DataError(f"{where} is not a JSON object but {type(row).__name__}")
    return row


def require(row: Row, field: str, where: str) -> Any:
    """The value of a field that must be there and not be empty.

    Args:
        where: the row's place, for the error: "FILE line N".

    Raises:
        DataError: the field is missing, null, an empty list or only white space.
    """
    if field not in row:
        raise DataError(f"{where} has no field '{field}'")
    value = row[field]
    if value is None or value == [] or (isinstance(value, str) and not value.strip()):
        raise DataError(f"{where}: field '{field}' is empty")
    return value


def data_folder(data: str | Path | None = None) -> Path | None:
    """The folder that rows are read from: `data`, else the environment's `ATMANRL_DATA`, else `None` (the hub)."""
    folder = data or os.environ.get("ATMANRL_DATA")
    return Path(folder).expanduser() if folder else None


def load_rows(name: str, split: str, data: str | Path | None = None) -> list[Row]:
    """The rows of one split of a data set.

    Args:
        name: `gsm8k` or `mmlu`.
        split: as the hub names it: `train` and `test` of `gsm8k`; `auxiliary_train`, `dev` and `test` of `mmlu`.
        data: a folder with files `NAME/SPLIT.jsonl`; see `data_folder`.

    Returns:
        Rows with at least the data set's `FIELDS`, none of them empty. MMLU's `answer` is a letter, A to D.

    Raises:
        DataError: no such file, a row that is wrong, or no hub within reach.
        ValueError: no such data set.
    """
    if name not in HUB:
        raise ValueError(f"no data set '{name}': choose one of {', '.join(HUB)}")
    folder = data_folder(data)
    if folder is None:
        source = "/".join(HUB[name])
        numbered = [(f"{source} {split} row {i}", row) for i, row in enumerate(_from_hub(name, split))]
    else:
        path = folder / name / f"{split}.jsonl"
        if not os.path.isfile(path):  # noqa: PTH113 - unlike Path.is_file, no error where the folder is closed to us
            raise DataError(
                f"{path} is not there: put {name}'s {split} rows into it (JSON Lines), name another folder with --data "
                "or ATMANRL_DATA, or unset both to load from the hub"
            )
        numbered = [(f"{path} line {number}", row) for number, row in read_numbered(path)]
    for where, row in numbered:
        for field in FIELDS[name]:
            require(row, field, where)
        if name == "mmlu":
            row["answer"] = _letter(row["answer"], where)
            if not isinstance(row["choices"], list) or len(row["choices"]) != 4:
                raise DataError(f"{where}: field 'choices' must be a list of 4")
    return [row for _, row in numbered]


def _letter(answer: Any, where: str) -> str:
    if isinstance(answer, int) and not isinstance(answer, bool) and 0 <= answer < 4:
        return "ABCD"[answer]
    if isinstance(answer, str) and answer.strip() in ("A", "B", "C", "D"):
        return answer.strip()
    raise DataError(f"{where}: field 'answer' must be A, B, C or D, or 0 to 3, not {answer!r}")


def _from_hub(name: str, split: str) -> list[Row]:
    from datasets import load_dataset  # slow to import, and not needed where a folder is given

    repository, configuration = HUB[name]
    try:
        return [dict(row) for row in load_dataset(repository, configuration, split=split)]
    except Exception as error:  # the hub's clients raise errors of several libraries; none of them is ours
        reason = (str(error).splitlines() or [""])[0][:200]
        raise DataError(
            f"cannot load {repository} from the hub ({type(error).__name__}: {reason}): give a folder that holds "
            f"{name}/{split}.jsonl with --data, or set ATMANRL_DATA"
        ) from error
