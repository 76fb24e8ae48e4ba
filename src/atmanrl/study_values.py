"""What is left of a study's finished evaluation for the comparison: small files, to be kept and carried on with."""

import gzip
import json
from pathlib import Path

from .files import write_bytes
from .study_config import Cell, StudyConfig

TRICK = "trick/"
"""Before a trick's name where a values file holds its rewards."""

Kept = dict[str, list[float | None]]
"""What a values file holds: by name one value a question, `None` where there is none."""


def values_file(config: StudyConfig, cell: Cell, name: str) -> Path:
    """Where the values of a cell's evaluation are; it is finished when they are there."""
    return Path(config.output_dir) / cell.name / f"{name}.values.json.gz"


def write_values(path: Path, values: Kept) -> None:
    """The same values make the same file."""
    write_bytes(path, gzip.compress(json.dumps(values).encode(), mtime=0))


def read_values(path: Path) -> Kept:
    """What `write_values` has written."""
    return dict(json.loads(gzip.decompress(path.read_bytes())))


def length_file(config: StudyConfig, cell: Cell) -> Path:
    """Where the length is at which a cell's training ended, so that another arm can be matched to it."""
    return Path(config.output_dir) / cell.name / "length.json"


def read_length(config: StudyConfig, cell: Cell) -> float | None:
    """Tokens a completion over the last steps of a cell's training; `None` where there was none."""
    file = length_file(config, cell)
    return float(json.loads(file.read_text(encoding="utf-8"))["tokens"]) if file.exists() else None
