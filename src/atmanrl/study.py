"""study: arms x tasks x seeds, trained and evaluated, resumed where they stopped, and compared by a rule set before."""

import dataclasses
import json
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Annotated, Any

import yaml
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError, model_validator
from pydantic.dataclasses import dataclass

from .callbacks import read_metrics
from .checkpoints import has_run
from .evaluation import Row, evaluate, write_evaluation
from .faithfulness import MEASURES
from .files import write_text
from .generation import Decoding
from .metrics import METRICS
from .models import load_model
from .recipe import RecipeError, find_recipe, recipe_of, set_field
from .tasks import load_task
from .training import TrainConfig, train

STRICT = ConfigDict(extra="forbid")
LENGTH_STEPS = 10
"""Steps at the end of a training over which its length is taken."""


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
            if arm.length_of is not None and arm.length_of not in names[: names.index(name)]:
                raise ValueError(f"arms.{name}.length_of: '{arm.length_of}' is no arm before it")
        for name in (self.rule.arm, *self.rule.controls):
            if name not in self.arms:
                raise ValueError(f"rule: there is no arm '{name}'")
        for metric in (*self.rule.metrics, self.rule.accuracy):
            for task, studied in self.tasks.items():
                if metric.split("/")[0] not in studied.evaluations:
                    raise ValueError(f"rule: task {task} has no evaluation for '{metric}'")
        return self


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
            _recipe(config, cell, 1.0)
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


def run_study(config: StudyConfig, minutes: float | None = None, say: Callable[[str], None] = print) -> bool:
    """Train and evaluate what is not there yet, in `output_dir`/TASK/ARM-SEED.

    Args:
        minutes: begin nothing new after so long.

    Returns:
        Whether all is there.

    Raises:
        CheckpointError, JournalError: a folder holds another run or evaluation.
    """
    started = time.perf_counter()
    for cell in cells(config):
        for work in _work(config, cell):
            if minutes is not None and time.perf_counter() - started > 60 * minutes:
                return False
            begun = time.perf_counter()
            say(f"{cell.name}: {work.what} ...")
            if not work.do():
                return False
            say(f"{cell.name}: {work.what} took {time.perf_counter() - begun:.0f} s")
    return True


@dataclass(frozen=True)
class _Work:
    what: str
    do: Callable[[], bool]


def _work(config: StudyConfig, cell: Cell) -> Iterator[_Work]:
    """What a cell still lacks."""
    folder = Path(config.output_dir) / cell.name
    if config.arms[cell.arm].trained and not (folder / "model").is_dir():
        yield _Work("training", partial(_train, config, cell, folder))
    for name in config.tasks[cell.task].evaluations:
        if not values_file(config, cell, name).exists():
            yield _Work(f"evaluation {name}", partial(_evaluate, config, cell, folder, name))


def _recipe(config: StudyConfig, cell: Cell, length: float | None) -> TrainConfig:
    """The training of a cell."""
    studied, arm = config.tasks[cell.task], config.arms[cell.arm]
    folder = str(Path(config.output_dir) / cell.name)
    own = {"output_dir": folder, "seed": cell.seed, "device": config.device}
    changes = {**studied.set, **arm.set, **own}
    if arm.length_of is not None:
        changes["reward.length_target"] = length
    return recipe_of({"model": studied.model, "task": cell.task, **config.train}, changes, f"arm {cell.arm}")


def _train(config: StudyConfig, cell: Cell, folder: Path) -> bool:
    arm, length = config.arms[cell.arm], None
    if arm.length_of is not None:
        length = final_length(folder.with_name(f"{arm.length_of}-{cell.seed}") / "metrics.jsonl")
    return train(_recipe(config, cell, length), resume=has_run(folder), show_samples=0) is not None


def final_length(metrics: Path) -> float:
    """Mean length of the completions over the last steps of a training, tokens."""
    lengths = [row["completions/mean_length"] for row in read_metrics(metrics) if "completions/mean_length" in row]
    return round(fmean(lengths[-LENGTH_STEPS:]), 1)


def _evaluate(config: StudyConfig, cell: Cell, folder: Path, name: str) -> bool:
    studied = config.tasks[cell.task]
    asked, source = studied.evaluations[name], studied.model
    recipe = _recipe(config, cell, 1.0)
    if config.arms[cell.arm].trained:
        source = str(folder / "model")
    task = load_task(cell.task, recipe.data, **{**recipe.task_options, **asked.options})
    model, tokenizer = load_model(source, config.device)
    journal = folder / f"{name}.part.jsonl"
    result = evaluate(
        model,
        tokenizer,
        task,
        task.examples("test", asked.limit),
        name=f"{cell.arm} {cell.seed}",
        decoding=Decoding(task.temperature, int(recipe.grpo.get("max_completion_length", 256))),
        mask=recipe.mask,
        seed=cell.seed,
        measures=asked.measures,
        reader=load_model(asked.reader, config.device) if asked.reader else None,
        settings={"split": "test", "reader": asked.reader, "options": asked.options},
        journal=journal,
        chunk=200,
    )
    write_evaluation(folder / f"{name}.json", result)
    write_text(values_file(config, cell, name), json.dumps(_values(result.rows)) + "\n")
    journal.unlink(missing_ok=True)
    return True


def values_file(config: StudyConfig, cell: Cell, name: str) -> Path:
    """What is left of a finished evaluation for the comparison: every metric's values, small enough to keep."""
    return Path(config.output_dir) / cell.name / f"{name}.values.json"


def _values(rows: Sequence[Row]) -> dict[str, list[float | None]]:
    """By metric one value a question, to four decimals; `None` where the metric does not apply to it."""
    found = {metric: [row.value(metric) for row in rows] for metric in METRICS}
    return {
        metric: [None if value is None else round(value, 4) for value in values]
        for metric, values in found.items()
        if any(value is not None for value in values)
    }


def write_recipe(config: StudyConfig) -> None:
    """Keep what the study is in its folder."""
    text = yaml.safe_dump(TypeAdapter(StudyConfig).dump_python(config, mode="json"), sort_keys=False)
    write_text(Path(config.output_dir) / "study.yaml", text)
