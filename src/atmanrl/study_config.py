"""A study's recipe: arms, tasks, seeds, and the rule by which it is decided."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError, model_validator
from pydantic.dataclasses import dataclass

from .faithfulness import GIVES, MEASURES
from .metrics import METRICS, NEAR_TRAINED_ON, ROW_FIELDS, TRAINED_ON
from .recipe import RecipeError, find_recipe, recipe_of, set_field
from .tasks import load_task
from .train_config import TrainConfig

STRICT = ConfigDict(extra="forbid")


@dataclass(frozen=True, config=STRICT)
class Arm:
    """One way to train.

    Attributes:
        what: one sentence for the report.
        trained: whether it is trained at all; the base is not.
        set: fields of the training's recipe, dotted, that differ in this arm.
        length_of: the arm whose length at the end of training is this arm's `reward.length_target`.
    """

    what: str
    trained: bool = True
    set: dict[str, Any] = dataclasses.field(default_factory=dict)
    length_of: str | None = None


@dataclass(frozen=True, config=STRICT)
class Evaluated:
    """One evaluation of every arm.

    Attributes:
        limit: how many test questions.
        measures: names from `faithfulness.MEASURES`.
        options: the task's own, such as `{keys: wrong}`.
        reader: a model that reads the reasoning, for legibility.
    """

    limit: Annotated[int, Field(ge=1)]
    measures: tuple[str, ...]
    options: dict[str, Any] = dataclasses.field(default_factory=dict)
    reader: str | None = None

    @model_validator(mode="after")
    def _known(self) -> "Evaluated":
        for measure in self.measures:
            if measure not in MEASURES:
                raise ValueError(f"no measure '{measure}': choose {', '.join(MEASURES)}")
        return self


@dataclass(frozen=True, config=STRICT)
class StudiedTask:
    """A task, the model that all arms start from, fields of the training that it needs, and its evaluations by name."""

    model: str
    evaluations: dict[str, Evaluated]
    set: dict[str, Any] = dataclasses.field(default_factory=dict)


@dataclass(frozen=True, config=STRICT)
class Rule:
    """What is to be decided, and by what.

    Attributes:
        arm: is held to be better than
        controls: each of these,
        metrics: on at least `at_least` of these ("evaluation/metric"), with intervals that exclude zero,
        accuracy: while this one ("evaluation/accuracy") is lower by no more than `margin`.
    """

    arm: str
    controls: tuple[str, ...]
    metrics: tuple[str, ...]
    at_least: int
    accuracy: str
    margin: float


@dataclass(frozen=True, config=STRICT)
class StudyConfig:
    """What a study's YAML holds: arms and tasks by name, seeds, the training that all share, and the rule.

    Cells are worked seed by seed, task by task, arm by arm in the order given.
    """

    question: str
    output_dir: str
    seeds: tuple[int, ...]
    tasks: dict[str, StudiedTask]
    arms: dict[str, Arm]
    train: dict[str, Any]
    rule: Rule
    device: str | None = None

    @model_validator(mode="after")
    def _fits_together(self) -> "StudyConfig":
        names = list(self.arms)
        for name, arm in self.arms.items():
            source = arm.length_of
            if source is not None and (source not in names[: names.index(name)] or not self.arms[source].trained):
                raise ValueError(f"arms.{name}.length_of: '{source}' is no trained arm before it")
        if "sft" in self.train:
            raise ValueError("train: arms are trained by 'grpo': warm up by a recipe of its own, and name its model")
        for task in self.tasks:
            if task.endswith(".jsonl"):
                raise ValueError(f"tasks: '{task}' has no split to keep for testing: a study needs a named task")
        self._rule_can_be_applied()
        return self

    def _rule_can_be_applied(self) -> None:
        rule = self.rule
        for name in (rule.arm, *rule.controls):
            if name not in self.arms:
                raise ValueError(f"rule: there is no arm '{name}'")
        if rule.arm in rule.controls:
            raise ValueError(f"rule: '{rule.arm}' cannot be its own control")
        if len(set(rule.metrics)) < len(rule.metrics):
            raise ValueError("rule: a metric is named twice: each counts once")
        if not 1 <= rule.at_least <= len(rule.metrics):
            raise ValueError(f"rule: at_least must be 1 to {len(rule.metrics)}, the metrics that count")
        for metric in (*rule.metrics, rule.accuracy):
            evaluation, _, name = metric.partition("/")
            for task, studied in self.tasks.items():
                if evaluation not in studied.evaluations:
                    raise ValueError(f"rule: task {task} has no evaluation for '{metric}'")
            if name not in METRICS or METRICS[name].better is None:
                raise ValueError(f"rule: '{metric}' is no metric with a better side")
            if METRICS[name].group == TRAINED_ON or name in NEAR_TRAINED_ON:
                raise ValueError(f"rule: '{metric}' is what arms are trained on, or close to it: it decides nothing")
            for task, studied in self.tasks.items():
                given = {m for measure in studied.evaluations[evaluation].measures for m in GIVES[measure]}
                if name not in given and name not in ROW_FIELDS:
                    wanted = next(measure for measure, names in GIVES.items() if name in names)
                    raise ValueError(f"rule: '{metric}' is not measured on {task}: add '{wanted}' to its measures")


@dataclass(frozen=True)
class Cell:
    """One arm on one task from one seed."""

    task: str
    arm: str
    seed: int

    @property
    def name(self) -> str:
        return f"{self.task}/{self.arm}-{self.seed}"


def load_study(name: str, overrides: dict[str, Any] | None = None) -> StudyConfig:
    """A study's YAML, by path or bundled name.

    Raises:
        RecipeError: no such file, wrong YAML, an unknown key or a wrong value; one line that names file and key.
    """
    path = find_recipe(name)
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path} is not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(values, dict) or "arms" not in values:
        raise RecipeError(f"{path} is not a study: it has no 'arms'")
    values = {"output_dir": f"runs/{path.stem}", **values}
    for key, value in (overrides or {}).items():
        set_field(values, key, value)
    try:
        config = TypeAdapter(StudyConfig).validate_python(values)
        for cell in cells(config):
            recipe = cell_recipe(config, cell, 1.0)
            for asked in config.tasks[cell.task].evaluations.values():
                load_task(cell.task, recipe.data, **{**recipe.task_options, **asked.options})
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise RecipeError(f"{path}: {where}: {first['msg'].removeprefix('Value error, ')}") from error
    return config


def cells(config: StudyConfig) -> Iterator[Cell]:
    """Every arm of every task from every seed, in the order of work."""
    for seed in config.seeds:
        for task in config.tasks:
            for arm in config.arms:
                yield Cell(task, arm, seed)


def shared_recipe(config: StudyConfig, task: str) -> TrainConfig:
    """What all arms of a task share; they are evaluated by it, masks included."""
    studied = config.tasks[task]
    own = {"output_dir": config.output_dir, "device": config.device}
    return recipe_of({"model": studied.model, "task": task, **config.train}, {**studied.set, **own}, f"task {task}")


def cell_recipe(config: StudyConfig, cell: Cell, length: float | None) -> TrainConfig:
    """The training of a cell."""
    studied, arm = config.tasks[cell.task], config.arms[cell.arm]
    folder = str(Path(config.output_dir) / cell.name)
    own = {"output_dir": folder, "seed": cell.seed, "device": config.device}
    changes = {**studied.set, **arm.set, **own}
    if arm.length_of is not None:
        changes["reward.length_target"] = length
    return recipe_of({"model": studied.model, "task": cell.task, **config.train}, changes, f"arm {cell.arm}")
