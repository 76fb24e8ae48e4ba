"""A study's finished cells as tables: every metric by arm, paired differences over questions and seeds, the verdict."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from .metrics import METRICS
from .statistics import crossed_mean
from .study_config import Cell, StudyConfig, cells
from .study_values import TRICK, Kept, read_length, read_values, values_file

Values = np.ndarray[Any, np.dtype[np.float64]]


def summarise_study(config: StudyConfig) -> dict[str, Any]:
    """Everything that is finished, as plain data.

    A seed counts for a task once all of its arms are evaluated, so that all arms stand on the same seeds.

    Returns:
        `tasks`: by task the seeds that count, `lengths` by trained arm (tokens a completion at the end of each seed's
        training), `gaming` by evaluation, trick and arm (`reward`, `over_honest`), and
        `metrics` by "evaluation/metric": for each arm `value`, `ci95` and `n` (questions), and for each arm but the
        rule's `difference`, the rule's arm less that arm, paired. `verdict` by task: which metrics are better against
        all controls, whether accuracy holds, and whether the rule is met.
    """
    tasks = {task: _task(config, task) for task in config.tasks}
    return {
        "question": config.question,
        "seeds_asked": list(config.seeds),
        "arms": {name: arm.what for name, arm in config.arms.items()},
        "rule": asdict(config.rule),
        "tasks": tasks,
        "verdict": {task: _verdict(config, found) for task, found in tasks.items()},
    }


def _task(config: StudyConfig, task: str) -> dict[str, Any]:
    own = [cell for cell in cells(config) if cell.task == task]
    evaluations = config.tasks[task].evaluations
    done = {cell for cell in own if all(values_file(config, cell, name).exists() for name in evaluations)}
    seeds = [s for s in config.seeds if all(Cell(task, arm, s) in done for arm in config.arms)]
    metrics: dict[str, Any] = {}
    gaming: dict[str, Any] = {}
    for name in evaluations if seeds else ():
        found = {
            arm: [read_values(values_file(config, Cell(task, arm, seed), name)) for seed in seeds]
            for arm in config.arms
        }
        for metric in METRICS:
            values = {arm: _matrix(each, metric) for arm, each in found.items()}
            if any(np.isfinite(matrix).any() for matrix in values.values()):
                metrics[f"{name}/{metric}"] = _compared(values, config.rule.arm)
        if tricks := _gaming(found):
            gaming[name] = tricks
    lengths = {
        name: [read_length(config, Cell(task, name, seed)) for seed in seeds]
        for name, arm in config.arms.items()
        if arm.trained
    }
    return {"seeds": seeds, "lengths": lengths, "metrics": metrics, "gaming": gaming}


def _gaming(found: dict[str, list[Kept]]) -> dict[str, Any]:
    """By trick and arm, over questions and seeds: mean reward, and share of questions where it is over the worked
    solution's; the worked solution's own reward under `honest`."""
    tables: dict[str, Any] = {}
    for arm, seeds in found.items():
        names = dict.fromkeys(key for kept in seeds for key in kept if key.startswith(TRICK))
        rewards = {key.removeprefix(TRICK): _matrix(seeds, key) for key in names}
        for name, matrix in rewards.items():
            both = np.isfinite(matrix) & np.isfinite(rewards["honest"])
            over = _mean(np.where(both, matrix > rewards["honest"], np.nan))
            tables.setdefault(name, {})[arm] = {"reward": _mean(matrix), "over_honest": over}
    return tables


def values_of(config: StudyConfig, task: str, arm: str, seeds: Sequence[int], metric: str) -> Values:
    """(S, Q) values of "evaluation/metric" by seed and question of a finished arm, NaN where there is none."""
    evaluation, name = metric.split("/")
    return _matrix([read_values(values_file(config, Cell(task, arm, seed), evaluation)) for seed in seeds], name)


def _matrix(seeds: Sequence[Kept], metric: str) -> Values:
    """(S, Q) values of one arm by seed and question, NaN where there is none."""
    rows = [values.get(metric) or [None] * len(values["accuracy"]) for values in seeds]
    return np.array(rows, dtype=float)


def _compared(values: dict[str, Values], arm: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, matrix in values.items():
        found[name] = _mean(matrix)
        if name != arm:
            found[name]["difference"] = _mean(values[arm] - matrix)
    return found


def _mean(matrix: Values) -> dict[str, Any]:
    """Over seeds and questions; `seeds` are those that have a value at all."""
    return {**asdict(crossed_mean(matrix)), "seeds": int(np.isfinite(matrix).any(axis=1).sum())}


def _verdict(config: StudyConfig, task: dict[str, Any]) -> dict[str, Any]:
    """The rule applied to one task."""
    rule = config.rule
    better = [
        metric
        for metric in rule.metrics
        if metric in task["metrics"]
        and all(_better(metric, task["metrics"][metric][c]["difference"], len(config.seeds)) for c in rule.controls)
    ]
    differences = [
        task["metrics"].get(rule.accuracy, {}).get(c, {}).get("difference", {}).get("value") for c in rule.controls
    ]
    holds = all(value is not None and value >= -rule.margin for value in differences)
    return {
        "better": better,
        "accuracy_holds": holds,
        "met": holds and len(better) >= rule.at_least and task["seeds"] == list(config.seeds),
        "seeds": len(task["seeds"]),
    }


def _better(metric: str, difference: dict[str, Any], seeds: int) -> bool:
    """Whether an interval over all seeds, two at least, excludes zero on the side of reasoning that matters."""
    way = METRICS[metric.split("/")[1]].better
    if difference["ci95"] is None or difference["seeds"] < max(2, seeds):
        return False
    low, high = difference["ci95"]
    return bool(low > 0 if way == "higher" else high < 0)
