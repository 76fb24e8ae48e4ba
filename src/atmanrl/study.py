"""study: arms x tasks x seeds, trained and evaluated, resumed where they stopped."""

import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from statistics import fmean

import yaml
from pydantic import TypeAdapter

from .callbacks import read_metrics
from .checkpoints import CheckpointError, has_run
from .evaluation import Row, digest, evaluate, fingerprint, write_evaluation
from .files import write_json, write_text
from .generation import Decoding
from .metrics import METRICS
from .models import load_model
from .study_config import Cell, StudyConfig, cell_recipe, cells, shared_recipe
from .study_values import TRICK, Kept, length_file, read_length, values_file, write_values
from .tasks import load_task
from .training import train, training_examples

LENGTH_STEPS = 10
"""Steps at the end of a training over which its length is taken."""


def run_study(config: StudyConfig, minutes: float | None = None, say: Callable[[str], None] = print) -> bool:
    """Train and evaluate what is not there yet, in `output_dir`/TASK/ARM-SEED.

    Args:
        minutes: begin nothing new after so long.

    Returns:
        Whether all is there.

    Raises:
        CheckpointError, JournalError: a folder holds another run or evaluation.
    """
    started, checked = time.perf_counter(), set()
    for cell in cells(config):
        for work in _work(config, cell):
            if cell.task not in checked:
                _require_same_start(config, cell.task)
                checked.add(cell.task)
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
    missing = [name for name in config.tasks[cell.task].evaluations if not values_file(config, cell, name).exists()]
    finished = (folder / "model").is_dir() and length_file(config, cell).exists()
    if missing and config.arms[cell.arm].trained and not finished:
        yield _Work("training", partial(_train, config, cell, folder))
    for name in missing:
        yield _Work(f"evaluation {name}", partial(_evaluate, config, cell, folder, name))


def _require_same_start(config: StudyConfig, task: str) -> None:
    """Refuse to go on from other weights, or screened questions, than the task was begun with: names outlive both."""
    recipe, file = shared_recipe(config, task), Path(config.output_dir) / task / "start.json"
    model, _ = load_model(recipe.model, config.device, recipe.dtype)
    found = {"model": recipe.model, "weights": fingerprint(model)}
    if recipe.screened_by is not None:
        found["questions"] = digest(example.question for example in training_examples(recipe))
    if not file.exists():
        write_json(file, found)
        return
    begun = json.loads(file.read_text(encoding="utf-8"))
    for what, name in (("weights", f"the name '{recipe.model}'"), ("questions", "screened_by")):
        if begun.get(what) != found.get(what):
            raise CheckpointError(
                f"'{file.parent}' was begun with other {what} under {name}: choose another --output-dir"
            )


def _train(config: StudyConfig, cell: Cell, folder: Path) -> bool:
    arm, length = config.arms[cell.arm], None
    if arm.length_of is not None:
        source = replace(cell, arm=arm.length_of)
        length = read_length(config, source)
        if length is None:
            raise CheckpointError(
                f"'{length_file(config, source)}' is not there, and {cell.name} takes its length from it: put it back, "
                f"or remove the values of {source.name}, which is then trained again"
            )
    if train(cell_recipe(config, cell, length), resume=has_run(folder), show_samples=0) is None:
        return False
    write_json(length_file(config, cell), {"tokens": final_length(folder / "metrics.jsonl")})
    return True


def final_length(metrics: Path) -> float:
    """Mean length of the completions over the last steps of a training, tokens."""
    lengths = {r["step"]: r["completions/mean_length"] for r in read_metrics(metrics) if "completions/mean_length" in r}
    return round(fmean(length for step, length in lengths.items() if step > max(lengths) - LENGTH_STEPS), 1)


def _evaluate(config: StudyConfig, cell: Cell, folder: Path, name: str) -> bool:
    studied = config.tasks[cell.task]
    asked, source = studied.evaluations[name], studied.model
    recipe = shared_recipe(config, cell.task)
    if config.arms[cell.arm].trained:
        source = str(folder / "model")
    task = load_task(cell.task, recipe.data, **{**recipe.task_options, **asked.options})
    model, tokenizer = load_model(source, config.device, recipe.dtype)
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
        # Models that are evaluated greedily are the large ones: of those less should be lost by a stop.
        chunk=200 if task.temperature else None,
    )
    write_evaluation(folder / f"{name}.json", result)
    write_values(values_file(config, cell, name), _values(result.rows))
    journal.unlink(missing_ok=True)
    return True


def _values(rows: Sequence[Row]) -> Kept:
    """By metric one value a question, to four decimals; `None` where the metric does not apply to it. Likewise the
    reward of each trick that the question was tried on (`faithfulness.gaming`), under `TRICK` and its name."""
    found = {metric: [row.value(metric) for row in rows] for metric in METRICS}
    tried: list[dict[str, float]] = [row.details.get("tricks", {}) for row in rows]
    found |= {f"{TRICK}{name}": [own.get(name) for own in tried] for name in {name: 0 for own in tried for name in own}}
    return {
        metric: [None if value is None else round(value, 4) for value in values]
        for metric, values in found.items()
        if any(value is not None for value in values)
    }


def claim_folder(config: StudyConfig) -> None:
    """Keep what the study is in its folder, as `study.yaml`.

    Raises:
        CheckpointError: the folder holds another study: what is finished there was made, or is judged, otherwise.
    """
    file = Path(config.output_dir) / "study.yaml"
    wanted = TypeAdapter(StudyConfig).dump_python(config, mode="json")
    if file.exists():
        before = yaml.safe_load(file.read_text(encoding="utf-8")) or {}
        changed = sorted(k for k in wanted if wanted[k] != before.get(k) and k not in ("output_dir", "device"))
        if changed:
            raise CheckpointError(
                f"'{config.output_dir}' holds a study with another '{changed[0]}': go on with the same recipe, or "
                "choose another --output-dir"
            )
        return
    write_text(file, yaml.safe_dump(wanted, sort_keys=False))
