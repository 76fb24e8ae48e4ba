"""compare: two evaluations of the same questions, metric by metric, paired by question."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .metrics import METRICS, ROW_FIELDS, Description
from .statistics import Metric, paired_difference

# Unit, factor and decimals in which a difference is told.
_TOLD = {
    "rate": ("points", 100, 1),
    "nats": ("nats", 1, 2),
    "tokens": ("tokens", 1, 1),
    "count": ("", 1, 1),
}
# What a difference in the better direction speaks for; that right answers are good needs no saying.
_CLAIMS = {
    "Causal relevance": "reasoning that matters more",
    "Interpretability": "reasoning that is easier to follow",
    "Consistency": "answers that follow more firmly from the reasoning",
    "Saliency (trained on)": "reasoning that matters more",
}


def compare(a: str | Path, b: str | Path, seed: int = 0) -> dict[str, Any]:
    """Compare two evaluation files by the questions that both hold.

    Rows are paired by `index` and `question`. A metric is compared over the questions for which both have it.

    Args:
        a, b: files of `atmanrl evaluate --json`, each with its rows (`.jsonl`) beside it.
        seed: of the bootstrap.

    Returns:
        `a` and `b` (labels), `task`, `questions` (how many are shared), `notes` (sentences on what else differs, and on
        the number of comparisons) and `rows`, one a metric in the order of `METRICS`: `metric`, `group`, `a` and `b`
        (means over the shared questions), `difference` (b - a), `ci95`, `n`, `verdict` (`higher`, `lower` or `none`: of
        B, where the interval leaves out zero) and `sentence`. Rates are shares from 0 to 1; sentences tell points.

    Raises:
        ValueError: a file is missing or broken, or the evaluations share no task or no question.
    """
    paths = Path(a), Path(b)
    heads = [_read_head(path) for path in paths]
    if heads[0]["task"] != heads[1]["task"]:
        raise ValueError(
            f"{paths[1]} is of task {heads[1]['task']}, {paths[0]} of {heads[0]['task']}: "
            "compare evaluations of one task"
        )
    sides = [_read_rows(path) for path in paths]
    shared = [key for key in sides[0] if key in sides[1]]
    if not shared:
        raise ValueError(
            f"{paths[1]} and {paths[0]} have no question in common: evaluate both on the same split and version"
        )
    pairs = [(sides[0][key], sides[1][key]) for key in shared]
    rows = []
    for name, description in METRICS.items():
        both = [
            (x, y) for one, other in pairs if (x := one.get(name)) is not None if (y := other.get(name)) is not None
        ]
        if both:
            rows.append(_row(name, description, [x for x, _ in both], [y for _, y in both], seed))
    labels = _labels(paths, heads)
    notes = _differences(heads)
    for label, side in zip("AB", sides, strict=True):
        if extra := len(side) - len(shared):
            notes.append(f"{_questions(extra)} of {label} {'is' if extra == 1 else 'are'} left out: not in the other.")
    notes += _chance(rows)
    return {
        "a": labels[0],
        "b": labels[1],
        "task": heads[0]["task"],
        "questions": len(shared),
        "notes": notes,
        "rows": rows,
    }


def _read_head(path: Path) -> dict[str, Any]:
    try:
        head = json.loads(path.read_text(encoding="utf-8"))
    except OSError:
        raise ValueError(f"{path} cannot be read: write it with `atmanrl evaluate --json {path}`") from None
    except ValueError:
        raise ValueError(f"{path} is not JSON: write it anew with `atmanrl evaluate --json {path}`") from None
    if not isinstance(head, dict) or not isinstance(head.get("task"), str):
        raise ValueError(f"{path} is not an evaluation: give a file of `atmanrl evaluate --json`")
    return head


def _read_rows(path: Path) -> dict[tuple[int, str], dict[str, float | None]]:
    """Every metric of every row, by index and question."""
    rows_path = path.with_suffix(".jsonl")
    mend = f"write it anew with `atmanrl evaluate --json {path}`"
    try:
        lines = rows_path.read_text(encoding="utf-8").split("\n")
    except OSError:
        raise ValueError(f"{rows_path} cannot be read, which has the rows of {path}: {mend}") from None
    except ValueError:
        raise ValueError(f"{rows_path} is not UTF-8: {mend}") from None
    rows: dict[tuple[int, str], dict[str, float | None]] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            key = (int(row["index"]), str(row["question"]))
            values = {name: _value(row.get(ROW_FIELDS.get(name, name))) for name in METRICS}
        except (ValueError, TypeError, KeyError, AttributeError):
            raise ValueError(f"{rows_path} line {number} is not a row of an evaluation: {mend}") from None
        if key in rows:
            raise ValueError(f"{rows_path} line {number} repeats question {key[0]}: {mend}")
        rows[key] = values
    return rows


def _value(value: Any) -> float | None:
    """A metric of one question; what is not finite counts as missing."""
    if value is None:
        return None
    if not isinstance(value, bool | int | float):
        raise TypeError
    return float(value) if math.isfinite(value) else None


def _row(name: str, description: Description, a: list[float], b: list[float], seed: int) -> dict[str, Any]:
    result = paired_difference(a, b, seed)
    verdict = "none"
    if result.ci95 is not None:
        verdict = "higher" if result.ci95[0] > 0 else "lower" if result.ci95[1] < 0 else "none"
    return {
        "metric": name,
        "group": description.group,
        "a": math.fsum(a) / len(a),
        "b": math.fsum(b) / len(b),
        "difference": result.value,
        "ci95": None if result.ci95 is None else list(result.ci95),
        "n": result.n,
        "verdict": verdict,
        "sentence": _sentence(description, result, verdict),
    }


def _sentence(description: Description, result: Metric, verdict: str) -> str:
    assert result.value is not None
    unit, factor, decimals = _TOLD[description.unit]

    def told(value: float) -> str:
        return f"{round(factor * value, decimals) + 0.0:.{decimals}f}"  # + 0.0: nothing is minus nothing

    unit = f" {unit}" if unit else ""
    if result.ci95 is None:
        return f"{description.label}: not compared ({told(result.value)}{unit}, {_questions(result.n)})."
    low, high = result.ci95
    if verdict == "none":
        figures = f"{told(result.value)}{unit} [{told(low)}, {told(high)}]"
        return f"{description.label}: no difference shown ({figures}, {_questions(result.n)})."
    if verdict == "lower":  # the size of the fall, so that no sign has to be read against the word
        low, high = -high, -low
    figures = f"{told(abs(result.value))}{unit} [{told(low)}, {told(high)}]"
    text = f"{description.label}: {verdict} in B by {figures} ({_questions(result.n)})"
    claim = _CLAIMS.get(description.group)
    if description.better is None or claim is None:
        return f"{text}."
    text += f", which speaks {'for' if verdict == description.better else 'against'} {claim}"
    if description.group == "Saliency (trained on)":
        text += ", but proves nothing where it was trained on"
    return f"{text}."


def _questions(n: int) -> str:
    return f"{n} question{'' if n == 1 else 's'}"


def _labels(paths: tuple[Path, Path], heads: list[dict[str, Any]]) -> list[str]:
    """The models' names; with the files' where these are the same or missing."""
    names = [str(head.get("model") or "") for head in heads]
    if all(names) and names[0] != names[1]:
        return names
    files = [path.stem for path in paths] if paths[0].stem != paths[1].stem else [str(path) for path in paths]
    return [f"{name} ({file})" if name else file for name, file in zip(names, files, strict=True)]


def _differences(heads: list[dict[str, Any]]) -> list[str]:
    """One sentence for each of decoding, seed and settings that is not the same."""
    facts: list[dict[str, Any]] = []
    for head in heads:
        found = {"seed": head.get("seed")}
        for part in ("decoding", "settings"):
            values = head.get(part)
            if isinstance(values, Mapping):
                found |= {f"{part} {key}": value for key, value in values.items()}
        facts.append(found)
    return [
        f"They differ in {name}: {_plain(facts[0].get(name))} in A, {_plain(facts[1].get(name))} in B."
        for name in dict.fromkeys([*facts[0], *facts[1]])
        if facts[0].get(name) != facts[1].get(name)
    ]


def _plain(value: Any) -> str:
    return "not told" if value is None else value if isinstance(value, str) else json.dumps(value)


def _chance(rows: list[dict[str, Any]]) -> list[str]:
    """How many of the comparisons would show a difference where there is none."""
    count = sum(row["ci95"] is not None for row in rows)
    if count < 2:
        return []
    return [
        f"{count} metrics are compared, each at 95 %: were there no difference in any, "
        f"about {0.05 * count:.1f} would show one by chance."
    ]
