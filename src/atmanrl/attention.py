"""The mask in a model's attention: the only file that knows transformers' insides.

transformers lets an attention of one's own take the place of a model's (`AttentionInterface`), and hands it the model's
causal, padding and sliding-window mask and whatever further arguments the forward was given. Parts of this are
undocumented: the version is pinned, and `tests/test_attention.py` holds it to a hand-built 4-D mask.
"""

import weakref
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface, DynamicCache
from transformers.cache_utils import DynamicLayer
from transformers.masking_utils import sdpa_mask

from .batch import positions
from .gated_attention import gated_attention
from .model_state import frozen, matmul_precision


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
    with frozen(model), matmul_precision("float32"), torch.no_grad():
        plain = model(input_ids=ids, use_cache=False).logits
        with attention_implementation(model, GATED):
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


MOST_LOGITS = 2**27
"""Of one forward pass that takes logits on many rows; half a gigabyte in float32."""


def vocabulary_size(model: nn.Module) -> int:
    """How many logits the model gives a row."""
    config: Any = model.config
    return int(config.get_text_config().vocab_size)


def context_length(model: nn.Module) -> int | None:
    """The longest trace that the model can read, in tokens, where its config says so."""
    config: Any = model.config
    length = getattr(config.get_text_config(), "max_position_embeddings", None)
    return int(length) if length else None


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


GATED, SUPPRESSED = "atmanrl_gated", "atmanrl_suppressed"


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


for _name, _attention in ((GATED, _gated_attention), (SUPPRESSED, _suppressed_attention)):
    AttentionInterface.register(_name, _attention)
    AttentionMaskInterface.register(_name, _whole_mask)


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
    with attention_implementation(model, GATED), torch.no_grad():
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
