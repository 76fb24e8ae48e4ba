"""learn_mask: the gates that an answer needs, learned for each trace by gradient descent."""

import math
import time
from collections.abc import Iterator, Sequence
from typing import Annotated, Literal, overload

import torch
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass
from torch import Tensor, nn
from torch.nn.functional import logsigmoid

from .attention import AnswerScorer, TraceBatch, context_length, frozen, require_bias_support
from .saliency import Saliency, Scope
from .trace import Trace


class MaskError(ValueError):
    """A mask cannot be learned for a trace."""


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class MaskConfig:
    """How a mask is learned. The defaults are the outcome of `benchmarks/defaults.py` (docs/method.md).

    Attributes:
        scope: rows that see the mask: `all` after the token (total effect) or those of cue and `answer` (direct).
        parametrisation: `gate`, m = logsigmoid(theta), never over 0; `free`, m = theta, which can amplify.
        start: m at the start, for every reasoning token.
        steps: Adam steps at most.
        learning_rate: Adam's, on theta.
        sparsity: the objective's weight of the sum of gates, nats a gate.
        tolerance: a trace is finished when no gate moved by more than this in a step; 0 never stops early.
        max_tokens: padded tokens in one micro-batch; bounds the memory.
    """

    scope: Scope = "all"
    parametrisation: Literal["gate", "free"] = "gate"
    start: Annotated[float, Field(lt=0, ge=-20)] = -0.4
    steps: Annotated[int, Field(ge=1)] = 15
    learning_rate: Annotated[float, Field(gt=0)] = 0.5
    sparsity: Annotated[float, Field(ge=0)] = 0.2
    tolerance: Annotated[float, Field(ge=0)] = 1e-3
    max_tokens: Annotated[int, Field(ge=1)] = 2048


@overload
def learn_mask(model: nn.Module, traces: Trace, config: MaskConfig | None = None) -> Saliency: ...
@overload
def learn_mask(model: nn.Module, traces: Sequence[Trace], config: MaskConfig | None = None) -> list[Saliency]: ...
def learn_mask(
    model: nn.Module, traces: Trace | Sequence[Trace], config: MaskConfig | None = None
) -> Saliency | list[Saliency]:
    """Learn which reasoning tokens each answer rests on.

    Minimises, apart for each trace, -(mean log-probability of the answer's tokens) + sparsity x (sum of gates) over
    one number m a reasoning token, which is added to the attention logits of the token's key column in every layer and
    head (arXiv 2604.16158, after arXiv 2301.08110). Traces are batched by length and do not affect each other. Nothing
    is random. The model's weights get no gradient; its mode and flags are as before on return, also after an error.

    Args:
        model: a transformers causal language model with `sdpa` attention, any device, float32 or bfloat16.
        traces: one trace, or a list.
        config: how; `MaskConfig()` by default.

    Returns:
        A `Saliency` for a trace, a list in the same order for a list.

    Raises:
        AttentionError: the model's attention would ignore the mask.
        MaskError: a trace is longer than the model's context, or the model gives NaN or infinity for it.
    """
    config = config or MaskConfig()
    if isinstance(traces, Trace):
        return learn_mask(model, [traces], config)[0]
    limit = context_length(model)
    for index, trace in enumerate(traces):
        if limit is not None and len(trace) > limit:
            raise MaskError(f"trace {index} has {len(trace)} tokens, more than the model's context of {limit}")
    if not traces:
        return []
    require_bias_support(model)
    device = next(model.parameters()).device
    results: dict[int, Saliency] = {}
    with frozen(model), torch.inference_mode(False), torch.enable_grad():
        for members in micro_batches([len(trace) for trace in traces], config.max_tokens):
            chosen = [traces[i] for i in members]
            scorer = AnswerScorer(model, TraceBatch.of(chosen, device), config.scope)
            results.update(zip(members, _learn(scorer, chosen, members, config), strict=True))
    return [results[i] for i in range(len(traces))]


def micro_batches(lengths: Sequence[int], max_tokens: int) -> Iterator[list[int]]:
    """Indices grouped by length, so that (group size) x (longest of the group) stays within `max_tokens`.

    A trace longer than the bound gets a group of its own.
    """
    group: list[int] = []
    for index in sorted(range(len(lengths)), key=lambda i: (lengths[i], i)):
        if group and (len(group) + 1) * lengths[index] > max_tokens:
            yield group
            group = []
        group.append(index)
    if group:
        yield group


def start_theta(config: MaskConfig) -> float:
    """theta at which m = `config.start`: its own value when `free`, the inverse of logsigmoid when `gate`."""
    if config.parametrisation == "free":
        return config.start
    return config.start - math.log(-math.expm1(config.start))


def mask_of(theta: Tensor, reasoning: Tensor, config: MaskConfig) -> Tensor:
    """m of every column, 0 outside the reasoning; both (B, L)."""
    m = theta if config.parametrisation == "free" else logsigmoid(theta)
    return torch.where(reasoning, m, 0.0)


def objective(scorer: AnswerScorer, theta: Tensor, config: MaskConfig) -> Tensor:
    """-(mean log-probability of the answer) + sparsity x (sum of gates), (B,), nats."""
    reasoning = scorer.batch.reasoning
    mask = mask_of(theta, reasoning, config)  # (B, L)
    gates = torch.where(reasoning, mask.exp(), 0.0).sum(dim=1)  # (B,)
    return config.sparsity * gates - scorer(mask)


def _learn(scorer: AnswerScorer, traces: list[Trace], indices: list[int], config: MaskConfig) -> list[Saliency]:
    started = time.perf_counter()
    reasoning = scorer.batch.reasoning  # (B, L)
    with torch.no_grad():
        opened = scorer(torch.zeros_like(reasoning, dtype=torch.float32))  # (B,)
        closed = scorer(scorer.closed_mask)  # (B,)
    theta = torch.full(reasoning.shape, start_theta(config), device=reasoning.device, requires_grad=True)  # (B, L)
    steps = _descend(scorer, theta, config)
    with torch.no_grad():
        mask = mask_of(theta, reasoning, config)
        learned = scorer(mask)
    _require_finite(indices, open=opened, closed=closed, learned=learned)
    seconds = (time.perf_counter() - started) / len(traces)
    gates = mask.exp().cpu()
    return [
        Saliency(
            tokens=trace.reasoning_tokens,
            gates=tuple(gates[row, reasoning[row].cpu()].tolist()),
            open=float(opened[row]),
            closed=float(closed[row]),
            learned=float(learned[row]),
            scope=config.scope,
            steps=int(steps[row]),
            seconds=seconds,
        )
        for row, trace in enumerate(traces)
    ]


def _descend(scorer: AnswerScorer, theta: Tensor, config: MaskConfig) -> Tensor:
    """Adam on theta (B, L) in place; a finished trace keeps its theta. Returns the steps of each trace, (B,)."""
    reasoning = scorer.batch.reasoning
    optimizer = torch.optim.Adam([theta], lr=config.learning_rate)
    active = torch.ones(len(theta), dtype=torch.bool, device=theta.device)  # (B,)
    steps = torch.zeros_like(active, dtype=torch.long)
    for _ in range(config.steps):
        before = theta.detach().clone()
        (theta.grad,) = torch.autograd.grad(objective(scorer, theta, config).sum(), [theta])
        optimizer.step()
        with torch.no_grad():
            theta.copy_(torch.where(active[:, None], theta, before))
        steps += active
        if config.tolerance > 0:
            with torch.no_grad():
                moved = (mask_of(theta, reasoning, config).exp() - mask_of(before, reasoning, config).exp()).abs()
            active &= moved.amax(dim=1) > config.tolerance
            if not active.any():
                break
    return steps


def _require_finite(indices: list[int], **logprobs: Tensor) -> None:
    for name, values in logprobs.items():
        bad = (~values.isfinite()).nonzero().flatten().tolist()
        if bad:
            raise MaskError(
                f"the model gives NaN or infinity for the answer of trace {indices[bad[0]]} ({name} reasoning): "
                "its logits are broken; try --dtype float32"
            )
