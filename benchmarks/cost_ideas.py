"""What each idea gives: the mask of one batch with one idea taken away, or another put in its place, at a time."""

import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.stats import spearmanr
from torch import Tensor

from atmanrl import attention, descent, logprobs
from atmanrl.mask import MaskConfig, learn_mask
from atmanrl.saliency import SALIENT_GATE, Saliency
from atmanrl.trace import Trace

Idea = tuple[MaskConfig, Callable[[], Any]]


def ideas(default: MaskConfig) -> dict[str, Idea]:
    """Each with the settings and the change that it needs."""
    return {
        "default": (default, nullcontext),
        "one trace at a time": (replace(default, max_tokens=1), nullcontext),
        "float32 products": (replace(default, matmuls="float32"), nullcontext),
        "no rows kept": (default, nothing_kept),
        "torch's attention with a bias": (default, torch_attention),
        "the same, float32 products": (replace(default, matmuls="float32"), torch_attention),
        "logits_to_keep as a number": (default, sliced_logits),
        "8 passes": (replace(default, passes=8), nullcontext),
        "10 passes": (replace(default, passes=10), nullcontext),
        "20 passes": (replace(default, passes=20), nullcontext),
        "plain Adam, 14 steps": (replace(default, steps=14), nullcontext),
        "plain Adam, 14 steps at 1.0": (replace(default, steps=14, learning_rate=1.0), nullcontext),
        "slopes constant in g": (default, lambda: replaced(descent, "SATURATION", 1e6)),
        "slopes constant in m": (default, lambda: replaced(descent, "SATURATION", 1e-6)),
        "gates move freely between passes": (default, lambda: replaced(descent, "REACH", 1e6)),
    }


def rows(model: Any, traces: Sequence[Trace], references: dict[str, Path]) -> list[dict[str, Any]]:
    """Seconds a trace, Spearman correlation with the plain method's kept gates (median), and objective (mean)."""
    found = []
    for scope, reference in references.items():
        kept = json.loads(reference.read_text())["gates"]
        first = None
        for name, (config, change) in ideas(MaskConfig(scope=scope)).items():
            with change():
                learn_mask(model, traces[:2], config)
                started = time.perf_counter()
                learned = learn_mask(model, traces, config)
                seconds = (time.perf_counter() - started) / len(traces)
            first = first or seconds
            row = {"name": f"ideas/{scope}/{name}", "ratio": seconds / first, "seconds": seconds}
            found.append({**row, **compared(learned, kept[: len(learned)])})
    return found


def compared(learned: Sequence[Saliency], gates: Sequence[Sequence[float]]) -> dict[str, float]:
    """Order and salient tokens against a reference's gates; objective in nats, mean over the traces."""
    pairs = list(zip(learned, gates, strict=True))
    ranks = [float(spearmanr(s.gates, g).statistic) for s, g in pairs]
    same = [a == (b > SALIENT_GATE) for s, g in pairs for a, b in zip(s.salient, g, strict=True)]
    objective = [MaskConfig().sparsity * sum(s.gates) - s.learned for s in learned]
    return {
        "spearman": float(np.median(ranks)),
        "spearman_least": min(ranks),
        "same_salient": float(np.mean(same)),
        "objective": float(np.mean(objective)),
    }


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
    whole = logprobs.AnswerScorer.__init__

    def init(self: Any, model: Any, batch: Any, scope: Any) -> None:
        whole(self, model, batch, scope, first_row=0)

    return replaced(logprobs.AnswerScorer, "__init__", init)


def torch_attention() -> Any:
    """The mask as a bias of torch's scaled-dot-product attention, which keeps every layer's weights."""

    def biased(
        query: Tensor,
        key: Tensor,
        value: Tensor,
        seen: Tensor,
        key_mask: Tensor,
        rows: Tensor,
        scaling: float,
    ) -> Tensor:
        shared = query.shape[1] // key.shape[1]
        key, value = key.repeat_interleave(shared, dim=1), value.repeat_interleave(shared, dim=1)
        count, keys = seen.shape[-2:]
        itself = torch.ones(count, keys, dtype=torch.bool).tril(keys - count).triu(keys - count)
        bias = torch.where(rows[:, :, None] & ~itself, key_mask[:, None, :], 0.0)[:, None]
        bias = torch.where(seen, bias, torch.finfo(bias.dtype).min).to(query.dtype)
        return torch.nn.functional.scaled_dot_product_attention(query, key, value, attn_mask=bias, scale=scaling)

    return replaced(attention, "gated_attention", biased)


def sliced_logits() -> Any:
    """As most callers ask for the last logits."""
    return replaced(logprobs, "last_rows", lambda rows, targets: targets.shape[1])
