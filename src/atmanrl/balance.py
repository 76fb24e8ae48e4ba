"""Correctness before saliency without a weight to tune: saliency is maximised while accuracy holds."""

import math
from collections.abc import Callable
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from transformers import TrainerCallback, TrainerControl, TrainerState

from .callbacks import append_rows, forget_after, read_metrics

MARGIN = 0.03
"""How far accuracy may fall under its running best, chance set aside, before the multiplier rises."""
RATE = 4.0
"""How fast the multiplier's logarithm moves: for each batch and unit of accuracy that is missing, or to spare."""
MEMORY = 0.95
"""Of the running mean of accuracy, from batch to batch."""
START = 2.0
"""The multiplier at first: fixed weights as they were tuned on `chains`."""
WARM_UP = 400
"""Completions seen before a best is taken: a lucky first batch would set it for good."""
LEAST, MOST = 0.6, 10.0
"""The multiplier's bounds. Over 0.5 a right completion is worth more than a wrong one whatever the saliencies."""


class AccuracyConstraint(TrainerCallback):  # type: ignore[misc]
    """Sets a trainer's weight of the outcome anew after every step.

    Of the problem "maximise saliency, subject to accuracy at least its best less `MARGIN`" the Lagrangian is
    saliency + mu x accuracy. mu is the outcome's weight in units of the saliency's, whose own weight is a scale alone.
    It begins at `START` whatever the trainer's weights are, is multiplied by exp(`RATE` x what is missing) after each
    batch, less than 1 while accuracy is to spare (dual ascent on its logarithm), and stays within `LEAST` and `MOST`.
    Accuracy is a running mean over batches, with a standard error from how far these lie apart. Its best is the largest
    mean less its error after `WARM_UP` completions, until when mu stays; missing is what the mean and its error lack to
    the best less `MARGIN`. Without the errors a lucky stretch would set a best that is missing ever after.
    Appends a row a batch to a JSON Lines file, from which a resumed run goes on: `step`, `batches`, `completions`,
    `accuracy`, `variance` (of batches), `weight` (what of it is the mean's), `best` and `multiplier` (mu).

    Args:
        trainer: a `trl.GRPOTrainer` whose first reward is the outcome and whose second is the saliency.
        latest: gives the last batch's completions as plain data, each with `correct`.
        path: the file.
    """

    def __init__(self, trainer: Any, latest: Callable[[], list[dict[str, Any]]], path: Path) -> None:
        self.trainer, self.latest, self.path = trainer, latest, path
        self.unit = float(trainer.reward_weights[1])
        self.seen: Any = None
        self.batches, self.completions, self.accuracy, self.best = 0, 0, 0.0, 0.0
        self.variance, self.weight = 0.0, 0.0
        self.multiplier = START

    def on_train_begin(self, args: Any, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        rows = read_metrics(self.path) if self.path.exists() else []
        before = [row for row in rows if row["step"] <= state.global_step]
        if before:
            last = before[-1]
            self.batches, self.completions = last["batches"], last["completions"]
            self.accuracy, self.best, self.multiplier = last["accuracy"], last["best"], last["multiplier"]
            self.variance, self.weight = last["variance"], last["weight"]
        self._weigh()
        if state.is_world_process_zero:
            forget_after(self.path, state.global_step)

    def on_step_end(self, args: Any, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        batch = self.latest()
        if batch is self.seen:  # a further step on the same completions
            return
        self.seen = batch
        right = torch.tensor([fmean(sample["correct"] for sample in batch)], device=self.trainer.accelerator.device)
        each = self.trainer.accelerator.gather(right)  # (processes,)
        self.batches += 1
        self.completions += len(batch) * len(each)
        memory = min(MEMORY, 1 - 1 / self.batches)  # a plain mean at first
        moved = float(each.mean()) - self.accuracy
        self.accuracy += (1 - memory) * moved
        self.variance = memory * (self.variance + (1 - memory) * moved**2)
        self.weight = memory**2 * self.weight + (1 - memory) ** 2
        if self.completions >= WARM_UP and self.batches > 1:
            error = math.sqrt(self.variance / (1 - self.weight) * self.weight)
            self.best = max(self.best, self.accuracy - error)
            missing = self.best - MARGIN - (self.accuracy + error)
            self.multiplier = min(MOST, max(LEAST, self.multiplier * math.exp(RATE * missing)))
            self._weigh()
        if state.is_world_process_zero:
            names = ("batches", "completions", "accuracy", "variance", "weight", "best", "multiplier")
            append_rows(self.path, [{"step": state.global_step, **{name: getattr(self, name) for name in names}}])

    def _weigh(self) -> None:
        self.trainer.reward_weights[0] = self.multiplier * self.unit
