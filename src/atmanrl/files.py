"""Writing files whole: beside the place, then renamed onto it, so that no half-written file is ever seen."""

import json
import os
import uuid
from pathlib import Path
from typing import Any


def write_text(path: str | Path, text: str) -> None:
    """Write `text` to `path` as UTF-8, whole or not at all.

    The folder is created where it is missing; links are followed. Lone surrogates, which UTF-8 cannot hold, are written
    as `\\udXXX`, which JSON reads back as they were. What is no plain file (`/dev/stdout`) is written to directly.

    Raises:
        OSError: it cannot be written; an older file at `path` is as it was, and nothing is left beside it.
    """
    write_bytes(path, text.encode("utf-8", errors="backslashreplace"))


def write_bytes(path: str | Path, data: bytes) -> None:
    """Write `data` to `path`, whole or not at all; otherwise as `write_text`."""
    path = Path(path)
    if path.exists() and not path.is_file():
        path.write_bytes(data)
        return
    path = path.resolve()
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.parent / f".{uuid.uuid4().hex}.tmp"
    try:
        with beside.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


def write_json(path: str | Path, obj: Any) -> None:
    """Write `obj` to `path` as indented JSON, whole or not at all.

    Raises:
        ValueError: a number in it is not finite, which JSON cannot hold; nothing is written.
        OSError: as in `write_text`.
    """
    write_text(path, json.dumps(obj, indent=2, ensure_ascii=False, allow_nan=False) + "\n")
