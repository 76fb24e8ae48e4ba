"""Attention with one number a key added to its logits: exact, differentiable, without keeping any weights.

torch's scaled-dot-product attention takes such a bias too, but falls back to its plain form where the bias needs a
gradient, and keeps every layer's (Q, K) weights until the backward pass. Here rows are done in blocks, each against the
keys that it can see, and their weights are computed anew on the way back.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

BLOCK = 256
"""Rows done at once: bounds the memory; the keys after a block are skipped."""


def gated_attention(
    query: Tensor, key: Tensor, value: Tensor, seen: Tensor, key_mask: Tensor, rows: Tensor, scaling: float
) -> Tensor:
    """softmax(scaling x query key' + bias) value, where bias[q, k] = key_mask[k] if rows[q] and k is not q's own key.

    Args:
        query: (B, H, Q, D); its rows are the last Q of the text. Keys before them are constants: no gradient for them.
        key, value: (B, G, K, D), H a multiple of G: consecutive heads share a key.
        seen: (B or 1, 1, Q, K) true where a row sees a key; never a key later than the row.
        key_mask: (B, K) m of every key; gets a gradient.
        rows: (B, Q) true where the row sees the mask.

    Returns:
        (B, H, Q, D).
    """
    return _GatedAttention.apply(query, key, value, seen, key_mask, rows, scaling)  # type: ignore[no-any-return, no-untyped-call]


class _GatedAttention(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, *inputs: Any) -> Tensor:
        query, key, value, seen, key_mask, rows, scaling = inputs
        ctx.save_for_backward(query, key, value, seen, key_mask, rows)
        ctx.scaling = scaling
        outputs = []
        for first, end, keys in _blocks(query, key):
            bias = _bias(seen, key_mask, rows, first, end, keys)
            weights = _weights(_grouped(query, key, first, end), key[:, :, :keys], bias, scaling)
            outputs.append(_ungrouped(weights.to(value.dtype) @ value[:, :, :keys], query))
        return outputs[0] if len(outputs) == 1 else torch.cat(outputs, dim=2)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> Any:
        query, key, value, seen, key_mask, rows = ctx.saved_tensors
        before = key.shape[2] - query.shape[2]
        d_queries, d_key, d_value = [], torch.zeros_like(key), torch.zeros_like(value)
        d_mask = torch.zeros_like(key_mask, dtype=torch.float32)
        for first, end, keys in _blocks(query, key):
            bias = _bias(seen, key_mask, rows, first, end, keys)
            queries, d_out = _grouped(query, key, first, end), _grouped(grads[0], key, first, end)  # (B, G, S*q, D)
            weights = _weights(queries, key[:, :, :keys], bias, ctx.scaling)  # (B, G, S*q, k)
            d_weights = (d_out @ value[:, :, :keys].transpose(2, 3)).float()  # (B, G, S*q, k)
            d_logits = torch.ops.aten._softmax_backward_data(d_weights, weights, -1, torch.float32)  # (B, G, S*q, k)
            d_mask[:, :keys] += _mask_gradient(d_logits, rows[:, first:end])
            d_logits, weights = d_logits.to(query.dtype), weights.to(value.dtype)
            d_queries.append(_ungrouped(d_logits @ key[:, :, :keys], query) * ctx.scaling)
            d_key[:, :, before:keys] += d_logits[..., before:].transpose(2, 3) @ queries * ctx.scaling
            d_value[:, :, before:keys] += weights[..., before:].transpose(2, 3) @ d_out
        return torch.cat(d_queries, dim=2), d_key, d_value, None, d_mask.to(key_mask.dtype), None, None


def _blocks(query: Tensor, key: Tensor) -> Iterator[tuple[int, int, int]]:
    """First and last row of each block, and how many keys its last row can see."""
    count, before = query.shape[2], key.shape[2] - query.shape[2]
    for first in range(0, count, BLOCK):
        end = min(first + BLOCK, count)
        yield first, end, before + end


def _bias(seen: Tensor, key_mask: Tensor, rows: Tensor, first: int, end: int, keys: int) -> Tensor:
    """What is added to the logits of a block's rows: (B, q, k)."""
    bias = torch.where(rows[:, first:end, None], key_mask[:, None, :keys].float(), 0.0)  # (B, q, k)
    bias.diagonal(offset=keys - (end - first), dim1=1, dim2=2).zero_()  # a row's own key
    return bias.masked_fill_(~seen[:, 0, first:end, :keys], torch.finfo(torch.float32).min)


def _weights(queries: Tensor, key: Tensor, bias: Tensor, scaling: float) -> Tensor:
    """Attention weights in float32: (B, G, S*q, k)."""
    logits = ((queries * scaling) @ key.transpose(2, 3)).float()  # (B, G, S*q, k)
    by_row = logits.view(*logits.shape[:2], -1, *bias.shape[1:])  # (B, G, S, q, k)
    by_row += bias[:, None, None]
    return logits.softmax(dim=-1)


def _mask_gradient(d_logits: Tensor, rows: Tensor) -> Tensor:
    """Of d_logits (B, G, S*q, k), over heads and the rows that see the mask, without each row's own key: (B, k)."""
    count, keys = rows.shape[1], d_logits.shape[3]
    per_row = d_logits.view(len(rows), -1, count, keys).sum(dim=1)  # (B, q, k)
    per_row.diagonal(offset=keys - count, dim1=1, dim2=2).zero_()
    total: Tensor = rows[:, None, :].float() @ per_row  # (B, 1, k)
    return total[:, 0]


def _grouped(rows: Tensor, key: Tensor, first: int, end: int) -> Tensor:
    """Rows (B, H, Q, D) of a block with the S heads that share a key one after the other: (B, G, S*q, D)."""
    batch, _, _, width = rows.shape
    return rows[:, :, first:end].reshape(batch, key.shape[1], -1, width)


def _ungrouped(rows: Tensor, query: Tensor) -> Tensor:
    """(B, G, S*q, D) as (B, H, q, D)."""
    return rows.view(*query.shape[:2], -1, rows.shape[3])
