"""Results as HTML pages that open from disk: one file, no network, all model text escaped."""

import math
import re
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from ..files import write_text
from . import format as fmt
from .charts import minus, tick_text, ticks

_WIDTH, _HEIGHT = 320, 190
_LEFT, _RIGHT, _TOP, _BOTTOM = 50, 14, 12, 26
_BIDI = re.compile("[\u200e\u200f\u061c\u202a-\u202e\u2066-\u2069]")


def explanation_html(explanation: dict[str, Any]) -> str:
    """A page for one trace as `explain --json` holds it; `cue`, `threshold`, `kinds`, `sentences`, `correct` and
    `bypass` are shown where it has them."""
    page = environment().get_template("explanation.html.j2")
    top = fmt.most_salient(explanation["reasoning"])
    return page.render(e=explanation, how_found=fmt.how_found(explanation), most_salient=top)


def demo_html(demo: dict[str, Any]) -> str:
    """A page for one demo run: metrics before and after, training curves, traces side by side.

    Args:
        demo: `model`, `task`, `seed`, `seconds`, `command`; `before` and `after` (metrics, with `<name>_ci95` where
            known); `curves` (lists of step and value by name); `traces` (each with `question`, `truth`, and `before`
            and `after`: explanations that also hold `filler`, one bool a token); and, where the second half was run,
            `leaked_key` with `before`, `after` and `traces` of the same kinds.
    """
    page = environment().get_template("demo.html.j2")
    curves = [_curve(name, points) for name, points in demo["curves"].items()]
    rows = fmt.compared(demo["before"], demo["after"])
    leaked = demo.get("leaked_key")
    leaked_rows = fmt.compared(leaked["before"], leaked["after"]) if leaked else []
    return page.render(d=demo, rows=rows, curves=[curve for curve in curves if curve], leaked_rows=leaked_rows)


def write_html(path: str | Path, html: str) -> None:
    """Write a page to `path`, whole or not at all; raises OSError as `write_text` does."""
    write_text(path, html)


def environment() -> Environment:
    """What renders the templates: everything escaped that is not marked as safe, nothing undefined passed over."""
    environment = Environment(
        loader=PackageLoader("atmanrl.report"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    environment.filters |= {
        "harmless": fmt.harmless,
        "one_line": fmt.one_line,
        "figure": lambda value, name="": minus(fmt.figure(name, value)),
        "minus": minus,
        "duration": fmt.duration,
        "label": fmt.label,
        "marks": _marks,
        "spoken": _spoken,
        "shade": lambda saliency: f"{min(max(saliency or 0.0, 0.0), 1.0):.2f}",
    }
    return environment


def _marks(token: str) -> str:
    """Classes of a token that shows nothing by itself, or that turns the direction of what follows it."""
    if not token:
        return " empty"
    if "\n" in token and not token.strip():
        return " break"
    return " bidi" if _BIDI.search(token) else ""


def _spoken(token: str) -> str:
    if not token:
        return "part of a character"
    return token.strip() or ("line break" if "\n" in token else "space")


def _curve(name: str, points: list[list[float]]) -> dict[str, Any] | None:
    """What the template needs to draw one curve; None where no point is a number."""
    points = [[step, value] for step, value in points if value is not None and math.isfinite(value)]
    if not points:
        return None
    steps, values = [step for step, _ in points], [value for _, value in points]
    y_ticks = ticks(min(values), max(values))
    x_ticks = [tick for tick in ticks(min(steps), max(steps), whole=True) if min(steps) <= tick <= max(steps)]

    def x(step: float) -> float:
        share = (step - min(steps)) / ((max(steps) - min(steps)) or 1)
        return round(_LEFT + share * (_WIDTH - _LEFT - _RIGHT), 1)

    def y(value: float) -> float:
        share = (value - y_ticks[0]) / (y_ticks[-1] - y_ticks[0])
        return round(_HEIGHT - _BOTTOM - share * (_HEIGHT - _TOP - _BOTTOM), 1)

    apart = y_ticks[1] - y_ticks[0]
    percent = fmt.figure(name, 0.0).endswith("%")
    ends = [minus(tick_text(percent, value, apart / 20)) for value in (values[0], values[-1])]
    return {
        "label": fmt.label(name),
        "size": (_WIDTH, _HEIGHT),
        "left": _LEFT,
        "right": _WIDTH - _RIGHT,
        "bottom": _HEIGHT - _BOTTOM,
        "points": " ".join(f"{x(step)},{y(value)}" for step, value in points),
        "last": (x(steps[-1]), y(values[-1])),
        "x_ticks": [(x(tick), str(int(tick))) for tick in x_ticks],
        "y_ticks": [(y(tick), minus(tick_text(percent, tick, apart))) for tick in y_ticks],
        "ends": ends,
        "described": f"{fmt.label(name)}: {ends[0]} at step {steps[0]:g}, {ends[1]} at step {steps[-1]:g}",
    }
