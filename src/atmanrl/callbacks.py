"""What a training run shows and keeps: a progress bar, metrics, sample completions, a clean stop on Ctrl-C."""

import json
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tqdm.auto import tqdm
from transformers import TrainerCallback, TrainerControl, TrainerState

from .files import write_text
from .report.terminal import print_samples

SHOWN = {
    "reward": "reward",
    "outcome": "rewards/outcome/mean",
    "saliency": "rewards/saliency/mean",
    "work": "saliency/work",
    "density": "saliency/density",
    "tokens": "completions/mean_length",
}


class ProgressBar(TrainerCallback):  # type: ignore[misc]
    """One bar over the optimiser steps with the reward's components."""

    def __init__(self) -> None:
        self.bar: Any = None

    def on_train_begin(self, args: Any, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        if state.is_world_process_zero:
            self.bar = tqdm(total=state.max_steps, initial=state.global_step, unit="step", dynamic_ncols=True)

    def on_step_end(self, args: Any, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        if self.bar is not None:
            self.bar.update(state.global_step - self.bar.n)

    def on_log(self, args: Any, state: TrainerState, control: TrainerControl, logs: Any = None, **_: Any) -> None:
        if self.bar is not None and logs:
            shown = {name: f"{logs[key]:.2f}" for name, key in SHOWN.items() if logs.get(key) is not None}
            if shown:
                self.bar.set_postfix(shown)

    def close(self) -> None:
        """Leave the terminal to what comes next."""
        if self.bar is not None:
            self.bar.close()


class MetricsFile(TrainerCallback):  # type: ignore[misc]
    """Appends every log to a JSON Lines file; a resumed run drops the rows after its checkpoint first."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def on_train_begin(self, args: Any, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        if state.is_world_process_zero:
            forget_after(self.path, state.global_step)

    def on_log(self, args: Any, state: TrainerState, control: TrainerControl, logs: Any = None, **_: Any) -> None:
        if state.is_world_process_zero and logs:
            append_rows(self.path, [{"step": state.global_step, **logs}])


class Samples(TrainerCallback):  # type: ignore[misc]
    """At every log, keeps a few completions of the last batch with their saliency, and shows some as a table.

    Args:
        latest: gives the last batch's completions as plain data.
        path: JSON Lines that they are appended to.
        shown: how many are shown in the terminal.
    """

    KEPT = 4

    def __init__(self, latest: Callable[[], list[dict[str, Any]]], path: Path, shown: int) -> None:
        self.latest, self.path, self.shown = latest, path, shown

    def on_train_begin(self, args: Any, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        if state.is_world_process_zero:
            forget_after(self.path, state.global_step)

    def on_log(self, args: Any, state: TrainerState, control: TrainerControl, logs: Any = None, **_: Any) -> None:
        batch = self.latest()
        if not state.is_world_process_zero or "loss" not in (logs or {}) or not batch:
            return
        append_rows(self.path, [{"step": state.global_step, **sample} for sample in batch[: self.KEPT]])
        if self.shown:
            with tqdm.external_write_mode():
                print_samples(state.global_step, batch[: self.shown])


def append_rows(path: Path, rows: list[dict[str, Any]]) -> None:
    """Append objects to a JSON Lines file."""
    with path.open("a", encoding="utf-8") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)


def forget_after(path: Path, step: int) -> None:
    """Drop the rows that a resumed run will write again."""
    if path.exists():
        kept = [row for row in read_metrics(path) if row["step"] <= step]
        write_text(path, "".join(json.dumps(row) + "\n" for row in kept))


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """The rows of a metrics file; a last line cut short by a kill is left out."""
    rows = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            rows.append(json.loads(line))
        except ValueError:
            break
    return rows


class StopAtSave(TrainerCallback):  # type: ignore[misc]
    """Once asked, saves and stops at the end of the next step that leaves no half-used generation batch."""

    def __init__(self, every: int) -> None:
        self.every = every
        self.asked = False

    def on_step_end(self, args: Any, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        if self.asked and state.global_step % self.every == 0:
            control.should_save = True
            control.should_training_stop = True


@contextmanager
def stop_on_interrupt(stop: StopAtSave) -> Iterator[None]:
    """Ctrl-C, or SIGTERM from a cluster's scheduler, asks `stop` to save and stop; a second one interrupts at once. The
    old handlers come back after."""

    def handle(signum: int, frame: Any) -> None:
        if stop.asked:
            raise KeyboardInterrupt
        stop.asked = True
        tqdm.write("stopping after this step; press Ctrl-C again to stop at once, without saving")

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
