"""Geometry of charts that the templates draw as SVG: lines over an axis, intervals on a common scale.

Sides are told apart by colour and by marker, so that no reader depends on colour; a side's series by dash.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

MARKERS = (
    "M-3.5,0a3.5,3.5 0 1,0 7,0a3.5,3.5 0 1,0 -7,0z",
    "M-3.1,-3.1h6.2v6.2h-6.2z",
    "M0,-4.2L4,3H-4z",
    "M0,-4.6L4.2,0L0,4.6L-4.2,0z",
    "M0,4.2L4,-3H-4z",
    "M-1.3,-4.2h2.6v2.9h2.9v2.6h-2.9v2.9h-2.6v-2.9h-2.9v-2.6h2.9z",
    "M-3.9,-2L-2,-3.9L0,-1.9L2,-3.9L3.9,-2L1.9,0L3.9,2L2,3.9L0,1.9L-2,3.9L-3.9,2L-1.9,0z",
    "M0,-4.4L4.2,-1.4L2.6,3.6H-2.6L-4.2,-1.4z",
)
DASHES = ("none", "7 3", "2 3", "9 3 2 3", "13 4", "4 2", "1 2", "9 2 2 2 2 2")
MOST = len(MARKERS)

_WIDTH, _HEIGHT = 380, 252
_LEFT, _RIGHT, _TOP, _BOTTOM = 48, 12, 26, 46
_STRIP_WIDTH, _STRIP_EDGE, _STRIP_LINE, _STRIP_AXIS = 190, 8, 13, 16


@dataclass(frozen=True)
class Line:
    """One line of a chart.

    Attributes:
        name: what it is called where the chart is described in words.
        style: which colour and marker.
        dash: which dash.
        hollow: whether its markers are outlines.
        points: x, y, lower and upper bound of y; `None` where there is none.
        faint: a thin line without markers, behind the others.
    """

    name: str
    style: int
    dash: int
    points: Sequence[tuple[float, float | None, float | None, float | None]]
    hollow: bool = False
    faint: bool = False


def line_chart(
    title: str, lines: Sequence[Line], x_title: str, y_title: str, x_percent: bool = False, y_percent: bool = False
) -> dict[str, Any] | None:
    """What the template needs to draw lines with their 95 % intervals; `None` where no point is a number.

    Args:
        title: of the chart.
        lines: in the order of drawing.
        x_title: of the axis across, with its unit.
        y_title: of the axis upwards, with its unit.
        x_percent: whether x are shares, shown in percent.
        y_percent: the same for y, which then run from 0 to 100 % where they lie within.
    """
    xs = sorted({x for line in lines for x, y, _, _ in line.points if y is not None})
    if not xs:
        return None
    reach = [v for line in lines for _, *ys in line.points if ys[0] is not None for v in ys if v is not None]
    y_ticks = _upwards(reach, y_percent)
    apart = y_ticks[1] - y_ticks[0]
    low, high = y_ticks[0], y_ticks[-1]
    # A tick that nothing comes near would leave the chart half empty.
    if not y_percent and len(y_ticks) > 3 and min(reach) - low > 0.6 * apart:
        low, y_ticks = min(reach) - 0.15 * apart, y_ticks[1:]
    if not y_percent and len(y_ticks) > 3 and high - max(reach) > 0.6 * apart:
        high, y_ticks = max(reach) + 0.15 * apart, y_ticks[:-1]
    few = len(xs) <= 6

    def across(x: float) -> float:
        # Few places stand in from the edges, so that whiskers beside them have room.
        inset = 16 if few else 5
        share = (x - xs[0]) / (xs[-1] - xs[0]) if len(xs) > 1 else 0.5
        return round(_LEFT + inset + share * (_WIDTH - _LEFT - _RIGHT - 2 * inset), 1)

    def up(y: float) -> float:
        return round(_HEIGHT - _BOTTOM - (y - low) / (high - low) * (_HEIGHT - _TOP - _BOTTOM), 1)

    marked = [line for line in lines if not line.faint]
    drawn = []
    for line in lines:
        # Whiskers of lines that share their places stand a little apart.
        aside = 4.0 * (marked.index(line) - (len(marked) - 1) / 2) if few and not line.faint else 0.0
        shown = sorted(line.points, key=lambda point: point[0])
        places = [(across(x) + aside, up(y)) for x, y, _, _ in shown if y is not None]
        bounds = [
            (across(x) + aside, up(lo), up(hi))
            for x, y, lo, hi in shown
            if y is not None and lo is not None and hi is not None
        ]
        drawn.append(
            {
                "style": line.style,
                "dash": DASHES[line.dash % len(DASHES)],
                "marker": MARKERS[line.style % MOST],
                "hollow": line.hollow,
                "faint": line.faint,
                "stretches": [_path(stretch) for stretch in _stretches(shown, across, up, aside)],
                "places": [] if line.faint else [(round(x, 1), y) for x, y in places[:: 1 + len(places) // 12]],
                "whiskers": [(round(x, 1), lo, hi) for x, lo, hi in bounds] if few else [],
                "band": "" if few or not bounds else _band(bounds),
            }
        )
    return {
        "title": title,
        "size": (_WIDTH, _HEIGHT),
        "left": _LEFT,
        "right": _WIDTH - _RIGHT,
        "bottom": _HEIGHT - _BOTTOM,
        "x_title": x_title,
        "y_title": y_title,
        "x_ticks": [(across(x), minus(text)) for x, text in _along(xs, x_percent)],
        "y_ticks": [(up(y), minus(tick_text(y_percent, y, apart))) for y in y_ticks],
        "zero": up(0.0) if low < 0 < high else None,
        "lines": drawn,
        "described": _described(title, marked, x_title, y_percent, x_percent),
    }


def interval_strip(
    sides: Sequence[tuple[int, int, float, float, float]], lines: int, percent: bool
) -> dict[str, Any] | None:
    """Values with their 95 % intervals under one another, one line a side, on a common scale.

    Args:
        sides: style, line, value, lower and upper bound of each side that has a value.
        lines: how many sides there are; a side without a value leaves its line empty.
        percent: whether the values are shares, whose scale is 0 to 100 %.
    """
    reach = [bound for _, _, *values in sides for bound in values]
    if not reach:
        return None
    scale = _upwards(reach, percent)
    low, high = scale[0], scale[-1]

    def across(value: float) -> float:
        return round(_STRIP_EDGE + (value - low) / (high - low) * (_STRIP_WIDTH - 2 * _STRIP_EDGE), 1)

    bottom = lines * _STRIP_LINE + 4
    return {
        "size": (_STRIP_WIDTH, bottom + _STRIP_AXIS),
        "bottom": bottom,
        "rules": [across(value) for value in scale],
        "ends": [(across(value), minus(tick_text(percent, value, scale[1] - scale[0]))) for value in (low, high)],
        "sides": [
            {
                "style": style,
                "marker": MARKERS[style % MOST],
                "y": 2 + _STRIP_LINE * (line + 0.5),
                "value": across(value),
                "bounds": (across(lower), across(upper)),
            }
            for style, line, value, lower, upper in sides
        ],
    }


def running_mean(points: Sequence[Sequence[float]], window: int) -> list[tuple[float, float]]:
    """The mean of the `window` points around each, fewer at the ends."""
    half = window // 2
    smooth = []
    for i, (x, *_) in enumerate(points):
        near = [point[1] for point in points[max(0, i - half) : i + half + 1]]
        smooth.append((x, math.fsum(near) / len(near)))
    return smooth


def ticks(low: float, high: float, whole: bool = False) -> list[float]:
    """Three to six round numbers, evenly apart, that reach from `low` or below to `high` or above."""
    span = (high - low) or abs(high) or 1.0
    unit = 10.0 ** math.floor(math.log10(span / 3))
    step = next(unit * factor for factor in (1, 2, 5, 10) if unit * factor >= span / 4)
    if whole:
        step = max(1.0, step)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [step * i for i in range(first, max(last, first + 1) + 1)]


def tick_text(percent: bool, value: float, step: float) -> str:
    """`value`, in percent or as it is, with the decimals that tell ticks `step` apart from each other."""
    scale, unit = (100, " %") if percent else (1, "")
    decimals = max(0, -math.floor(math.log10(step * scale) + 1e-9))
    number = f"{value * scale:.3g}" if decimals > 5 else f"{round(value * scale, decimals) + 0.0:.{decimals}f}"
    return f"{number}{unit}"


def minus(text: str) -> str:
    """`text` with true minus signs for its hyphens."""
    return text.replace("-", "\u2212")


def _upwards(reach: list[float], percent: bool) -> list[float]:
    """Ticks over `reach`: over all of the scale for shares, else from zero where that costs little of the room."""
    low, high = min(reach), max(reach)
    if percent and 0 <= low <= high <= 1:
        return [0.0, 0.25, 0.5, 0.75, 1.0]
    if 0 < low <= 0.5 * high:
        low = 0.0
    elif 0.5 * low <= high < 0:
        high = 0.0
    return ticks(low, high)


def _along(xs: list[float], percent: bool) -> list[tuple[float, str]]:
    """The places named under the axis: the points' own where they are few and apart, else round numbers."""
    span = xs[-1] - xs[0]
    if len(xs) <= 6 and all(b - a >= span / 12 for a, b in pairwise(xs)):
        return [(x, f"{round(100 * x)} %" if percent else f"{x:g}") for x in xs]
    steps = ticks(xs[0], xs[-1], whole=not percent and all(float(x).is_integer() for x in xs))
    apart = steps[1] - steps[0]
    return [(x, tick_text(percent, x, apart)) for x in steps if xs[0] - 1e-9 <= x <= xs[-1] + 1e-9]


def _stretches(points: Any, across: Any, up: Any, aside: float) -> list[list[tuple[float, float]]]:
    """The line between its gaps, which are the points without a value."""
    found: list[list[tuple[float, float]]] = [[]]
    for x, y, _, _ in points:
        if y is None:
            found.append([])
        else:
            found[-1].append((round(across(x) + aside, 1), up(y)))
    return [stretch for stretch in found if len(stretch) > 1]


def _path(stretch: list[tuple[float, float]]) -> str:
    return " ".join(f"{x},{y}" for x, y in stretch)


def _band(bounds: list[tuple[float, float, float]]) -> str:
    return _path([(x, lo) for x, lo, _ in bounds] + [(x, hi) for x, _, hi in reversed(bounds)])


def _described(title: str, lines: Sequence[Line], x_title: str, y_percent: bool, x_percent: bool) -> str:
    """The chart in words: where each line starts and ends."""

    def said(value: float, percent: bool) -> str:
        return f"{100 * value:.1f} %" if percent else f"{value:.3g}"

    told = []
    for line in lines:
        known = [(x, y) for x, y, _, _ in line.points if y is not None]
        if known:
            ends = [f"{said(y, y_percent)} at {said(x, x_percent)}" for x, y in (known[0], known[-1])]
            told.append(f"{line.name}: {ends[0]}, {ends[1]}" if len(known) > 1 else f"{line.name}: {ends[0]}")
    return minus(f"{title}, across: {x_title}. " + "; ".join(told))
