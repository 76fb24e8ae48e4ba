"""Checkpoints of a run: which are whole, and from which one it may go on."""

import json
import math
from pathlib import Path

RECIPE_FILE = "recipe.yaml"


class CheckpointError(ValueError):
    """A run cannot be started or resumed in a folder."""


def is_complete(checkpoint: Path) -> bool:
    """Whether a checkpoint was written to its end: the trainer writes `trainer_state.json` last."""
    try:
        json.loads((checkpoint / "trainer_state.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return True


def last_checkpoint(folder: Path, every: int = 1) -> Path | None:
    """The newest complete checkpoint of a run whose step is a multiple of `every`; those cut short are passed over."""
    steps = {}
    for path in folder.glob("checkpoint-*"):
        number = path.name.removeprefix("checkpoint-")
        if number.isdigit() and int(number) % every == 0 and is_complete(path):
            steps[int(number)] = path
    return steps[max(steps)] if steps else None


def is_finished(checkpoint: Path) -> bool:
    """Whether the run had come to its last step at this checkpoint."""
    state = json.loads((checkpoint / "trainer_state.json").read_text(encoding="utf-8"))
    return int(state["global_step"]) >= int(state["max_steps"])


def steps_per_generation_batch(steps_per_generation: int, num_iterations: int, accumulation: int) -> int:
    """Optimiser steps after which no half-used generation batch is left, so that nothing is lost by a save."""
    return math.lcm(steps_per_generation * num_iterations, accumulation) // accumulation


def has_run(folder: Path) -> bool:
    """Whether a folder holds a run already."""
    return (folder / RECIPE_FILE).exists() or any(folder.glob("checkpoint-*"))
