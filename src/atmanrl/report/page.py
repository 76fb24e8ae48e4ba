"""One self-contained page over evaluations and trainings: a table of metrics, charts, and a browser of traces."""

import base64
import hashlib
import json
from collections.abc import Sequence
from importlib.resources import files
from typing import Any

from markupsafe import Markup

from ..metrics import METRICS, TRAINED_ON
from ..statistics import paired_difference
from . import format as fmt
from .arms import Arm, bounds, finite, load_arms
from .charts import MARKERS, MOST, interval_strip, minus
from .curves import curve_charts, training_charts
from .html import environment
from .questions import browser_data, embedded, key_of, metric_of, same_questions

__all__ = ["Arm", "load_arms", "report_html"]

_SCRIPTS = ("trace.js", "report.js")


def report_html(arms: Sequence[Arm]) -> str:
    """A page over `arms` that opens from disk and loads nothing.

    Raises:
        ValueError: no arms, or more than can be told apart.
    """
    if not arms:
        raise ValueError("nothing to report: name an evaluation's JSON file or a run folder")
    if len(arms) > MOST:
        raise ValueError(f"{len(arms)} runs cannot be told apart on one page: name at most {MOST}")
    script = "".join(_template(name) for name in _SCRIPTS)
    digest = base64.b64encode(hashlib.sha256(script.encode("utf-8")).digest()).decode("ascii")
    evaluated = [arm for arm in arms if arm.result]
    data = browser_data(arms)
    page = environment().get_template("report.html.j2")
    return page.render(
        arms=[_head(i, arm) for i, arm in enumerate(arms)],
        evaluated=[i for i, arm in enumerate(arms) if arm.result],
        style=Markup(_template("charts.css") + _template("report.css")),
        script=Markup(script),
        policy=f"script-src 'sha256-{digest}'",
        data=Markup(embedded(data)),
        browsable=[side["label"] for side in data["arms"]],
        groups=_groups(arms),
        paired=len(evaluated) > 1 and any(_paired_with(evaluated[0], arm) for arm in evaluated[1:]),
        charts=curve_charts(arms),
        training=training_charts(arms),
        trained_on=TRAINED_ON,
    )


def _template(name: str) -> str:
    return (files("atmanrl.report") / "templates" / name).read_text(encoding="utf-8")


def _head(place: int, arm: Arm) -> dict[str, Any]:
    """What the page says of one arm at its top."""
    result = arm.result
    accuracy = _metrics(arm).get("accuracy")
    decoding = result.get("decoding")
    return {
        "style": place,
        "marker": MARKERS[place],
        "label": arm.label,
        "evaluated": bool(result),
        "facts": [(key, _told(result[key])) for key in ("model", "task", "n", "seed") if result.get(key) is not None],
        "decoding": _told(decoding) if decoding else "",
        "seconds": result["seconds"] if finite(result.get("seconds")) else None,
        "settings": _flat(result.get("settings")),
        "accuracy": None if accuracy is None else _cell("accuracy", accuracy),
        "rows": len(arm.rows),
        "training": max((int(points[-1][0]) for points in arm.curves.values() if points), default=None),
    }


def _told(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{str(key).replace('_', ' ')} {_told(item)}" for key, item in value.items())
    if isinstance(value, list):
        return ", ".join(map(_told, value))
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _flat(settings: Any, before: str = "") -> list[tuple[str, str]]:
    """Settings in order, those within others under joint names."""
    if not isinstance(settings, dict):
        return []
    pairs: list[tuple[str, str]] = []
    for key, value in settings.items():
        name = f"{before}{key}"
        pairs += _flat(value, f"{name}.") if isinstance(value, dict) else [(name, _told(value))]
    return pairs


def _metrics(arm: Arm) -> dict[str, dict[str, Any]]:
    """The arm's metrics with what is no number made `None`; accuracy stands outside them in older files."""
    found = dict(arm.result.get("metrics", {}))
    if arm.result.get("accuracy") is not None:
        found.setdefault("accuracy", arm.result["accuracy"])
    return {name: _metric(value, arm.result.get("n")) for name, value in found.items()}


def _metric(value: Any, n: Any) -> dict[str, Any]:
    metric = value if isinstance(value, dict) else {"value": value, "n": n}
    number = metric.get("value")
    return {
        "value": number if finite(number) else None,
        "ci95": bounds(metric.get("ci95")),
        "n": metric["n"] if finite(metric.get("n")) else None,
    }


def _cell(name: str, metric: dict[str, Any]) -> dict[str, Any]:
    return {
        "value": minus(fmt.figure(name, metric["value"])),
        "ci95": minus(fmt.interval(name, metric["ci95"])),
        "n": metric["n"],
        "known": metric["value"] is not None,
    }


def _groups(arms: Sequence[Arm]) -> list[dict[str, Any]]:
    """The table of metrics, criterion by criterion; `arms` without an evaluation have no column in it."""
    metrics = [(i, arm, _metrics(arm)) for i, arm in enumerate(arms) if arm.result]
    names = fmt.in_table_order(dict.fromkeys(name for _, _, own in metrics for name in own))
    groups: list[dict[str, Any]] = []
    for name in names:
        if not groups or groups[-1]["name"] != fmt.group(name):
            groups.append({"name": fmt.group(name), "rows": []})
        known = METRICS.get(name)
        sides = []
        for line, (i, _, found) in enumerate(metrics):
            if name in found and (value := found[name]["value"]) is not None:
                low, high = found[name]["ci95"] or (value, value)
                sides.append((i, line, value, low, high))
        groups[-1]["rows"].append(
            {
                "label": fmt.label(name),
                "better": known.better if known else None,
                "what": known.what if known else "",
                "cells": [_cell(name, found[name]) if name in found else None for _, _, found in metrics],
                "strip": interval_strip(sides, len(metrics), fmt.is_percent(name)),
                "differences": [_difference(name, metrics[0][1], arm) for _, arm, _ in metrics[1:]],
            }
        )
    return groups


def _paired_with(first: Arm, other: Arm) -> bool:
    return same_questions([first, other])


def _difference(name: str, first: Arm, other: Arm) -> dict[str, Any] | None:
    """`other` less `first` over the questions for which both have the metric; `None` where their questions differ."""
    if not _paired_with(first, other):
        return None
    base = {key_of(row): metric_of(row, name) for row in first.rows}
    pairs = [
        (before, after)
        for row in other.rows
        if (before := base[key_of(row)]) is not None and (after := metric_of(row, name)) is not None
    ]
    if not pairs:
        return None
    result = paired_difference([a for a, _ in pairs], [b for _, b in pairs])
    ci95 = result.ci95
    return {
        "value": minus(fmt.difference(name, result.value)),
        "ci95": minus(fmt.difference_interval(name, ci95)),
        "n": result.n,
        "shown": ci95 is not None and not ci95[0] <= 0 <= ci95[1],
    }
