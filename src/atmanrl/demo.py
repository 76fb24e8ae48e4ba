"""demo: train the bundled models with the joint reward and show what changed."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .callbacks import read_metrics
from .checkpoints import CheckpointError, has_run
from .evaluation import Evaluation, evaluate, write_evaluation
from .explanation import traced
from .files import write_json
from .generation import Decoding
from .leaked_key import run_leaked_key
from .models import load_model
from .recipe import load_recipe
from .report.html import demo_html, write_html
from .tasks import Chains
from .training import train

QUESTIONS = 512
QUICK = ("composition", "saliency")
SHOWN = ("accuracy", "reasoning_tokens", "filler_share", "density", "reliance")
CURVES = {
    "outcome_reward": "rewards/outcome/mean",
    "saliency_reward": "rewards/saliency/mean",
    "work": "saliency/work",
    "used": "saliency/used",
    "reasoning_tokens": "saliency/reasoning_tokens",
}


def run_demo(
    output_dir: str = "runs/demo",
    seed: int = 0,
    device: str | None = "cpu",
    dtype: str | None = None,
    say: Callable[[str], None] = print,
) -> dict[str, Any]:
    """Evaluate `tiny` on `chains`, train it by the recipe `tiny-chains`, evaluate it again on the same stories; then
    the same with `tiny-hinted`, whose prompts hold an answer key (`leaked_key.py`).

    Writes `summary.json` and `report.html` to `output_dir`; a run that is there already is moved aside first.

    Returns:
        What `summary.json` holds.
    """
    started = time.perf_counter()
    folder = Path(output_dir)
    if folder.exists() and not folder.is_dir():
        raise CheckpointError(f"output folder '{folder}' is a file: choose another --output-dir")
    if has_run(folder):
        aside = _move_aside(folder)
        say(f"moved the run in {folder} to {aside}")
    elif folder.exists() and any(folder.iterdir()):
        raise CheckpointError(f"'{folder}' holds something else than a run: choose another --output-dir")
    recipe = load_recipe(
        "tiny-chains",
        {"grpo.logging_steps": 1, "output_dir": str(folder), "seed": seed, "device": device, "dtype": dtype},
    )
    task = Chains()
    examples = task.examples("test", QUESTIONS)
    decoding = Decoding(temperature=1.0, max_new_tokens=int(recipe.grpo["max_completion_length"]))

    def measure(name: str) -> Evaluation:
        say(f"evaluating {name} on {len(examples)} test stories of chains ...")
        model, tokenizer = load_model(name, device, dtype)
        return evaluate(
            model,
            tokenizer,
            task,
            examples,
            name=name,
            decoding=decoding,
            mask=recipe.mask,
            seed=seed,
            measures=QUICK,
            chunk=len(examples),
        )

    before = measure("tiny")
    say(f"training for {recipe.grpo['max_steps']} steps on correctness and saliency ...")
    trained = train(recipe, show_samples=0)
    if trained is None:
        raise KeyboardInterrupt
    after = measure(str(trained))
    summary = {
        "before": _summary(before),
        "after": _summary(after),
        "seed": seed,
        "seconds": time.perf_counter() - started,
    }
    report = {
        **summary,
        "model": "tiny",
        "task": "chains",
        "command": "atmanrl demo",
        "curves": _curves(folder / "metrics.jsonl"),
        "traces": [
            {
                "question": examples[i].question,
                "truth": examples[i].answer,
                "before": traced(task, examples[i], before.model, before.rows[i], before.saliencies[i]),
                "after": traced(task, examples[i], after.model, after.rows[i], after.saliencies[i]),
            }
            for i in _shown(before, after)
        ],
    }
    write_evaluation(folder / "before.json", before)
    write_evaluation(folder / "after.json", after)
    summary["seconds"] = report["seconds"] = time.perf_counter() - started
    write_html(folder / "report.html", demo_html(report))
    write_json(folder / "summary.json", summary)
    say("the second half: a leaked answer key")
    leaked = run_leaked_key(folder / "leaked-key", seed, device, dtype, say)
    report["leaked_key"] = leaked
    summary["leaked_key"] = {side: leaked[side] for side in ("before", "after")}
    summary["seconds_total"] = report["seconds"] = time.perf_counter() - started
    write_html(folder / "report.html", demo_html(report))
    write_json(folder / "summary.json", summary)
    return summary


def _summary(result: Evaluation) -> dict[str, Any]:
    data: dict[str, Any] = {"n": result.n}
    for name in SHOWN:
        metric = result.metrics.get(name)
        data[name] = metric.value if metric else None
        data[f"{name}_ci95"] = list(metric.ci95) if metric and metric.ci95 else None
    return data


def _curves(path: Path) -> dict[str, list[list[float]]]:
    rows = read_metrics(path)
    return {name: [[row["step"], row[key]] for row in rows if row.get(key) is not None] for name, key in CURVES.items()}


def _shown(before: Evaluation, after: Evaluation, count: int = 3) -> list[int]:
    """Typical questions: right before and after, their filler and density nearest the means of both sides."""

    def distance(index: int) -> float:
        return sum(
            abs(side.rows[index].values[name] - (side.metrics[name].value or 0.0))
            for side in (before, after)
            for name in ("filler_share", "density")
        )

    both = [
        row.index
        for row, later in zip(before.rows, after.rows, strict=True)
        if row.correct and later.correct and "density" in row.values and "density" in later.values
    ]
    return sorted(both, key=lambda index: (distance(index), index))[:count]


def _move_aside(folder: Path) -> Path:
    for number in range(1, 1000):
        aside = folder.resolve().with_name(f"{folder.resolve().name}.old-{number}")
        if not aside.exists():
            folder.rename(aside)
            return aside
    raise FileExistsError(f"too many old runs beside {folder}: remove some")
