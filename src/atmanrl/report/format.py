"""What both views share: metrics' labels, figures with their units, model text made harmless."""

import math
from collections.abc import Iterable, Sequence
from typing import Any

from ..metrics import METRICS

_OTHERS = {"bypass": "Bypass (nats)", "n": "Questions", "work": "Work", "used": "Used"}
"""What tables show beside the metrics, after them."""

_CONTROLS = {code: f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0xA0)) if chr(code) not in "\n\t"}


def label(name: str) -> str:
    """How a metric is called in tables that have no column for units."""
    if name in METRICS:
        return METRICS[name].label + (" (nats)" if METRICS[name].unit == "nats" else "")
    return _OTHERS.get(name) or name.replace("_", " ").capitalize()


def group(name: str) -> str:
    """The criterion that a metric belongs to; `Other` for one that we do not know."""
    return METRICS[name].group if name in METRICS else "Other"


def in_table_order(names: Iterable[str]) -> list[str]:
    """`names` in the order of `METRICS`, unknown ones last, as they come."""
    names = list(names)
    return [name for name in METRICS if name in names] + [name for name in names if name not in METRICS]


def harmless(text: str) -> str:
    """`text` with its control characters, but line break and tab, written out: an escape as `\\x1b`."""
    return text.translate(_CONTROLS)


def one_line(text: str, most: int = 40) -> str:
    """The start of `text` on one line, line breaks and tabs written out."""
    text = harmless(text).replace("\n", "\\n").replace("\t", "\\t")
    return text if len(text) <= most else text[: most - 3] + "..."


def is_percent(name: str) -> bool:
    """Whether a metric is a rate, which is shown in percent."""
    if name in METRICS:
        return METRICS[name].unit == "rate"
    return name in ("work", "used") or name.endswith(("_accuracy", "share", "rate"))


def figure(name: str, value: float | None) -> str:
    """A metric's value with its unit: shares and rates in percent, counts whole, `n/a` for what is not a number."""
    if value is None or not math.isfinite(value):
        return "n/a"
    return f"{100 * value:.1f} %" if is_percent(name) else _number(value)


def interval(name: str, ci95: Sequence[float] | None) -> str:
    """A 95 % interval in the metric's unit, in brackets; empty for none."""
    if not ci95:
        return ""
    return "[" + ", ".join(figure(name, bound).removesuffix(" %") for bound in ci95) + "]"


def change(name: str, before: float | None, after: float | None) -> tuple[str, str]:
    """From `before` to `after`: absolute and, but for accuracy, relative; empty where there is none to state."""
    if name == "n" or before is None or after is None or not math.isfinite(after - before):
        return "", ""
    absolute = difference(name, after - before, max(abs(before), abs(after)))
    if name == "accuracy" or before <= 0 or after < 0:
        return absolute, ""
    return absolute, f"({round(100 * (after - before) / before):+d} %)"


def difference(name: str, value: float | None, size: float | None = None) -> str:
    """A signed difference in the metric's unit, rates in percentage points; `size`: how large the compared values are,
    where that decides on the decimals."""
    if value is None or not math.isfinite(value):
        return "n/a"
    if is_percent(name):
        return f"{round(100 * value, 1) + 0.0:+.1f} pts"
    decimals = 1 if (abs(value) if size is None else size) >= 10 else 2
    return f"{round(value, decimals) + 0.0:+.{decimals}f}"


def difference_interval(name: str, ci95: Sequence[float] | None) -> str:
    """A 95 % interval of a difference, in brackets; empty for none."""
    if not ci95:
        return ""
    size = max(abs(bound) for bound in ci95)
    return "[" + ", ".join(difference(name, bound, size).removesuffix(" pts") for bound in ci95) + "]"


def compared(before: dict[str, Any], after: dict[str, Any]) -> list[dict[str, str]]:
    """Rows of a before/after table: every number that either side has, as text."""
    sides = {**before, **after}
    known = [*METRICS, *_OTHERS]
    names = [name for name in known if name in sides]
    names += [name for name, value in sides.items() if name not in known and _is_number(value)]
    rows = []
    for name in names:
        absolute, relative = change(name, before.get(name), after.get(name))
        row = {"label": label(name), "change": absolute, "relative": relative}
        for side, metrics in (("before", before), ("after", after)):
            row[side] = figure(name, metrics.get(name))
            row[f"{side}_ci95"] = interval(name, metrics.get(f"{name}_ci95"))
        rows.append(row)
    return rows


def duration(seconds: float) -> str:
    """Seconds as people say them."""
    if seconds >= 100:
        return f"{int(seconds // 60)} min {int(seconds % 60)} s"
    return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"


def how_found(explanation: dict[str, Any]) -> list[str]:
    """How an explanation's saliency was found, in a few words each: the mask's scope and steps, or another method."""
    method = explanation.get("method", "mask")
    if method != "mask":
        return [f"by {method.replace('_', ' ')} (not the learned mask), shares of the largest score"]
    return [f"scope {explanation['scope']}", f"{explanation['steps']} steps"]


def most_salient(reasoning: list[dict[str, Any]], count: int = 5) -> list[dict[str, Any]]:
    """The salient tokens of highest saliency, highest first, each with its `position` in the reasoning, from 1."""
    placed = [{**token, "position": i} for i, token in enumerate(reasoning, start=1) if token["salient"]]
    return sorted(placed, key=lambda token: -(token["saliency"] or 0.0))[:count]


def _number(value: float) -> str:
    if isinstance(value, int):
        return str(value)
    return f"{value:.1f}" if abs(value) >= 10 else f"{round(value, 2) + 0.0:.2f}"


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
