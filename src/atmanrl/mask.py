"""learn_mask: the gates that an answer needs, learned for each trace by gradient descent."""

import math
import time
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Annotated, overload

import torch
from pydantic import ConfigDict, Field, model_validator
from pydantic.dataclasses import dataclass
from torch import Tensor, nn

from .attention import MOST_LOGITS, context_length, require_mask_support, vocabulary_size
from .batch import TraceBatch, micro_batches, prompt_columns
from .descent import Parametrisation, descend, mask_of
from .logprobs import AnswerScorer
from .model_state import Matmuls, frozen, matmul_precision
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
        steps: Adam steps, the paper's.
        passes: how many of them come with a pass of the model, forward and backward; in between they follow what the
            last pass told (`descent.py`). As many as steps, or more: plain Adam.
        learning_rate: Adam's, on theta.
        sparsity: the objective's weight of the sum of gates, nats a gate.
        follow: weight of each salient reasoning token beside the answer's tokens in the objective; 0, as in the paper,
            asks for the answer alone; with more the mask keeps what the answer needs and what that needs in turn (0.3
            on real text, up to 1 on the bundled tasks: docs/method.md).
        matmuls: how a CPU multiplies float32 matrices; see `model_state.matmul_precision`.
        max_tokens: padded tokens in one micro-batch; bounds the memory.
    """

    scope: Scope = "all"
    parametrisation: Parametrisation = "gate"
    start: Annotated[float, Field(lt=0, ge=-20)] = -0.4
    steps: Annotated[int, Field(ge=1)] = 200
    passes: Annotated[int, Field(ge=1)] = 14
    learning_rate: Annotated[float, Field(gt=0)] = 0.3
    sparsity: Annotated[float, Field(ge=0)] = 0.2
    follow: Annotated[float, Field(ge=0)] = 0.0
    matmuls: Matmuls = "bfloat16"
    max_tokens: Annotated[int, Field(ge=1)] = 2048

    @model_validator(mode="after")
    def _following_sees_the_mask(self) -> "MaskConfig":
        if self.follow and self.scope == "answer":
            raise ValueError("follow needs scope 'all': under scope 'answer' no row of the reasoning sees the mask")
        return self


@overload
def learn_mask(
    model: nn.Module, traces: Trace, config: MaskConfig | None = None, unread: Sequence[range] | None = None
) -> Saliency: ...
@overload
def learn_mask(
    model: nn.Module, traces: Sequence[Trace], config: MaskConfig | None = None, unread: Sequence[range] | None = None
) -> list[Saliency]: ...
def learn_mask(
    model: nn.Module,
    traces: Trace | Sequence[Trace],
    config: MaskConfig | None = None,
    unread: Sequence[range] | None = None,
) -> Saliency | list[Saliency]:
    """Learn which reasoning tokens each answer rests on.

    Minimises, apart for each trace, -(mean log-probability of the answer's tokens) + sparsity x (sum of gates) over
    one number m a reasoning token, which is added to the attention logits of the token's key column in every layer and
    head (arXiv 2604.16158, after arXiv 2301.08110). Traces are batched by length and do not affect each other; equal
    ones are learned once. Nothing is random. The model's weights get no gradient; its mode and flags are as before on
    return, also after an error.

    Args:
        model: a transformers causal language model, any device, float32 or bfloat16.
        traces: one trace, or a list.
        config: how; `MaskConfig()` by default.
        unread: for each trace, positions of its prompt that the rows of cue and answer do not see: a sentence that
            could stand in for the reasoning (`Bypass.contingency`), or none.

    Returns:
        A `Saliency` for a trace, a list in the same order for a list.

    Raises:
        AttentionError: the model's attention cannot carry the mask.
        MaskError: a trace is longer than the model's context, or the model gives NaN or infinity for it.
    """
    config = config or MaskConfig()
    if isinstance(traces, Trace):
        return learn_mask(model, [traces], config, unread)[0]
    limit = context_length(model)
    for index, trace in enumerate(traces):
        if limit is not None and len(trace) > limit:
            raise MaskError(f"trace {index} has {len(trace)} tokens, more than the model's context of {limit}")
    if not traces:
        return []
    require_mask_support(model)
    device = next(model.parameters()).device
    asked = list(zip(traces, unread or [range(0)] * len(traces), strict=True))
    places: dict[tuple[Trace, range], int] = {}
    for index, one in enumerate(asked):
        places.setdefault(one, index)
    unique = list(places)
    results: dict[tuple[Trace, range], Saliency] = {}
    with frozen(model), matmul_precision(config.matmuls), torch.inference_mode(False), torch.enable_grad():
        for members in _micro_batches([trace for trace, _ in unique], config, vocabulary_size(model)):
            chosen, spans = zip(*(unique[i] for i in members), strict=True)
            closed = prompt_columns(chosen, [[span] for span in spans])[0].to(device) if any(spans) else None
            scorer = AnswerScorer(model, TraceBatch.of(chosen, device), config.scope, unread=closed)
            learned = _learn(scorer, chosen, [places[unique[i]] for i in members], config)
            results.update(zip(zip(chosen, spans, strict=True), learned, strict=True))
    return [results[one] for one in asked]


def _micro_batches(traces: Sequence[Trace], config: MaskConfig, vocabulary: int) -> Iterator[list[int]]:
    """Groups of traces alike in the rows that every step computes, so that little of a batch is padding.

    In scope `answer` all but a few rows hold keys and values only: four times as many fit. A mask that follows takes
    logits over the whole vocabulary on every row.
    """
    answering, most = config.scope == "answer", config.max_tokens
    if config.follow:
        most = min(most, max(1, MOST_LOGITS // vocabulary))
    rows = [len(trace) - (trace.reasoning_end if answering else trace.prompt_end) for trace in traces]
    return micro_batches([len(trace) for trace in traces], most * (4 if answering else 1), rows)


def start_theta(config: MaskConfig) -> float:
    """theta at which m = `config.start`: its own value when `free`, the inverse of logsigmoid when `gate`."""
    if config.parametrisation == "free":
        return config.start
    return config.start - math.log(-math.expm1(config.start))


def _learn(scorer: AnswerScorer, traces: Sequence[Trace], indices: list[int], config: MaskConfig) -> list[Saliency]:
    started = time.perf_counter()
    reasoning = scorer.batch.reasoning  # (B, L)
    with torch.no_grad():
        opened = scorer(torch.zeros_like(reasoning, dtype=torch.float32))  # (B,)
        closed = scorer(scorer.closed_mask)  # (B,)
        theta = torch.full(reasoning.shape, start_theta(config), device=reasoning.device)  # (B, L)
        theta = descend(
            partial(scorer.following, weight=config.follow) if config.follow else scorer,
            theta,
            reasoning,
            config.parametrisation,
            config.sparsity,
            config.learning_rate,
            config.steps,
            config.passes,
        )
        mask = mask_of(theta, reasoning, config.parametrisation)
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
            steps=config.steps,
            seconds=seconds,
        )
        for row, trace in enumerate(traces)
    ]


def _require_finite(indices: list[int], **logprobs: Tensor) -> None:
    for name, values in logprobs.items():
        bad = (~values.isfinite()).nonzero().flatten().tolist()
        if bad:
            raise MaskError(
                f"the model gives NaN or infinity for the answer of trace {indices[bad[0]]} ({name} reasoning): "
                "its logits are broken; try --dtype float32"
            )
