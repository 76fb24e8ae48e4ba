"""Which checkpoints a run may go on from."""

import json

import pytest

from atmanrl.checkpoints import has_run, last_checkpoint, steps_per_generation_batch


def make(folder, step, state='{"global_step": 1}'):
    path = folder / f"checkpoint-{step}"
    path.mkdir()
    if state is not None:
        (path / "trainer_state.json").write_text(state)
    return path


def test_the_newest_complete_checkpoint_is_taken(tmp_path):
    make(tmp_path, 8)
    good = make(tmp_path, 10)
    make(tmp_path, 12, state=None)  # killed before the state was written
    make(tmp_path, 14, state=json.dumps({"log_history": [1, 2]})[:-4])  # killed while it was
    assert last_checkpoint(tmp_path) == good


def test_checkpoints_with_half_a_generation_batch_are_passed_over(tmp_path):
    make(tmp_path, 10)
    good = make(tmp_path, 8)
    assert last_checkpoint(tmp_path, every=4) == good
    assert last_checkpoint(tmp_path, every=7) is None


def test_has_run(tmp_path):
    assert not has_run(tmp_path)
    make(tmp_path, 2)
    assert has_run(tmp_path)


@pytest.mark.parametrize(
    ("per_generation", "iterations", "accumulation", "expected"),
    [(1, 1, 1, 1), (4, 1, 4, 1), (8, 1, 2, 4), (4, 2, 4, 2), (3, 1, 2, 3)],
)
def test_steps_per_generation_batch(per_generation, iterations, accumulation, expected):
    assert steps_per_generation_batch(per_generation, iterations, accumulation) == expected
