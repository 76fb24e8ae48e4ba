"""A study's summary as a page and in the terminal: the verdict first, then every metric by arm."""

from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..metrics import METRICS
from . import format as fmt
from .charts import MARKERS, MOST, interval_strip, minus
from .html import environment

_WAYS = {"higher": "\u2191", "lower": "\u2193", None: ""}


def study_html(study: dict[str, Any]) -> str:
    """A page for a study as `summarise_study` gives it."""
    tasks = [
        {
            "name": task,
            "seeds": found["seeds"],
            "glance": _glance(study, found),
            "lengths": found["lengths"] if found["seeds"] else {},
            "evaluations": _evaluations(study, found),
            "gaming": [
                {
                    "name": name,
                    "rows": [{"name": trick, "cells": _tricked(study, by_arm)} for trick, by_arm in tricks.items()],
                }
                for name, tricks in found["gaming"].items()
            ],
        }
        for task, found in study["tasks"].items()
    ]
    keys = [{"name": name, "style": i % MOST, "marker": MARKERS[i % MOST]} for i, name in enumerate(study["arms"])]
    page = environment().get_template("study.html.j2")
    return page.render(s=study, tasks=tasks, keys=keys, sentences=sentences(study))


def sentences(study: dict[str, Any]) -> list[str]:
    """The verdict on each task, and on how many of several, in words."""
    rule = study["rule"]
    controls = " and ".join(rule["controls"])
    said = []
    for task, verdict in study["verdict"].items():
        if not verdict["seeds"]:
            said.append(f"{task}: no seed is finished yet.")
            continue
        finished, asked = verdict["seeds"], len(study["seeds_asked"])
        if finished < asked:
            state = f"not decided ({finished} of {asked} seeds): no metric counts before all are there"
        else:
            better = ", ".join(_label(metric) for metric in verdict["better"]) or "none"
            state = (
                f"{'met' if verdict['met'] else 'not met'}. {rule['arm']} better than {controls} on "
                f"{len(verdict['better'])} of {len(rule['metrics'])} metrics (asked {rule['at_least']}): {better}"
            )
        accuracy = "holds" if verdict["accuracy_holds"] else "does not hold"
        said.append(f"{task}: rule {state}. Accuracy {accuracy} in the mean{_accuracies(study, task)}.")
    met = sum(verdict["met"] for verdict in study["verdict"].values())
    return [*said, f"The rule is met on {met} of {len(said)} tasks."] if len(said) > 1 else said


def _accuracies(study: dict[str, Any], task: str) -> str:
    """By how much the rule's arm is more accurate than each control, with intervals, which the rule does not need."""
    rule = study["rule"]
    by_arm, name = study["tasks"][task]["metrics"].get(rule["accuracy"], {}), rule["accuracy"].split("/", 1)[1]
    said = []
    for control in rule["controls"]:
        found = by_arm.get(control, {}).get("difference")
        if found and found["value"] is not None:
            interval = fmt.difference_interval(name, found["ci95"])
            said.append(f"{fmt.difference(name, found['value'])} {interval}".strip() + f" against {control}")
    return f" ({', '.join(said)})" if said else ""


def _label(metric: str) -> str:
    evaluation, name = metric.split("/", 1)
    return f"{fmt.label(name)} ({evaluation})"


def _glance(study: dict[str, Any], found: dict[str, Any]) -> list[dict[str, Any]]:
    """The metrics that the rule counts, all arms' values on one scale."""
    rows = []
    for metric in (study["rule"]["accuracy"], *study["rule"]["metrics"]):
        by_arm = found["metrics"].get(metric, {})
        name = metric.split("/", 1)[1]
        sides = []
        for line, arm in enumerate(study["arms"]):
            value, ci95 = by_arm.get(arm, {}).get("value"), by_arm.get(arm, {}).get("ci95")
            if value is not None:
                sides.append((line % MOST, line, value, *(_within(name, bound) for bound in ci95 or (value, value))))
        if strip := interval_strip(sides, len(study["arms"]), fmt.is_percent(name)):
            rows.append({"label": _label(metric), "way": _WAYS[METRICS[name].better], "strip": strip})
    return rows


def _within(name: str, bound: float) -> float:
    """An interval over few seeds may reach past what a share can be."""
    return min(1.0, max(0.0, bound)) if fmt.is_percent(name) else bound


def _evaluations(study: dict[str, Any], found: dict[str, Any]) -> list[dict[str, Any]]:
    """Rows of metrics under the evaluation that they are from."""
    tables: dict[str, list[dict[str, Any]]] = {}
    for metric, by_arm in found["metrics"].items():
        evaluation, name = metric.split("/", 1)
        cells = [_cell(name, by_arm[arm]) for arm in study["arms"]]
        better = METRICS[name].better
        counts = metric in (*study["rule"]["metrics"], study["rule"]["accuracy"])
        row = {
            "label": fmt.label(name),
            "what": METRICS[name].what,
            "way": _WAYS[better],
            "cells": cells,
            "counts": counts,
        }
        tables.setdefault(evaluation, []).append(row)
    return [{"name": name, "rows": rows} for name, rows in tables.items()]


def _cell(name: str, value: dict[str, Any]) -> dict[str, Any]:
    cell = {
        "value": minus(fmt.figure(name, value["value"])),
        "ci95": minus(fmt.interval(name, value["ci95"])),
        "n": value["n"],
        "difference": "",
        "shown": False,
    }
    difference = value.get("difference")
    if difference and difference["value"] is not None:
        text = f"{fmt.difference(name, difference['value'])} {fmt.difference_interval(name, difference['ci95'])}"
        cell["difference"] = minus(text.strip())
        cell["shown"] = bool(difference["ci95"]) and (difference["ci95"][0] > 0 or difference["ci95"][1] < 0)
    return cell


def _tricked(study: dict[str, Any], by_arm: dict[str, Any]) -> list[dict[str, str]]:
    """A trick's mean reward and how often it is worth more than the worked solution, by arm."""
    cells = []
    for arm in study["arms"]:
        found = by_arm.get(arm)
        over = found and found["over_honest"]
        cells.append(
            {
                "reward": minus(f"{found['reward']['value']:.2f}") if found else "",
                "over": f"{fmt.figure('gamed', over['value'])} {fmt.interval('gamed', over['ci95'])}" if over else "",
            }
        )
    return cells


def print_study(study: dict[str, Any], console: Console | None = None) -> None:
    """Show the metrics that the rule counts, by arm, with the differences from the rule's arm, and the verdict."""
    console = console or Console()
    counting = [study["rule"]["accuracy"], *study["rule"]["metrics"]]
    for task, found in study["tasks"].items():
        if not found["seeds"]:
            continue
        table = Table(title=f"{task}, {len(found['seeds'])} seeds; below each figure {study['rule']['arm']} less it")
        table.add_column("Metric")
        for arm in study["arms"]:
            table.add_column(arm, justify="right")
        for metric in counting:
            if metric in found["metrics"]:
                cells = [_cell(metric.split("/", 1)[1], found["metrics"][metric][arm]) for arm in study["arms"]]
                texts = [
                    Text.assemble(f"{c['value']} {c['ci95']}\n", (c["difference"], "bold" if c["shown"] else "dim"))
                    for c in cells
                ]
                table.add_row(_label(metric), *texts)
        console.print(table)
    for sentence in sentences(study):
        console.print(Text(sentence))
