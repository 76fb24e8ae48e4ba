"""Attention with a number a key, held to its plain form over whole matrices, loops and all."""

import pytest
import torch

from atmanrl import gated_attention as module
from atmanrl.gated_attention import gated_attention

BATCH, HEADS, GROUPS, ROWS, KEYS, WIDTH = 2, 6, 2, 11, 17, 4
SCALING = 0.3


def plain(query, key, value, seen, key_mask, rows):
    """The formula, entry by entry."""
    before = key.shape[2] - query.shape[2]
    out = torch.zeros_like(query)
    for b in range(len(query)):
        for h in range(query.shape[1]):
            group = h // (query.shape[1] // key.shape[1])
            for q in range(query.shape[2]):
                keys = [k for k in range(key.shape[2]) if seen[b, 0, q, k]]
                logits = torch.stack(
                    [
                        SCALING * query[b, h, q] @ key[b, group, k]
                        + (key_mask[b, k] if rows[b, q] and k != before + q else 0)
                        for k in keys
                    ]
                )
                out[b, h, q] = logits.softmax(0) @ value[b, group, keys]
    return out


def inputs(window=None):
    torch.manual_seed(0)
    query = torch.randn(BATCH, HEADS, ROWS, WIDTH)
    key, value = torch.randn(BATCH, GROUPS, KEYS, WIDTH), torch.randn(BATCH, GROUPS, KEYS, WIDTH)
    at = torch.arange(KEYS - ROWS, KEYS)[:, None] - torch.arange(KEYS)
    seen = (at >= 0) & (at < (window or KEYS))
    seen = seen.expand(BATCH, 1, -1, -1).clone()
    seen[1, :, :, :3] = False  # padding on the left
    key_mask = -2 * torch.rand(BATCH, KEYS)
    rows = torch.rand(BATCH, ROWS) < 0.7
    return [query, key, value, seen, key_mask, rows]


@pytest.mark.parametrize("block", [256, 4, 1])
@pytest.mark.parametrize("window", [None, 5])
def test_value_and_gradients_equal_the_plain_form(block, window, monkeypatch):
    monkeypatch.setattr(module, "BLOCK", block)
    given = inputs(window)
    learned = [given[i].requires_grad_() for i in (0, 1, 2, 4)]
    slow, fast = plain(*given), gated_attention(*given, SCALING)
    torch.testing.assert_close(fast, slow, rtol=1e-4, atol=1e-5)
    weights = torch.randn_like(slow)
    expected = torch.autograd.grad((slow * weights).sum(), learned)
    found = torch.autograd.grad((fast * weights).sum(), learned)
    kept = KEYS - ROWS
    for index, (one, other) in enumerate(zip(found, expected, strict=True)):
        if index in (1, 2):  # keys and values that were kept are constants
            assert one[:, :, :kept].abs().sum() == 0
            one, other = one[:, :, kept:], other[:, :, kept:]
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-5)


def test_a_row_never_sees_the_mask_on_its_own_key():
    query, key, value, _, _, _ = inputs()
    seen = (torch.arange(KEYS - ROWS, KEYS)[:, None] == torch.arange(KEYS)).expand(BATCH, 1, -1, -1)
    mask = torch.full((BATCH, KEYS), -5.0, requires_grad=True)
    rows = torch.ones(BATCH, ROWS, dtype=torch.bool)
    out = gated_attention(query, key, value, seen, mask, rows, SCALING)
    expected = value.repeat_interleave(HEADS // GROUPS, dim=1)[:, :, KEYS - ROWS :]
    torch.testing.assert_close(out, expected)
    assert torch.autograd.grad(out.sum(), mask)[0].abs().sum() == 0


def test_a_row_that_sees_nothing_is_finite():
    """Rows of padding: whatever they hold, it must not be NaN, which would spread."""
    given = inputs()
    given[3][0] = False
    given[0].requires_grad_()
    out = gated_attention(*given, SCALING)
    assert out.isfinite().all()
    assert torch.autograd.grad(out.sum(), given[0])[0].isfinite().all()


def test_a_closed_key_is_as_one_not_seen():
    given = inputs()
    given[5][:] = True
    closed, hidden = [t.clone() for t in given], [t.clone() for t in given]
    closed[4][:, 2:5] = torch.finfo(torch.float32).min
    hidden[3][..., 2:5] = False
    torch.testing.assert_close(gated_attention(*closed, SCALING), gated_attention(*hidden, SCALING))


def test_bfloat16_is_near_float32():
    given = inputs()
    half = [t.bfloat16() if t.is_floating_point() else t for t in given]
    torch.testing.assert_close(
        gated_attention(*half, SCALING).float(), gated_attention(*given, SCALING), rtol=0.05, atol=0.05
    )
