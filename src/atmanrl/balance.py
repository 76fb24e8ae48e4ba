"""Correctness before saliency without a weight to tune: saliency is maximised while accuracy holds."""

from collections.abc import Callable
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from transformers import TrainerCallback, TrainerControl, TrainerState

from .callbacks import append_rows, forget_after, read_metrics

MARGIN = 0.02
"""How far accuracy may fall under its running best before the multiplier rises."""
RATE = 2.0
"""By how much the multiplier rises for each step and unit of accuracy that is missing."""
MEMORY = 0.9
"""Of the running mean of accuracy, from step to step."""


class AccuracyConstraint(TrainerCallback):  # type: ignore[misc]
    """Sets a trainer's weight of the outcome anew after every step.

    Of the problem "maximise saliency, subject to accuracy at least its best less `MARGIN`" the Lagrangian is
    saliency + mu x accuracy: the outcome's weight is its own and mu, which rises by `RATE` x (what is missing) a step
    and falls as accuracy is over the bound, to 0 at least (dual ascent; accuracy is a running mean, its best the
    largest so far). Appends `step`, `accuracy`, `best` and `multiplier` to a JSON Lines file, from which a resumed run
    goes on.

    Args:
        trainer: a `trl.GRPOTrainer` whose first reward is the outcome.
        latest: gives the last batch's completions as plain data, each with `correct`.
        path: the file.
    """

    def __init__(self, trainer: Any, latest: Callable[[], list[dict[str, Any]]], path: Path) -> None:
        self.trainer, self.latest, self.path = trainer, latest, path
        self.weight = float(trainer.reward_weights[0])
        self.accuracy = self.best = float("nan")
        self.multiplier = 0.0

    def on_train_begin(self, args: Any, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        rows = (
            [row for row in read_metrics(self.path) if row["step"] <= state.global_step] if self.path.exists() else []
        )
        if rows and state.global_step:
            self.accuracy, self.best = rows[-1]["accuracy"], rows[-1]["best"]
            self._set(rows[-1]["multiplier"])
        if state.is_world_process_zero:
            forget_after(self.path, state.global_step)

    def on_step_end(self, args: Any, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        batch = self.latest()
        right = torch.tensor([fmean(sample["correct"] for sample in batch)], device=self.trainer.accelerator.device)
        now = float(self.trainer.accelerator.gather(right).mean())
        self.accuracy = now if self.accuracy != self.accuracy else MEMORY * self.accuracy + (1 - MEMORY) * now
        self.best = self.accuracy if self.best != self.best else max(self.best, self.accuracy)
        self._set(max(0.0, self.multiplier + RATE * (self.best - MARGIN - self.accuracy)))
        if state.is_world_process_zero:
            row = {"step": state.global_step, "accuracy": self.accuracy, "best": self.best}
            append_rows(self.path, [{**row, "multiplier": self.multiplier}])

    def _set(self, multiplier: float) -> None:
        self.multiplier = multiplier
        self.trainer.reward_weights[0] = self.weight + multiplier
