"""The mask in a model's attention: the only file that knows transformers' insides.

transformers lets an attention of one's own take the place of a model's (`AttentionInterface`), and hands it the model's
causal, padding and sliding-window mask and whatever further arguments the forward was given. Parts of this are
undocumented: the version is pinned, and `tests/test_attention.py` holds it to a hand-built 4-D mask.
"""

import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from transformers import AttentionInterface, AttentionMaskInterface, DynamicCache
from transformers.cache_utils import DynamicLayer
from transformers.masking_utils import sdpa_mask

from .batch import TraceBatch, positions
from .gated_attention import gated_attention
from .model_state import frozen
from .saliency import Scope


class AttentionError(ValueError):
    """The model's attention cannot carry the mask."""


_probed: "weakref.WeakSet[nn.Module]" = weakref.WeakSet()


def require_mask_support(model: nn.Module) -> None:
    """Refuse a model whose attention cannot carry the mask; three forwards of a few tokens the first time it is seen.

    Raises:
        AttentionError: with our attention in place of its own the model's logits are others (it does more than
            scaled-dot-product attention), or a closed key changes none of them (it does not use ours).
    """
    if model in _probed:
        return
    device = next(model.parameters()).device
    ids = torch.arange(1, 9, device=device)[None]  # (1, 8)
    key_mask = torch.zeros(ids.shape, device=device)  # (B, K)
    options: dict[str, Any] = {"key_mask": key_mask, "mask_rows": key_mask == 0, "use_cache": False}
    with frozen(model), torch.no_grad():
        plain = model(input_ids=ids, use_cache=False).logits
        with attention_implementation(model, _GATED):
            opened = model(input_ids=ids, **options).logits
            key_mask[0, 1] = torch.finfo(key_mask.dtype).min
            closed = model(input_ids=ids, **options).logits
    plain, opened, closed = plain.float(), opened.float(), closed.float()
    if (plain - opened).norm() > 0.05 * (plain - plain.mean()).norm():
        raise AttentionError(
            f"{type(model).__name__} does more than scaled-dot-product attention: the mask cannot be put into it"
        )
    if torch.equal(opened[:, 2:], closed[:, 2:]):
        raise AttentionError(f"{type(model).__name__} does not pass the mask on to its attention: it cannot be used")
    _probed.add(model)


def compute_dtype(model: nn.Module) -> torch.dtype:
    """The dtype of the model's activations."""
    return next(p.dtype for p in model.parameters() if p.dtype.is_floating_point)


def context_length(model: nn.Module) -> int | None:
    """The longest trace that the model can read, in tokens, where its config says so."""
    config: Any = model.config
    length = getattr(config.get_text_config(), "max_position_embeddings", None)
    return int(length) if length else None


class AnswerScorer:
    """Scores the answers of a batch of traces under masks on their reasoning.

    Rows before the first that sees the mask do not depend on it: their keys and values are computed once and kept.

    Args:
        model: a causal language model in a `frozen` context.
        batch: the traces.
        scope: the rows that see the mask.
        first_row: the first row that is computed anew at each call; by default the first that the mask can change. 0
            keeps nothing: the slow reference.
        before: keys and values of the rows before it, where they are known already.
        unread: (B, L) columns of the prompt that the rows of cue and answer do not see.
    """

    def __init__(
        self,
        model: nn.Module,
        batch: TraceBatch,
        scope: Scope,
        first_row: int | None = None,
        before: "KeysAndValues | None" = None,
        unread: Tensor | None = None,
    ):
        self.model, self.batch, self.scope = model, batch, scope
        self.first_row = batch.first_live(scope) if first_row is None else first_row
        self.positions = positions(batch.present)[:, self.first_row :]  # (B, Q)
        self.rows = batch.sees(scope)[:, self.first_row :]  # (B, Q)
        if before is None:
            before = keys_and_values(model, batch.ids[:, : self.first_row], batch.present[:, : self.first_row])
        self.before = before
        self.options: dict[str, Any] = {}
        if unread is not None:
            hidden = batch.answering[:, self.first_row :, None] & unread[:, None, :]  # (B, Q, K)
            self.options["visible"] = ~hidden

    def __call__(self, mask: Tensor) -> Tensor:
        """Log-probability of each answer, mean over its tokens, nats.

        Args:
            mask: (B, L) m of every column, 0 outside the reasoning; may need gradient. For a batch of one trace, any
                number of masks (N, L).

        Returns:
            (B,) in float32, or (N,).
        """
        rows = self.rows.expand(len(mask), -1)
        return self._scored(_GATED, len(mask), key_mask=mask, mask_rows=rows, **self.options)

    def suppressed(self, factors: Tensor) -> Tensor:
        """The same with attention logits multiplied, not shifted: every key's logits in all rows, counted from the
        smallest that the row sees, by its factor. The token's own row is among them, so it must not be kept.

        Args:
            factors: (N, L) of every column, 1 where nothing changes.

        Returns:
            (N,) in float32.
        """
        return self._scored(_SUPPRESSED, len(factors), key_factors=factors)

    def following(self, mask: Tensor, weight: float) -> Tensor:
        """The same, and the log-probability of each reasoning token under the mask, weighted by its own gate.

        The gates of the weighting have no gradient: a token is not closed for being hard to predict. Rows of reasoning
        before the second token predict what no mask changes and are left out.

        Args:
            mask: (B, L) m of every column; may need gradient.
            weight: of a fully open reasoning token, in answer tokens.

        Returns:
            (B,) log-probability a token of the answer, float32, nats.
        """
        batch = self.batch
        keep = torch.arange(batch.ids.shape[1] - self.first_row, device=mask.device)  # by index, not as a slice
        logits = self._logits(_GATED, len(mask), keep, key_mask=mask, mask_rows=self.rows, **self.options)  # (B, Q, V)
        targets = batch.ids[:, self.first_row + 1 :]  # (B, Q - 1)
        logprobs = -cross_entropy(logits[:, :-1].transpose(1, 2).float(), targets, reduction="none")  # (B, Q - 1)
        inside = batch.reasoning[:, self.first_row + 1 :]  # (B, Q - 1)
        gates = torch.where(inside, mask[:, self.first_row + 1 :].detach().exp(), 0.0)  # (B, Q - 1)
        answers = batch.target_present.sum(dim=1)  # (B,)
        answer = mean_logprob(logits[:, -batch.targets.shape[1] :], batch.targets, batch.target_present)
        return answer + weight * (gates * torch.where(inside, logprobs, 0.0)).sum(dim=1) / answers

    def _scored(self, implementation: str, count: int, **options: Any) -> Tensor:
        """Log-probability of each answer under an attention of ours, which is given the options."""
        keep = last_rows(self.batch.ids.shape[1] - self.first_row, self.batch.targets)
        logits = self._logits(implementation, count, keep, **options)  # (B, A, V)
        targets, present = self.batch.targets, self.batch.target_present
        return mean_logprob(logits, targets.expand(count, -1), present.expand(count, -1))

    def _logits(self, implementation: str, count: int, keep: Tensor, **options: Any) -> Tensor:
        """Logits of the rows to `keep`, places among those that are computed."""
        batch, before = self.batch, self.before
        if count != len(batch.ids):
            batch = batch.repeat(count)
            before = [(k.expand(count, -1, -1, -1), v.expand(count, -1, -1, -1)) for k, v in before]
        with attention_implementation(self.model, implementation):
            logits: Tensor = self.model(
                input_ids=batch.ids[:, self.first_row :],
                attention_mask=batch.present.long(),
                position_ids=self.positions.expand(count, -1),
                past_key_values=kept_cache(before) if before else None,
                use_cache=bool(before),
                logits_to_keep=keep,
                **options,
            ).logits
        return logits

    @property
    def closed_mask(self) -> Tensor:
        """(B, L) every reasoning key at the dtype's minimum."""
        low = torch.finfo(compute_dtype(self.model)).min
        return torch.where(self.batch.reasoning, low, 0.0)


@contextmanager
def attention_implementation(model: nn.Module, name: str) -> Iterator[None]:
    """Another attention implementation, the model's own again on leaving, also after an error.

    Raises:
        AttentionError: the model takes no other implementation.
    """
    changed: Any = model
    before = changed.config._attn_implementation
    if before == name:
        yield
        return
    try:
        changed.set_attn_implementation(name)
    except (AttributeError, ValueError) as error:
        raise AttentionError(f"{type(model).__name__} takes no other attention than its own: {error}") from error
    try:
        yield
    finally:
        changed.set_attn_implementation(before)


_GATED, _SUPPRESSED = "atmanrl_gated", "atmanrl_suppressed"


def _gated_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor,
    scaling: float | None = None,
    key_mask: Tensor | None = None,
    mask_rows: Tensor | None = None,
    visible: Tensor | None = None,
    **rest: Any,
) -> Any:
    """Attention under m of every key, (B, K), in the rows that see it, (B, Q), and where keys are visible, (B, Q, K);
    plain attention without them."""
    if rest.get("softcap") is not None or rest.get("s_aux") is not None:
        raise AttentionError(f"{type(module).__name__} caps its logits or has sinks: the mask cannot be put into it")
    if visible is not None:
        mask = mask & visible[:, None]
    if key_mask is None or mask_rows is None:
        key_mask, mask_rows = query.new_zeros(len(query), mask.shape[3]), mask[:, 0, :, 0].expand(len(query), -1)
    scaling = query.shape[-1] ** -0.5 if scaling is None else scaling
    # The backward pass, which goes forward again, is not under the caller's autocast: nor may this be.
    kind = query.device.type
    with torch.autocast(kind, enabled=False) if torch.amp.is_autocast_available(kind) else nullcontext():
        query, key = query.to(value.dtype), key.to(value.dtype)
        out = gated_attention(query, key, value, mask, key_mask, mask_rows, scaling)
    return out.transpose(1, 2).contiguous(), None


def _suppressed_attention(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, seen: Tensor, key_factors: Tensor, **rest: Any
) -> Any:
    """Attention whose logits, counted from the smallest that their row sees, are multiplied by a factor a key, (B, K).

    Counted from zero, a factor under 1 would raise logits that are negative.
    """
    groups = query.shape[1] // key.shape[1]
    key, value = key.repeat_interleave(groups, dim=1), value.repeat_interleave(groups, dim=1)  # (B, H, K, D)
    scaling = rest.get("scaling") or query.shape[-1] ** -0.5
    logits = (query @ key.transpose(2, 3)).float() * scaling  # (B, H, Q, K)
    low = logits.masked_fill(~seen, float("inf")).amin(dim=-1, keepdim=True)  # (B, H, Q, 1)
    logits = torch.where(low.isfinite(), low + (logits - low) * key_factors[:, None, None, :].float(), 0.0)
    weights = logits.masked_fill(~seen, torch.finfo(torch.float32).min).softmax(dim=-1).to(value.dtype)
    return (weights @ value).transpose(1, 2).contiguous(), None


def _whole_mask(*args: Any, **options: Any) -> Any:
    """The (B, 1, Q, K) mask of what each row sees, never left out: finding out whether it may be waits for a GPU."""
    return sdpa_mask(*args, **{**options, "allow_is_causal_skip": False})


for _name, _attention in ((_GATED, _gated_attention), (_SUPPRESSED, _suppressed_attention)):
    AttentionInterface.register(_name, _attention)
    AttentionMaskInterface.register(_name, _whole_mask)


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
    with attention_implementation(model, _GATED), torch.no_grad():
        logits = model(
            input_ids=batch.ids,
            attention_mask=batch.present.long(),
            position_ids=positions(batch.present),
            use_cache=False,
            visible=~closed,
            logits_to_keep=last_rows(length, batch.targets),
        ).logits  # (B, A, V)
    return mean_logprob(logits, batch.targets, batch.target_present)


def last_rows(rows: int, targets: Tensor) -> Tensor:
    """The places, among `rows`, of those that predict the targets (B, A): what `logits_to_keep` takes.

    As a number it would slice, and of a slice the language-model head multiplies a copy of its weights a trace.
    """
    return torch.arange(rows - targets.shape[1], rows, device=targets.device)


def mean_logprob(logits: Tensor, targets: Tensor, present: Tensor) -> Tensor:
    """Log-probability of targets (B, A) under logits (B, A, V), mean over the present ones: (B,), nats, float32."""
    tokens = logits.float().log_softmax(dim=-1).gather(-1, targets[..., None]).squeeze(-1)  # (B, A)
    return torch.where(present, tokens, 0.0).sum(dim=1) / present.sum(dim=1)


KeysAndValues = list[tuple[Tensor, Tensor]]
"""What a cache holds, a pair a layer, each (B, H, L, D)."""


def keys_and_values(model: nn.Module, ids: Tensor, present: Tensor, max_tokens: int = 4096) -> KeysAndValues:
    """Keys and values of texts padded on the left, without gradient; an empty list for texts of no tokens.

    Args:
        ids, present: (B, L) token ids, and true where there is a token.
        max_tokens: padded tokens read at once.
    """
    if not ids.shape[1]:
        return []
    parts = []
    size = max(1, max_tokens // ids.shape[1])
    # With our attention, since rows of padding, which see nothing, may hold NaN in another's, and NaN spreads.
    with attention_implementation(model, _GATED), torch.no_grad():
        for some, there in zip(torch.split(ids, size), torch.split(present, size), strict=True):
            # Without its config the cache keeps every key of sliding layers, whose mask then works as without cache.
            cache = DynamicCache()
            model(
                input_ids=some,
                attention_mask=there.long(),
                position_ids=positions(there),
                past_key_values=cache,
                use_cache=True,
                logits_to_keep=torch.zeros(1, dtype=torch.long, device=ids.device),
            )
            parts.append([(layer.keys, layer.values) for layer in cache.layers])
    return [
        (torch.cat([keys for keys, _ in layer]), torch.cat([values for _, values in layer]))
        for layer in zip(*parts, strict=True)
    ]


def new_cache(kept: KeysAndValues) -> DynamicCache:
    """A cache that holds `kept` and can grow; `kept` stays as it is."""
    return DynamicCache(kept)


class _KeptLayer(DynamicLayer):  # type: ignore[misc]
    """Keys and values that every forward goes on from and none adds to."""

    def __init__(self, keys: Tensor, values: Tensor):
        super().__init__()
        self.lazy_initialization(keys, values)
        self.keys, self.values = keys, values

    def update(self, keys: Tensor, values: Tensor, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        return torch.cat([self.keys, keys], dim=-2), torch.cat([self.values, values], dim=-2)


def kept_cache(kept: KeysAndValues) -> DynamicCache:
    """A cache that holds `kept` and stays as it is: it serves any number of forward and backward passes."""
    cache = DynamicCache()
    cache.layers = [_KeptLayer(keys, values) for keys, values in kept]
    return cache
