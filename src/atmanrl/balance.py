"""Correctness before saliency without a weight to tune: saliency is maximised while accuracy holds."""

from collections.abc import Callable
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from transformers import TrainerCallback, TrainerControl, TrainerState

from .callbacks import append_rows, forget_after, read_metrics

MARGIN = 0.03
"""How far accuracy may fall under its running best before the multiplier rises."""
RATE = 2.0
"""By how much the multiplier rises for each step and unit of accuracy that is missing."""
MEMORY = 0.95
"""Of the running mean of accuracy, from batch to batch."""
WARM_UP = 20
"""Batches before a best is taken, or a lucky first one would set it for good."""
MOST = 5.0
"""The multiplier's bound: from there on the outcome is nearly all that counts."""


class AccuracyConstraint(TrainerCallback):  # type: ignore[misc]
    """Sets a trainer's weight of the outcome anew after every step.

    Of the problem "maximise saliency, subject to accuracy at least its best less `MARGIN`" the Lagrangian is
    saliency + mu x accuracy: the outcome's weight is its own and mu, which rises by `RATE` x (what is missing) a step
    and falls as accuracy is over the bound, between 0 and `MOST` (dual ascent; accuracy is a running mean over batches,
    its best the largest after `WARM_UP` of them). Appends `step`, `batches`, `accuracy`, `best` and `multiplier` to a
    JSON Lines file, from which a resumed run goes on.

    Args:
        trainer: a `trl.GRPOTrainer` whose first reward is the outcome.
        latest: gives the last batch's completions as plain data, each with `correct`.
        path: the file.
    """

    def __init__(self, trainer: Any, latest: Callable[[], list[dict[str, Any]]], path: Path) -> None:
        self.trainer, self.latest, self.path = trainer, latest, path
        self.weight = float(trainer.reward_weights[0])
        self.seen: Any = None
        self.batches, self.accuracy, self.best, self.multiplier = 0, 0.0, 0.0, 0.0

    def on_train_begin(self, args: Any, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        rows = read_metrics(self.path) if self.path.exists() else []
        before = [row for row in rows if row["step"] <= state.global_step]
        if before:
            last = before[-1]
            self.batches, self.accuracy, self.best = last["batches"], last["accuracy"], last["best"]
            self._set(last["multiplier"])
        if state.is_world_process_zero:
            forget_after(self.path, state.global_step)

    def on_step_end(self, args: Any, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        batch = self.latest()
        if batch is self.seen:  # a further step on the same completions
            return
        self.seen = batch
        right = torch.tensor([fmean(sample["correct"] for sample in batch)], device=self.trainer.accelerator.device)
        now = float(self.trainer.accelerator.gather(right).mean())
        self.batches += 1
        memory = min(MEMORY, 1 - 1 / self.batches)  # a plain mean at first
        self.accuracy = memory * self.accuracy + (1 - memory) * now
        if self.batches >= WARM_UP:
            self.best = max(self.best, self.accuracy)
            missing = self.best - MARGIN - self.accuracy
            self._set(min(MOST, max(0.0, self.multiplier + RATE * missing)))
        if state.is_world_process_zero:
            names = ("batches", "accuracy", "best", "multiplier")
            append_rows(self.path, [{"step": state.global_step, **{name: getattr(self, name) for name in names}}])

    def _set(self, multiplier: float) -> None:
        self.multiplier = multiplier
        self.trainer.reward_weights[0] = self.weight + multiplier
