"""Traces as tensors: groups of like length, and the rows that see a mask."""

import torch
from small_models import make_trace

from atmanrl.batch import TraceBatch, micro_batches


def test_micro_batches_hold_every_index_once_within_the_bound():
    lengths = [5, 100, 7, 7, 30, 2, 64]
    groups = list(micro_batches(lengths, 64))
    assert sorted(i for g in groups for i in g) == list(range(7))
    assert all(len(g) == 1 or len(g) * max(lengths[i] for i in g) <= 64 for g in groups)
    assert any(len(g) > 1 for g in groups)
    assert [1] in groups


def test_micro_batches_are_alike_in_what_is_asked():
    """Two long texts with few rows go together, and their length still bounds the group."""
    assert list(micro_batches([50, 50, 53, 52], 120, rows=[40, 10, 41, 11])) == [[1, 3], [0, 2]]
    assert list(micro_batches([100, 3, 4], 100, rows=[1, 2, 3])) == [[0], [1, 2]]


def test_rows_out_of_scope_do_not_see_the_mask():
    trace = make_trace(10, prompt=2, reasoning=3, cue=1, answer=2)
    batch = TraceBatch.of([trace, make_trace(10)], torch.device("cpu"))
    pad = batch.ids.shape[1] - 7
    assert batch.sees("all").all()
    assert batch.sees("answer")[0].tolist() == [False] * (pad + 5) + [True, True]  # cue and answer but its last
    assert batch.first_live("answer") == 16  # of the longer trace: prompt 7, reasoning 9
    assert batch.first_live("all") == 8
