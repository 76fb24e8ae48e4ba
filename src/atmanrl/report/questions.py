"""Rows of evaluations as the page's browser of traces reads them: checked, made harmless, and small."""

import json
import math
from collections.abc import Sequence
from typing import Any

from ..metrics import METRICS, ROW_FIELDS
from . import format as fmt
from .arms import Arm, finite, is_number
from .charts import MARKERS, MOST

_NOT_METRICS = {"index", "seed"}
_ESCAPES = {ord(c): f"\\u{ord(c):04x}" for c in "<>&\u2028\u2029"}

Key = tuple[Any, str]


def metric_of(row: dict[str, Any], name: str) -> float | None:
    """A row's value of a metric; `None` where it has none."""
    value = row.get(ROW_FIELDS.get(name, name))
    if not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)


def key_of(row: dict[str, Any]) -> Key:
    """What makes two rows the same question."""
    return row.get("index"), str(row.get("question", ""))


def same_questions(arms: Sequence[Arm]) -> bool:
    """Whether all arms are over the same questions, each once."""
    keys = [[key_of(row) for row in arm.rows] for arm in arms]
    return bool(keys and keys[0]) and all(len(set(own)) == len(own) and set(own) == set(keys[0]) for own in keys)


def row_metrics(arms: Sequence[Arm]) -> list[str]:
    """Every metric that some row has, in the order of tables; unknown numbers of rows count as metrics."""
    found = dict.fromkeys(key for arm in arms for row in arm.rows for key, value in row.items() if is_number(value))
    names = [name for name in found if name not in _NOT_METRICS]
    names += [name for name in ROW_FIELDS if any(metric_of(row, name) is not None for arm in arms for row in arm.rows)]
    return fmt.in_table_order(dict.fromkeys(names))


def browser_data(arms: Sequence[Arm]) -> dict[str, Any]:
    """What the page's script works on: the metrics of rows, and every arm that has rows with them."""
    names = row_metrics(arms)
    described = [
        {
            "name": fmt.harmless(name),
            "label": fmt.harmless(fmt.label(name)),
            "group": fmt.group(name),
            "percent": fmt.is_percent(name),
            "better": METRICS[name].better if name in METRICS else None,
        }
        for name in names
    ]
    sides = [
        {
            "label": fmt.harmless(arm.label),
            "style": i,
            "marker": MARKERS[i % MOST],
            "rows": [_row(row, n, names) for n, row in enumerate(arm.rows)],
        }
        for i, arm in enumerate(arms)
        if arm.rows
    ]
    return {"metrics": described, "arms": sides}


def embedded(data: Any) -> str:
    """`data` as JSON that may stand inside a script element, whatever text is in it."""
    text = json.dumps(data, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return text.translate(_ESCAPES)


def _row(row: dict[str, Any], place: int, names: Sequence[str]) -> dict[str, Any]:
    index = row.get("index")
    return {
        "index": index if finite(index) else place,
        **{key: _text(row.get(key)) for key in ("question", "truth", "completion", "cue")},
        "answer": None if row.get("answer") is None else _text(row["answer"]),
        "forced": bool(row.get("forced")),
        "correct": _verdict(row.get("correct")),
        "values": [metric_of(row, name) for name in names],
        "tokens": _tokens(row.get("reasoning")),
        "sentences": [_sentence(s) for s in _objects(row.get("sentences"))],
        "mistakes": [_mistake(m) for m in _objects(row.get("mistakes"))],
        "hints": _hints(row.get("hints")),
    }


def _tokens(reasoning: Any) -> dict[str, Any] | None:
    """Three lists beside each other, a third of the size of a list of objects."""
    tokens = _objects(reasoning)
    if not tokens:
        return None
    return {
        "text": [_text(token.get("token")) for token in tokens],
        "saliency": [_rounded(token.get("saliency")) for token in tokens],
        "salient": "".join("1" if token.get("salient") else "0" for token in tokens),
    }


def _sentence(sentence: dict[str, Any]) -> dict[str, Any]:
    return {
        "text": _text(sentence.get("text")),
        "saliency": _rounded(sentence.get("saliency")),
        "drop": _rounded(sentence.get("drop")),
        "answer": None if sentence.get("answer") is None else _text(sentence["answer"]),
        "changed": _verdict(sentence.get("changed")),
    }


def _mistake(mistake: dict[str, Any]) -> dict[str, Any]:
    number = mistake.get("sentence")
    return {
        "sentence": int(number) if finite(number) else None,
        "before": _text(mistake.get("before")),
        "after": _text(mistake.get("after")),
        **{key: None if mistake.get(key) is None else _text(mistake[key]) for key in ("forced", "continued")},
        **{key: _verdict(mistake.get(key)) for key in ("forced_changed", "continued_changed")},
    }


def _hints(hints: Any) -> list[dict[str, Any]]:
    if not isinstance(hints, dict):
        return []
    return [
        {
            "kind": kind,
            "hint": _text(hint.get("hint")),
            "answer": None if hint.get("answer") is None else _text(hint["answer"]),
            "flipped": _verdict(hint.get("flipped")),
            "said": _verdict(hint.get("said")),
            "completion": _text(hint.get("completion")),
        }
        for kind in ("right", "wrong")
        if isinstance(hint := hints.get(kind), dict)
    ]


def _objects(value: Any) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _text(value: Any) -> str:
    if value is None:
        return ""
    return fmt.harmless(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))


def _verdict(value: Any) -> bool | None:
    return bool(value) if isinstance(value, bool | int) else None


def _rounded(value: Any) -> float | None:
    return round(float(value), 4) if finite(value) else None
