"""What each idea gives: the mask of one batch with one idea taken away at a time, in seconds a trace."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from typing import Any

import torch
from scipy.stats import spearmanr
from torch import Tensor

from atmanrl import attention
from atmanrl.mask import MaskConfig, learn_mask
from atmanrl.saliency import Saliency
from atmanrl.trace import Trace


def rows(model: Any, traces: Sequence[Trace]) -> list[dict[str, Any]]:
    """Seconds a trace, and the median Spearman correlation of the gates with those of the default."""
    found = []
    for scope in ("all", "answer"):
        default = MaskConfig(scope=scope)
        half = type(model)(model.config).to(torch.bfloat16).eval()
        half.load_state_dict(model.state_dict())
        ideas: dict[str, tuple[Any, MaskConfig, Callable[[], Any]]] = {
            "default": (model, default, nullcontext),
            "one trace at a time": (model, replace(default, max_tokens=1), nullcontext),
            "float32 products": (model, replace(default, matmuls="float32"), nullcontext),
            "whole model in bfloat16": (half, default, nullcontext),
            "no rows kept": (model, default, nothing_kept),
            "torch's attention with a bias": (model, default, torch_attention),
            "the same, float32 products": (model, replace(default, matmuls="float32"), torch_attention),
            "logits_to_keep as a number": (model, default, sliced_logits),
            "15 steps": (model, replace(default, steps=15), nullcontext),
        }
        gates: list[Saliency] = []
        for name, (which, config, changed) in ideas.items():
            with changed():
                learn_mask(which, traces[:2], config)
                started = time.perf_counter()
                learned = learn_mask(which, traces, config)
                seconds = (time.perf_counter() - started) / len(traces)
            gates = gates or learned
            ranks = [float(spearmanr(a.gates, b.gates).statistic) for a, b in zip(learned, gates, strict=True)]
            own = found[0 if scope == "all" else len(ideas)]["seconds"] if name != "default" else seconds
            row = {"name": f"ideas/{scope}/{name}", "ratio": seconds / own, "seconds": seconds}
            found.append({**row, "spearman": sorted(ranks)[len(ranks) // 2]})
    return found


@contextmanager
def replaced(owner: Any, name: str, value: Any) -> Iterator[None]:
    before = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, before)


def nothing_kept() -> Any:
    """Every step reads prompt, reasoning and answer."""
    whole = attention.AnswerScorer.__init__

    def init(self: Any, model: Any, batch: Any, scope: Any) -> None:
        whole(self, model, batch, scope, first_row=0)

    return replaced(attention.AnswerScorer, "__init__", init)


def torch_attention() -> Any:
    """The mask as a bias of torch's scaled-dot-product attention, which keeps every layer's weights."""

    def biased(
        query: Tensor, key: Tensor, value: Tensor, seen: Tensor, key_mask: Tensor, rows: Tensor, scaling: float
    ) -> Tensor:
        shared = query.shape[1] // key.shape[1]
        key, value = key.repeat_interleave(shared, dim=1), value.repeat_interleave(shared, dim=1)
        count, keys = seen.shape[-2:]
        itself = torch.eye(count, dtype=torch.bool)
        itself = torch.cat([torch.zeros(count, keys - count, dtype=torch.bool), itself], dim=1)
        bias = torch.where(rows[:, :, None] & ~itself, key_mask[:, None, :], 0.0)[:, None]
        bias = torch.where(seen, bias, torch.finfo(bias.dtype).min).to(query.dtype)
        return torch.nn.functional.scaled_dot_product_attention(query, key, value, attn_mask=bias, scale=scaling)

    return replaced(attention, "gated_attention", biased)


def sliced_logits() -> Any:
    """As most callers ask for the last logits."""
    return replaced(attention, "last_rows", lambda rows, targets: targets.shape[1])
