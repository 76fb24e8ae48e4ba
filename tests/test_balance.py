"""The multiplier of the accuracy constraint: when it rises, when it falls, and that a resumed run goes on with it."""

import json
from types import SimpleNamespace

import pytest
import torch

from atmanrl.balance import MARGIN, MEMORY, MOST, RATE, WARM_UP, AccuracyConstraint


def run(tmp_path, accuracies, start=0, name="balance.jsonl"):
    """A constraint that has seen batches of these accuracies, from step `start` on."""
    trainer = SimpleNamespace(
        reward_weights=torch.tensor([1.0, 0.5]),
        accelerator=SimpleNamespace(device="cpu", gather=lambda tensor: tensor),
    )
    batches = [None]
    constraint = AccuracyConstraint(trainer, lambda: batches[-1], tmp_path / name)
    state = SimpleNamespace(global_step=start, is_world_process_zero=True)
    constraint.on_train_begin(None, state, None)
    for accuracy in accuracies:
        state.global_step += 1
        if accuracy is not None:  # else a further step on the same batch
            batches.append([{"correct": i < round(100 * accuracy)} for i in range(100)])
        constraint.on_step_end(None, state, None)
    return constraint


START = [0.9] * WARM_UP


def test_nothing_happens_while_accuracy_holds(tmp_path):
    constraint = run(tmp_path, [*START, 0.9, 0.92, 0.95, 0.94])
    assert constraint.multiplier == 0
    assert constraint.trainer.reward_weights.tolist() == [1.0, 0.5]


def test_the_outcome_weighs_more_while_accuracy_is_missing_and_less_again_after(tmp_path):
    fallen = run(tmp_path, START + [0.5] * 10)
    assert fallen.multiplier > 0.5
    assert fallen.trainer.reward_weights[0] == pytest.approx(1 + fallen.multiplier)
    assert fallen.trainer.reward_weights[1] == 0.5
    assert run(tmp_path, START + [0.5] * 10 + [1.0] * 300, name="back.jsonl").multiplier == 0
    assert run(tmp_path, START + [0.0] * 100, name="most.jsonl").multiplier == MOST


def test_one_step_by_hand(tmp_path):
    constraint = run(tmp_path, [*START, 0.0])
    accuracy = MEMORY * 0.9 + (1 - MEMORY) * 0.0
    assert constraint.multiplier == pytest.approx(RATE * (0.9 - MARGIN - accuracy))


def test_a_lucky_first_batch_sets_no_best(tmp_path):
    constraint = run(tmp_path, [1.0] + [0.7] * 100)
    assert constraint.best < 0.75
    assert constraint.multiplier == 0


def test_further_steps_on_the_same_batch_do_not_count(tmp_path):
    once = run(tmp_path, [*START, 0.0])
    again = run(tmp_path, [*START, 0.0, None, None, None], name="again.jsonl")
    assert (once.multiplier, once.batches) == (again.multiplier, again.batches)
    assert once.multiplier > 0


def test_a_resumed_run_goes_on_as_if_it_had_not_stopped(tmp_path):
    seen = [*START, 0.7, 0.5, 0.6, 0.8, 0.4]
    whole = run(tmp_path, seen, name="whole.jsonl")
    run(tmp_path, [*seen[:22], 0.1, 0.1], name="parts.jsonl")  # two steps after the checkpoint are lost
    again = run(tmp_path, seen[22:], start=22, name="parts.jsonl")
    assert again.multiplier == pytest.approx(whole.multiplier) != 0
    assert again.trainer.reward_weights.tolist() == whole.trainer.reward_weights.tolist()
    assert (tmp_path / "parts.jsonl").read_text() == (tmp_path / "whole.jsonl").read_text()
    assert [json.loads(line)["step"] for line in (tmp_path / "whole.jsonl").open()] == list(range(1, 26))


def test_a_new_run_forgets_what_an_older_one_left(tmp_path):
    run(tmp_path, [*START, 0.1, 0.1])
    assert run(tmp_path, START).multiplier == 0
