"""A bias on chosen key columns: the only file that knows transformers' insides.

`model(..., position_bias=b)` reaches scaled-dot-product attention in transformers 5.23, where `b` is added to the
attention logits and merged with causal, padding and sliding-window masks. It is undocumented, so the version is pinned
and `tests/test_attention.py` holds it to a hand-built 4-D mask.
"""

import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn
from transformers import DynamicCache

from .saliency import Scope
from .trace import Trace


class AttentionError(ValueError):
    """The model's attention cannot carry the mask."""


@contextmanager
def frozen(model: nn.Module) -> Iterator[None]:
    """Evaluation mode and no gradient for the weights, restored on leaving, also after an error.

    Evaluation mode switches off dropout and gradient checkpointing; the weights' `.grad` stays as it is.
    """
    modes = [(module, module.training) for module in model.modules()]
    flags = [(parameter, parameter.requires_grad) for parameter in model.parameters()]
    try:
        model.eval()
        for parameter, _ in flags:
            parameter.requires_grad_(False)
        yield
    finally:
        for module, training in modes:
            module.training = training
        for parameter, requires_grad in flags:
            parameter.requires_grad_(requires_grad)


_carries_bias: "weakref.WeakSet[nn.Module]" = weakref.WeakSet()


def require_bias_support(model: nn.Module) -> None:
    """Refuse a model whose attention ignores the bias; one forward of three tokens the first time a model is seen.

    Raises:
        AttentionError: the attention implementation is not `sdpa`, or a closed key changes no logit.
    """
    config: Any = model.config
    implementation = getattr(config.get_text_config(), "_attn_implementation", None)
    if implementation != "sdpa":
        raise AttentionError(
            f"attention implementation '{implementation}' ignores the mask: load the model with "
            "attn_implementation='sdpa'"
        )
    if model in _carries_bias:
        return
    device = next(model.parameters()).device
    ids = torch.arange(1, 4, device=device)[None]  # (1, 3)
    bias = torch.zeros(1, 1, 3, 3, device=device, dtype=compute_dtype(model))  # (B, 1, Q, K)
    with frozen(model), torch.no_grad():
        plain = model(input_ids=ids, use_cache=False, position_bias=bias).logits
        bias[..., 2, 1] = torch.finfo(bias.dtype).min
        closed = model(input_ids=ids, use_cache=False, position_bias=bias).logits
    if torch.equal(plain[:, 2], closed[:, 2]):
        raise AttentionError(f"{type(model).__name__} does not pass the mask on to its attention: it cannot be used")
    _carries_bias.add(model)


def compute_dtype(model: nn.Module) -> torch.dtype:
    """The dtype of the model's activations."""
    return next(p.dtype for p in model.parameters() if p.dtype.is_floating_point)


def context_length(model: nn.Module) -> int | None:
    """The longest trace that the model can read, in tokens, where its config says so."""
    config: Any = model.config
    length = getattr(config.get_text_config(), "max_position_embeddings", None)
    return int(length) if length else None


@dataclass(frozen=True)
class TraceBatch:
    """Traces padded on the left to one length L, each without its last token, whose row predicts nothing needed.

    Attributes:
        ids: (B, L) input ids.
        present: (B, L) true where there is a token, false on padding.
        reasoning: (B, L) true on the reasoning's tokens, the columns of the mask.
        answering: (B, L) true on the rows of cue and answer.
        targets: (B, A) ids of the answers, padded on the left.
        target_present: (B, A) true on real answer tokens.
    """

    ids: Tensor
    present: Tensor
    reasoning: Tensor
    answering: Tensor
    targets: Tensor
    target_present: Tensor

    @classmethod
    def of(cls, traces: Sequence[Trace], device: torch.device) -> "TraceBatch":
        length = max(len(trace) for trace in traces) - 1
        answers = max(len(trace.answer) for trace in traces)
        ids = torch.zeros(len(traces), length, dtype=torch.long)  # (B, L)
        present = torch.zeros(len(traces), length, dtype=torch.bool)  # (B, L)
        reasoning, answering = present.clone(), present.clone()
        targets = torch.zeros(len(traces), answers, dtype=torch.long)  # (B, A)
        target_present = torch.zeros(len(traces), answers, dtype=torch.bool)  # (B, A)
        for row, trace in enumerate(traces):
            pad = length - (len(trace) - 1)
            ids[row, pad:] = torch.tensor(trace.ids[:-1])
            present[row, pad:] = True
            reasoning[row, pad + trace.prompt_end : pad + trace.reasoning_end] = True
            answering[row, pad + trace.reasoning_end :] = True
            targets[row, answers - len(trace.answer) :] = torch.tensor(trace.ids[trace.cue_end :])
            target_present[row, answers - len(trace.answer) :] = True
        return cls(*(t.to(device) for t in (ids, present, reasoning, answering, targets, target_present)))

    def first_live(self, scope: Scope) -> int:
        """The first column whose row sees the mask in any trace; all rows before it can be cached."""
        if scope == "answer":
            return int(self.answering.any(dim=0).float().argmax())
        return int(self.reasoning.any(dim=0).float().argmax()) + 1


def key_bias(mask: Tensor, batch: TraceBatch, scope: Scope, first_row: int = 0) -> Tensor:
    """The mask as a bias on attention logits, for the rows from `first_row` on.

    Args:
        mask: (B, L) m of every column, 0 outside the reasoning.
        scope: `all` rows after the column's own (never a token's attention to itself), or those of cue and `answer`.

    Returns:
        (B, 1, Q, K) with Q = L - first_row, K = L. Causality is left to the model's own mask.
    """
    length = mask.shape[1]
    if scope == "answer":
        sees = batch.answering[:, first_row:, None]  # (B, Q, 1)
    else:
        columns = torch.arange(length, device=mask.device)
        sees = (columns[first_row:, None] != columns)[None]  # (1, Q, K)
    return torch.where(sees, mask[:, None, :], 0.0)[:, None]  # (B, 1, Q, K)


class AnswerScorer:
    """Scores the answers of a batch of traces under masks on their reasoning.

    Rows before the first that sees the mask do not depend on it: their keys and values are computed once and kept
    (detached; a fresh cache is built from them at each call, since one cache serves only one backward pass).

    Args:
        model: a causal language model in a `frozen` context.
        batch: the traces.
        scope: the rows that see the mask.
        cached: keep the rows before the mask; `False` is the slow reference.
    """

    def __init__(self, model: nn.Module, batch: TraceBatch, scope: Scope, cached: bool = True):
        self.model, self.batch, self.scope = model, batch, scope
        self.first_row = batch.first_live(scope) if cached else 0
        self.positions = (batch.present.long().cumsum(dim=1) - 1).clamp(min=0)  # (B, L)

    def __call__(self, mask: Tensor) -> Tensor:
        """Log-probability of each answer, mean over its tokens, nats.

        Args:
            mask: (B, L) m of every column, 0 outside the reasoning; may need gradient.

        Returns:
            (B,) in float32.
        """
        batch, first = self.batch, self.first_row
        bias = key_bias(mask, batch, self.scope, first).to(compute_dtype(self.model))
        logits = self.model(
            input_ids=batch.ids[:, first:],
            attention_mask=batch.present.long(),
            position_ids=self.positions[:, first:],
            past_key_values=DynamicCache(self._before) if first else None,
            use_cache=first > 0,
            position_bias=bias,
            logits_to_keep=batch.targets.shape[1],
        ).logits  # (B, A, V)
        tokens = logits.float().log_softmax(dim=-1).gather(-1, batch.targets[..., None]).squeeze(-1)  # (B, A)
        kept = torch.where(batch.target_present, tokens, 0.0)
        return kept.sum(dim=1) / batch.target_present.sum(dim=1)

    @property
    def closed_mask(self) -> Tensor:
        """(B, L) every reasoning key at the dtype's minimum."""
        low = torch.finfo(compute_dtype(self.model)).min
        return torch.where(self.batch.reasoning, low, 0.0)

    @cached_property
    def _before(self) -> list[tuple[Tensor, Tensor]]:
        """Keys and values of the rows before the mask, a pair a layer: (B, H, first_row, D)."""
        # Without its config the cache keeps every key of sliding-window layers, whose mask then works as without cache.
        cache = DynamicCache()
        first = self.first_row
        with torch.no_grad():
            self.model(
                input_ids=self.batch.ids[:, :first],
                attention_mask=self.batch.present[:, :first].long(),
                position_ids=self.positions[:, :first],
                past_key_values=cache,
                use_cache=True,
                # A bias makes rows of padding attend evenly; without one they may hold NaN, which would spread.
                position_bias=torch.zeros(1, 1, 1, 1, device=self.batch.ids.device, dtype=compute_dtype(self.model)),
                logits_to_keep=1,
            )
        return [(layer.keys, layer.values) for layer in cache.layers]
