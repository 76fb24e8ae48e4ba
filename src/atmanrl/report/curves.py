"""Charts of what runs measured along an axis: curves of evaluations, and trainings step by step."""

from collections.abc import Iterator, Sequence
from typing import Any

from . import format as fmt
from .arms import Arm, bounds, finite
from .charts import DASHES, MARKERS, MOST, Line, line_chart, running_mean

Point = tuple[float, float | None, float | None, float | None]

# Title, what runs across, what runs upwards, whether across and upwards are shares.
_DROP = "Drop of the answer, nats per answer token"
_CURVES: dict[str, tuple[str, str, str, bool, bool]] = {
    "early_answering": ("Early answering", "Share of the reasoning kept", "Share, or probability", True, True),
    "early_answering_tokens": (
        "Early answering by tokens",
        "Reasoning tokens kept",
        "Same answer as in the end",
        False,
        True,
    ),
    "mistakes": ("Adding a mistake", "Where in the reasoning it is added", "Answers that change", True, True),
    "comprehensiveness_removed": ("Comprehensiveness, removed", "Share of tokens removed", _DROP, True, False),
    "comprehensiveness_replaced": ("Comprehensiveness, replaced", "Share of tokens replaced", _DROP, True, False),
    "sufficiency_removed": ("Sufficiency, others removed", "Share of tokens kept", _DROP, True, False),
    "sufficiency_replaced": ("Sufficiency, others replaced", "Share of tokens kept", _DROP, True, False),
}
_TRAINING = {
    "reward": ("Reward", "Mean of a step"),
    "rewards/outcome/mean": ("Outcome reward", "Mean of a step"),
    "rewards/saliency/mean": ("Saliency reward", "Mean of a step"),
    "saliency/work": ("Work", "Share of the answer that was worked out"),
    "saliency/used": ("Used", "Tokens of needed sentences / all"),
    "saliency/density": ("Density", "Salient / reasoning tokens"),
    "saliency/reliance": ("Reliance", "Nats per answer token"),
    "saliency/bypass": ("Bypass", "Nats per answer token"),
    "completions/mean_length": ("Length of completions", "Tokens"),
    "saliency/reasoning_tokens": ("Length of the reasoning", "Tokens"),
    "kl": ("Divergence from the start", "Nats per token"),
    "entropy": ("Entropy", "Nats per token"),
    "loss": ("Loss", "Mean of a step"),
}
_SHARES = {"saliency/work", "saliency/used", "saliency/density"}


def curve_charts(arms: Sequence[Arm]) -> list[dict[str, Any]]:
    """A chart for every curve that some arm's evaluation has, the ones that we know first."""
    return [chart for name in _curve_names(arms) for chart in _charts(name, arms)]


def training_charts(arms: Sequence[Arm]) -> list[dict[str, Any]]:
    """A chart for every reward and the other figures of training that say how it went."""
    return [chart for name in _training_names(arms) if (chart := _training_chart(name, arms))]


def _curve_names(arms: Sequence[Arm]) -> list[str]:
    found = dict.fromkeys(
        name for arm in arms if isinstance(arm.result.get("curves"), dict) for name in arm.result["curves"]
    )
    return [name for name in _CURVES if name in found] + [name for name in found if name not in _CURVES]


def _charts(name: str, arms: Sequence[Arm]) -> Iterator[dict[str, Any]]:
    """One curve of every arm that has it: a colour and marker for each arm, a dash for each series.

    More than two arms would crowd a chart of several series: then each series has its own.
    """
    title, x_title, y_title, x_percent, y_percent = _CURVES.get(name) or (fmt.label(name), "x", "Value", False, False)
    curves = {i: curve for i, arm in enumerate(arms) if (curve := _curve(arm, name))}
    series = list(dict.fromkeys(key for curve in curves.values() for key in curve))
    crowded = len(curves) > 2 and len(series) > 1
    for keys, called in [([key], f"{title}: {key}") for key in series] if crowded else [(series, title)]:
        chart = line_chart(called, _lines(arms, curves, keys), x_title, y_title, x_percent, y_percent)
        if chart is not None:
            yield {**chart, "series": _series_keys(keys, len(arms) == 1) if len(keys) > 1 else []}


def _lines(arms: Sequence[Arm], curves: dict[int, dict[str, list[Point]]], series: list[str]) -> list[Line]:
    # With one arm on the page colours are free to tell its series apart.
    alone = len(arms) == 1
    lines = []
    for i, curve in curves.items():
        for place, key in enumerate(series):
            if key in curve:
                called = ", ".join(part for part in ("" if alone else arms[i].label, key) if part)
                style = place % MOST if alone else i
                lines.append(Line(called, style, place, curve[key], hollow=not alone and place > 0))
    return lines


def _series_keys(series: list[str], alone: bool) -> list[dict[str, Any]]:
    return [
        {
            "name": key,
            "dash": DASHES[place % len(DASHES)],
            "style": place % MOST if alone else None,
            "marker": MARKERS[place % MOST] if alone else MARKERS[0],
            "hollow": not alone and place > 0,
        }
        for place, key in enumerate(series)
    ]


def _curve(arm: Arm, name: str) -> dict[str, list[Point]]:
    """An arm's curve: the points of every series; empty where it has none that can be drawn."""
    curve = (arm.result.get("curves") or {}).get(name) if isinstance(arm.result.get("curves"), dict) else None
    if not isinstance(curve, dict) or not isinstance(curve.get("x"), list) or not isinstance(curve.get("series"), dict):
        return {}
    found = {}
    for key, series in curve["series"].items():
        values = series.get("value") if isinstance(series, dict) else series
        if not isinstance(values, list):
            continue
        intervals = series.get("ci95") if isinstance(series, dict) else None
        intervals = intervals if isinstance(intervals, list) else []
        points: list[Point] = []
        for place, (x, y) in enumerate(zip(curve["x"], values, strict=False)):
            ends = bounds(intervals[place]) if place < len(intervals) else None
            if finite(x):
                low, high = ends if ends and finite(y) else (None, None)
                points.append((float(x), float(y) if finite(y) else None, low, high))
        found[str(key)] = points
    return found


def _training_names(arms: Sequence[Arm]) -> list[str]:
    found = dict.fromkeys(name for arm in arms for name in arm.curves)
    known = [name for name in _TRAINING if name in found]
    # What a reward of one's own is called we cannot know.
    known += [n for n in found if n not in _TRAINING and n.startswith("rewards/") and n.endswith("/mean")]
    return known or list(found)


def _training_chart(name: str, arms: Sequence[Arm]) -> dict[str, Any] | None:
    """A training curve of every arm that has it: its steps, and where they are many a running mean over them."""
    plain = name.removeprefix("rewards/").removesuffix("/mean").replace("/", " ")
    title, y_title = _TRAINING.get(name, (fmt.label(plain), "Mean of a step"))
    faint, bold, window = [], [], 0
    for i, arm in enumerate(arms):
        points = [(float(x), float(y)) for x, y in arm.curves.get(name, []) if finite(x) and finite(y)]
        if not points:
            continue
        if len(points) > 30:
            window = 2 * (len(points) // 40) + 3
            faint.append(Line(arm.label, i, 0, [(x, y, None, None) for x, y in points], faint=True))
            points = running_mean(points, window)
        bold.append(Line(arm.label, i, 0, [(x, y, None, None) for x, y in points]))
    chart = line_chart(title, [*faint, *bold], "Step", y_title, y_percent=name in _SHARES)
    if chart is None:
        return None
    return {**chart, "series": [], "window": window}
