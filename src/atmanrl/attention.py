"""A bias on chosen key columns: the only file that knows transformers' insides.

`model(..., position_bias=b)` reaches scaled-dot-product attention in transformers 5.23, where `b` is added to the
attention logits and merged with causal, padding and sliding-window masks. It is undocumented, so the version is pinned
and `tests/test_attention.py` holds it to a hand-built 4-D mask.
"""

import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface, DynamicCache
from transformers.masking_utils import sdpa_mask

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

    def repeat(self, count: int) -> "TraceBatch":
        """A batch of one trace as `count` rows of it, without copying."""
        return TraceBatch(*(getattr(self, field.name).expand(count, -1) for field in fields(self)))

    def first_live(self, scope: Scope) -> int:
        """The first column whose row sees the mask in any trace; all rows before it can be cached."""
        if scope == "answer":
            return int(self.answering.any(dim=0).float().argmax())
        return int(self.reasoning.any(dim=0).float().argmax()) + 1


def positions(present: Tensor) -> Tensor:
    """The place of each token in its own text, from 0, given where there are tokens; both (B, L)."""
    return (present.long().cumsum(dim=1) - 1).clamp(min=0)


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
        itself: a token's own row is tampered with too, so that the first one's cannot be kept (`suppressed`).
    """

    def __init__(self, model: nn.Module, batch: TraceBatch, scope: Scope, cached: bool = True, itself: bool = False):
        self.model, self.batch, self.scope = model, batch, scope
        self.first_row = batch.first_live(scope) - int(itself) if cached else 0
        self.positions = positions(batch.present)  # (B, L)

    def __call__(self, mask: Tensor) -> Tensor:
        """Log-probability of each answer, mean over its tokens, nats.

        Args:
            mask: (B, L) m of every column, 0 outside the reasoning; may need gradient. For a batch of one trace, any
                number of masks (N, L).

        Returns:
            (B,) in float32, or (N,).
        """
        return self.scored(len(mask), lambda batch: key_bias(mask, batch, self.scope, self.first_row))

    def suppressed(self, factors: Tensor) -> Tensor:
        """The same with attention logits multiplied, not shifted: every key's logits in all rows, counted from the
        smallest that the row sees, by its factor; the token's own row among them (a scorer with `itself`).

        Args:
            factors: (N, L) of every column, 1 where nothing changes.

        Returns:
            (N,) in float32.
        """
        if self.first_row:
            _ = self._before  # read with the model's own attention
        with attention_implementation(self.model, _SUPPRESSED):
            return self.scored(len(factors), None, key_factors=factors.to(compute_dtype(self.model)))

    def scored(self, count: int, bias: Callable[[TraceBatch], Tensor] | None, **options: Any) -> Tensor:
        """Log-probability of each answer with a bias on the attention logits and further options of the forward."""
        first = self.first_row
        batch, before = self.batch, self._before if first else []
        if count != len(batch.ids):
            batch = batch.repeat(count)
            before = [(k.expand(count, -1, -1, -1), v.expand(count, -1, -1, -1)) for k, v in before]
        if bias is not None:
            options["position_bias"] = bias(batch).to(compute_dtype(self.model))
        logits = self.model(
            input_ids=batch.ids[:, first:],
            attention_mask=batch.present.long(),
            position_ids=self.positions[:, first:].expand(count, -1),
            past_key_values=new_cache(before) if first else None,
            use_cache=first > 0,
            logits_to_keep=batch.targets.shape[1],
            **options,
        ).logits  # (B, A, V)
        return mean_logprob(logits, batch.targets, batch.target_present)

    @property
    def closed_mask(self) -> Tensor:
        """(B, L) every reasoning key at the dtype's minimum."""
        low = torch.finfo(compute_dtype(self.model)).min
        return torch.where(self.batch.reasoning, low, 0.0)

    @cached_property
    def _before(self) -> "KeysAndValues":
        """Of the rows before the mask."""
        return keys_and_values(self.model, self.batch.ids[:, : self.first_row], self.batch.present[:, : self.first_row])


@contextmanager
def attention_implementation(model: nn.Module, name: str) -> Iterator[None]:
    """Another attention implementation, the model's own again on leaving, also after an error."""
    changed: Any = model
    before = changed.config._attn_implementation
    changed.set_attn_implementation(name)
    try:
        yield
    finally:
        changed.set_attn_implementation(before)


_SUPPRESSED = "atmanrl_suppressed"


def _suppressed_attention(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, key_factors: Tensor, **rest: Any
) -> Any:
    """Attention whose logits, counted from the smallest that their row sees, are multiplied by a factor a key, (B, K).

    Counted from zero, a factor under 1 would raise logits that are negative.
    """
    groups = query.shape[1] // key.shape[1]
    key, value = key.repeat_interleave(groups, dim=1), value.repeat_interleave(groups, dim=1)  # (B, H, K, D)
    scaling = rest.get("scaling") or query.shape[-1] ** -0.5
    logits = (query @ key.transpose(2, 3)).float() * scaling  # (B, H, Q, K)
    rows, columns = logits.shape[-2:]
    if mask is None:
        mask = torch.ones(rows, columns, dtype=torch.bool, device=query.device).tril(columns - rows)
    seen = mask if mask.dtype == torch.bool else mask > torch.finfo(mask.dtype).min / 2
    low = logits.masked_fill(~seen, float("inf")).amin(dim=-1, keepdim=True)  # (B, H, Q, 1)
    logits = torch.where(low.isfinite(), low + (logits - low) * key_factors[:, None, None, :].float(), 0.0)
    weights = logits.masked_fill(~seen, torch.finfo(torch.float32).min).softmax(dim=-1).to(value.dtype)
    return (weights @ value).transpose(1, 2).contiguous(), None


AttentionInterface.register(_SUPPRESSED, _suppressed_attention)
AttentionMaskInterface.register(_SUPPRESSED, sdpa_mask)


def attention_received(model: nn.Module, batch: TraceBatch) -> Tensor:
    """Attention of the rows that predict the answer to every column, mean over layers, heads and those rows: (B, L).

    Args:
        model: in a `frozen` context; its eager implementation is used, which holds all weights at once.
    """
    rows = batch.targets.shape[1]
    with attention_implementation(model, "eager"), torch.no_grad():
        weights = model(
            input_ids=batch.ids,
            attention_mask=batch.present.long(),
            position_ids=positions(batch.present),
            use_cache=False,
            output_attentions=True,
            logits_to_keep=1,
        ).attentions
    predicting = batch.target_present[:, :, None].float()  # (B, A, 1)
    total = torch.zeros(*predicting.shape[:2], batch.ids.shape[1], device=batch.ids.device)  # (B, A, L)
    for layer in weights:
        total += layer[:, :, -rows:].float().mean(dim=1) * predicting
    return total.sum(dim=1) / predicting.sum(dim=1) / len(weights)


def hidden_logprobs(model: nn.Module, batch: TraceBatch, hidden: Sequence[tuple[Tensor, Tensor]]) -> Tensor:
    """Log-probability of each answer with some keys closed to some rows, mean over its tokens, nats.

    Args:
        model: in a `frozen` context.
        hidden: pairs of rows that lose sight and the keys that they lose, each (B, L); never a row's own.

    Returns:
        (B,) in float32.
    """
    length = batch.ids.shape[1]
    itself = torch.eye(length, dtype=torch.bool, device=batch.ids.device)  # (Q, K)
    closed = torch.zeros(len(batch.ids), length, length, dtype=torch.bool, device=batch.ids.device)  # (B, Q, K)
    for rows, columns in hidden:
        closed |= rows[:, :, None] & columns[:, None, :] & ~itself
    dtype = compute_dtype(model)
    bias = torch.where(closed, torch.finfo(dtype).min, 0.0).to(dtype)[:, None]  # (B, 1, Q, K)
    with torch.no_grad():
        logits = model(
            input_ids=batch.ids,
            attention_mask=batch.present.long(),
            position_ids=positions(batch.present),
            use_cache=False,
            position_bias=bias,
            logits_to_keep=batch.targets.shape[1],
        ).logits  # (B, A, V)
    return mean_logprob(logits, batch.targets, batch.target_present)


def mean_logprob(logits: Tensor, targets: Tensor, present: Tensor) -> Tensor:
    """Log-probability of targets (B, A) under logits (B, A, V), mean over the present ones: (B,), nats, float32."""
    tokens = logits.float().log_softmax(dim=-1).gather(-1, targets[..., None]).squeeze(-1)  # (B, A)
    return torch.where(present, tokens, 0.0).sum(dim=1) / present.sum(dim=1)


KeysAndValues = list[tuple[Tensor, Tensor]]
"""What a cache holds, a pair a layer, each (B, H, L, D)."""


def keys_and_values(model: nn.Module, ids: Tensor, present: Tensor) -> KeysAndValues:
    """Keys and values of a text padded on the left, without gradient.

    Args:
        ids, present: (B, L) token ids, and true where there is a token.
    """
    # Without its config the cache keeps every key of sliding-window layers, whose mask then works as without cache.
    cache = DynamicCache()
    with torch.no_grad():
        model(
            input_ids=ids,
            attention_mask=present.long(),
            position_ids=positions(present),
            past_key_values=cache,
            use_cache=True,
            # A bias makes rows of padding attend evenly; without one they may hold NaN, which would spread.
            position_bias=torch.zeros(1, 1, 1, 1, device=ids.device, dtype=compute_dtype(model)),
            logits_to_keep=1,
        )
    return [(layer.keys, layer.values) for layer in cache.layers]


def new_cache(kept: KeysAndValues) -> DynamicCache:
    """A cache that holds `kept` and can grow; `kept` stays as it is."""
    return DynamicCache(kept)
