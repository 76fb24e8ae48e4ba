"""The multiplier of the accuracy constraint: when it rises, when it falls, and that a resumed run goes on with it."""

import json
import math
import random
from statistics import fmean, stdev
from types import SimpleNamespace

import pytest
import torch

from atmanrl.balance import LEAST, MARGIN, MEMORY, MOST, RATE, START, WARM_UP, AccuracyConstraint
from atmanrl.callbacks import read_metrics


def run(tmp_path, accuracies, start=0, name="balance.jsonl", weights=(1.0, 0.5)):
    """A constraint that has seen batches of these accuracies, from step `start` on."""
    trainer = SimpleNamespace(
        reward_weights=torch.tensor(weights),
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


BATCHES = WARM_UP // 100  # of 100 completions each
SEEN = [0.9] * BATCHES


def test_nothing_moves_before_enough_is_seen(tmp_path):
    constraint = run(tmp_path, SEEN[:-1])
    assert constraint.multiplier == 2
    assert constraint.trainer.reward_weights.tolist() == [1.0, 0.5]


def test_the_outcome_weighs_less_while_accuracy_is_to_spare(tmp_path):
    constraint = run(tmp_path, SEEN + [0.9] * 5)
    assert constraint.multiplier == pytest.approx(2 * math.exp(-RATE * MARGIN * 6))
    assert constraint.trainer.reward_weights.tolist() == pytest.approx([0.5 * constraint.multiplier, 0.5])
    assert run(tmp_path, SEEN + [0.9] * 100, name="least.jsonl").multiplier == LEAST > 0.5


def test_the_outcome_weighs_more_while_accuracy_is_missing_and_less_again_after(tmp_path):
    assert run(tmp_path, SEEN + [0.5] * 10).multiplier > 3
    assert run(tmp_path, SEEN + [0.0] * 100, name="most.jsonl").multiplier == MOST
    assert run(tmp_path, SEEN + [0.5] * 10 + [1.0] * 300, name="back.jsonl").multiplier == LEAST


def test_one_step_by_hand(tmp_path):
    before, after = run(tmp_path, SEEN), run(tmp_path, [*SEEN, 0.0], name="after.jsonl")
    batches = [*SEEN, 0.0]
    error = stdev(batches) / math.sqrt(len(batches))  # a plain mean at first
    assert after.accuracy == pytest.approx(fmean(batches))
    missing = 0.9 - MARGIN - (fmean(batches) + error)
    assert after.multiplier == pytest.approx(before.multiplier * math.exp(RATE * missing))


def test_the_error_is_that_of_the_running_mean(tmp_path):
    """Over many runs of chance the means lie apart as far as their errors say."""
    rng = random.Random(0)
    runs = [run(tmp_path, [rng.gauss(0.5, 0.1) for _ in range(60)], name=f"{i}.jsonl") for i in range(60)]
    errors = [math.sqrt(one.variance / (1 - one.weight) * one.weight) for one in runs]
    assert fmean(errors) == pytest.approx(stdev(one.accuracy for one in runs), rel=0.25)
    assert fmean(errors) == pytest.approx(0.1 / math.sqrt((1 + MEMORY) / (1 - MEMORY)), rel=0.1)


def test_chance_alone_does_not_raise_it(tmp_path):
    """Batches as far apart as those of our studies: without the errors it is over its start half of the time."""
    rng, over = random.Random(0), []
    for i in range(20):
        run(tmp_path, [rng.gauss(0.77, 0.1) for _ in range(200)], name=f"{i}.jsonl")
        over += [row["multiplier"] > START for row in read_metrics(tmp_path / f"{i}.jsonl")]
    assert fmean(over) < 0.1


def test_what_is_truly_missing_raises_it_through_chance(tmp_path):
    rng = random.Random(0)
    seen = [rng.gauss(0.8, 0.1) for _ in range(60)] + [rng.gauss(0.6, 0.1) for _ in range(60)]
    assert run(tmp_path, seen).multiplier > 4


@pytest.mark.parametrize("weights", [(1.0, 0.1), (1.0, 0.5), (1.0, 1.9)])
def test_no_weight_needs_tuning(tmp_path, weights):
    """From the first batch on it is the same whatever the weights are; the saliency's is the scale."""
    seen = SEEN + [0.9] * 20 + [0.7] * 15
    constraint = run(tmp_path, seen, weights=weights)
    tuned = run(tmp_path, seen, name="tuned.jsonl", weights=(1.0, 0.5))
    assert (tmp_path / "balance.jsonl").read_text() == (tmp_path / "tuned.jsonl").read_text()
    assert constraint.trainer.reward_weights.tolist() == pytest.approx([tuned.multiplier * weights[1], weights[1]])
    before = run(tmp_path, [], name="before.jsonl", weights=weights)
    assert before.trainer.reward_weights.tolist() == pytest.approx([START * weights[1], weights[1]])


def test_a_little_missing_for_long_takes_it_to_its_bound(tmp_path):
    constraint = run(tmp_path, SEEN + [0.9] * 60 + [0.86] * 200)
    assert constraint.best - constraint.accuracy == pytest.approx(0.04, abs=0.001)
    assert constraint.multiplier == MOST


def test_a_lucky_first_batch_sets_no_best(tmp_path):
    constraint = run(tmp_path, [1.0] + [0.7] * 100)
    assert constraint.best < 0.78


def test_further_steps_on_the_same_batch_do_not_count(tmp_path):
    once = run(tmp_path, [*SEEN, 0.0])
    again = run(tmp_path, [*SEEN, 0.0, None, None, None], name="again.jsonl")
    assert (once.multiplier, once.batches) == (again.multiplier, again.batches)
    assert once.multiplier != START


def test_a_resumed_run_goes_on_as_if_it_had_not_stopped(tmp_path):
    seen = [*SEEN, 0.7, 0.5, 0.6, 0.8, 0.4]
    stop = BATCHES + 2
    whole = run(tmp_path, seen, name="whole.jsonl")
    run(tmp_path, [*seen[:stop], 0.1, 0.1], name="parts.jsonl")  # two steps after the checkpoint are lost
    again = run(tmp_path, seen[stop:], start=stop, name="parts.jsonl")
    assert again.multiplier == pytest.approx(whole.multiplier) != 2
    assert again.trainer.reward_weights.tolist() == whole.trainer.reward_weights.tolist()
    assert (tmp_path / "parts.jsonl").read_text() == (tmp_path / "whole.jsonl").read_text()
    assert [json.loads(line)["step"] for line in (tmp_path / "whole.jsonl").open()] == list(range(1, BATCHES + 6))


def test_a_new_run_forgets_what_an_older_one_left(tmp_path):
    run(tmp_path, [*SEEN, 0.1, 0.1])
    assert run(tmp_path, SEEN[:-1]).multiplier == 2
