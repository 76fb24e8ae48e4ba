"""Reading runs back: evaluation files and run folders as plain data, whatever version wrote them."""

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeGuard

Points = list[list[float]]


@dataclass(frozen=True)
class Arm:
    """One side of a comparison.

    Attributes:
        label: what views call it, unlike the other arms' labels.
        result: the evaluation's JSON object; empty for a run folder that holds a training run and no evaluation.
        rows: the evaluation's rows, one a question; empty where their file is missing.
        curves: lists of step and value by name, from the run folder's training.
    """

    label: str
    result: dict[str, Any]
    rows: list[dict[str, Any]] = field(default_factory=list)
    curves: dict[str, Points] = field(default_factory=dict)


def load_arms(paths: Sequence[str | Path]) -> list[Arm]:
    """Read runs: evaluations' JSON files, each with its rows in the .jsonl beside it, and run folders.

    A run folder gives an arm for each evaluation in it. Its training belongs to that arm where there is one; otherwise
    it is an arm of its own.

    Raises:
        ValueError: a path holds no evaluation and no training, or is broken; one line that says how to mend it.
    """
    found = [(place, arm) for path in paths for place, arm in _arms_at(Path(path))]
    labels = _labels([place for place, _ in found])
    return [Arm(label, arm.result, arm.rows, arm.curves) for label, (_, arm) in zip(labels, found, strict=True)]


def _arms_at(path: Path) -> Iterator[tuple[Path, Arm]]:
    if path.is_dir():
        yield from _arms_in_folder(path)
        return
    if path.suffix == ".jsonl":
        raise ValueError(f"'{path}' holds rows: name the .json file beside it")
    if not path.exists():
        raise ValueError(f"there is no '{path}': name a JSON file of atmanrl evaluate --json, or a run folder")
    result = _read_object(path)
    if not _is_evaluation(result):
        raise ValueError(
            f"'{path}' is not an evaluation (it has no metrics): name a JSON file that atmanrl evaluate --json wrote"
        )
    yield path, _evaluated(path, result)


def _arms_in_folder(folder: Path) -> Iterator[tuple[Path, Arm]]:
    log = folder / "metrics.jsonl"
    curves = _training(log) if log.is_file() else {}
    candidates = [(path, _read_object(path)) for path in sorted(folder.glob("*.json")) if path.is_file()]
    results = [(path, result) for path, result in candidates if _is_evaluation(result)]
    if not results and not curves:
        raise ValueError(
            f"'{folder}' holds no evaluation and no metrics.jsonl of a training: name a run folder of atmanrl train, "
            "or a JSON file of atmanrl evaluate --json"
        )
    if curves and len(results) != 1:
        yield folder, Arm("", {}, [], curves)
        curves = {}
    for path, result in results:
        evaluated = _evaluated(path, result)
        yield path, Arm("", evaluated.result, evaluated.rows, curves)


def _evaluated(path: Path, result: dict[str, Any]) -> Arm:
    rows = path.with_suffix(".jsonl")
    return Arm("", result, _read_rows(rows) if rows.is_file() else [])


def _is_evaluation(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("metrics"), dict)


def _read_object(path: Path) -> Any:
    text = _read(path)
    try:
        return json.loads(text)
    except ValueError as error:
        line = getattr(error, "lineno", 1)
        raise ValueError(f"'{path}' line {line} is not JSON ({_said(error)}): write it anew") from error


def _read_rows(path: Path) -> list[dict[str, Any]]:
    rows = []
    for number, line in _lines(path):
        try:
            row = json.loads(line)
        except ValueError as error:
            raise ValueError(f"'{path}' line {number} is not JSON ({_said(error)}): write the file anew") from error
        if not isinstance(row, dict):
            raise ValueError(f"'{path}' line {number} is not a JSON object: write the file anew")
        rows.append(row)
    return rows


def _training(path: Path) -> dict[str, Points]:
    """Every number of a training's log as a curve; a last line cut short by a kill is left out."""
    lines = list(_lines(path))
    curves: dict[str, Points] = {}
    for number, line in lines:
        try:
            row = json.loads(line)
        except ValueError as error:
            if number == lines[-1][0]:
                break
            raise ValueError(f"'{path}' line {number} is not JSON ({_said(error)}): remove the line") from error
        if not isinstance(row, dict) or not is_number(row.get("step")):
            raise ValueError(f"'{path}' line {number} has no step: remove the line")
        for name, value in row.items():
            if name != "step" and is_number(value):
                curves.setdefault(name, []).append([row["step"], value])
    return curves


def is_number(value: Any) -> TypeGuard[float]:
    """Whether a JSON value is a number, which true and false are not."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def finite(value: Any) -> TypeGuard[float]:
    """Whether a JSON value is a number that can be drawn: not NaN, not infinite."""
    return is_number(value) and math.isfinite(value)


def bounds(ci95: Any) -> list[float] | None:
    """An interval that can be drawn, or `None`."""
    if isinstance(ci95, list | tuple) and len(ci95) == 2 and all(map(finite, ci95)):
        return list(ci95)
    return None


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"'{path}' is not UTF-8 text: name a JSON file of atmanrl evaluate --json") from error


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    # Not splitlines: it also splits at U+2028 and the like, which stand unescaped in model text.
    for number, line in enumerate(_read(path).split("\n"), start=1):
        if line.strip():
            yield number, line


def _said(error: ValueError) -> str:
    return str(getattr(error, "msg", error))


def _labels(places: list[Path]) -> list[str]:
    """Each place's stem; where stems clash, with as many of its parents as tell it apart, in the end with a number."""
    resolved = [place.resolve() for place in places]
    parts = [(*place.parent.parts, place.name if place.is_dir() else place.stem) for place in resolved]
    depths = [1] * len(parts)
    deepest = max(map(len, parts), default=1)
    for _ in range(deepest):
        shown = [part[-depth:] for part, depth in zip(parts, depths, strict=True)]
        # A label shared by places that differ; what is the same place twice, no parent tells apart.
        apart = [parts.count(part) < shown.count(label) for part, label in zip(parts, shown, strict=True)]
        if not any(apart):
            break
        depths = [depth + clash for depth, clash in zip(depths, apart, strict=True)]
    labels: list[str] = []
    for part, depth in zip(parts, depths, strict=True):
        label = "/".join(part[-depth:])
        same = sum(other == label or other.startswith(f"{label} (") for other in labels)
        labels.append(f"{label} ({same + 1})" if same else label)
    return labels
