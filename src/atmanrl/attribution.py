"""Other ways to say which reasoning tokens an answer rests on, which saliency is compared with."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from .attention import keys_and_values, new_cache, require_mask_support
from .batch import TraceBatch
from .logprobs import AnswerScorer, attention_received, last_rows, mean_logprob
from .model_state import Matmuls, frozen, matmul_precision
from .trace import Trace

Method = Literal["attention", "gradient", "integrated_gradients", "occlusion", "atman"]
METHODS: tuple[Method, ...] = get_args(Method)
STEPS = 50
"""Points on the path of integrated gradients."""
SUPPRESSION = 0.9
"""AtMan's f: a suppressed token's attention logits are multiplied by 1 - f."""
MAX_TOKENS = 4096
"""Padded tokens of one batch."""


class AttributionError(ValueError):
    """A method cannot be used."""


@dataclass(frozen=True)
class Attribution:
    """Scores of one trace's reasoning tokens by one method.

    Attributes:
        method: which.
        tokens: texts of the reasoning's tokens.
        scores: one a token: higher means that the answer rests on it more; the unit is the method's own.
        open, closed: log-probability of the answer, mean over its tokens, nats, with the reasoning open and closed.
        seconds: wall time of the scores.
    """

    method: Method
    tokens: tuple[str, ...]
    scores: tuple[float, ...]
    open: float
    closed: float
    seconds: float

    @property
    def shares(self) -> tuple[float, ...]:
        """Scores over the largest, negative ones as 0: what views shade by."""
        most = max(self.scores)
        return tuple(max(0.0, score) / most if most > 0 else 0.0 for score in self.scores)


def attribute(
    model: nn.Module, traces: Sequence[Trace], method: Method, matmuls: Matmuls = "bfloat16"
) -> list[Attribution]:
    """Score the reasoning tokens of traces, one trace at a time.

        attention             attention from the rows that predict the answer, mean over layers and heads
        gradient              absolute value of gradient x input (embedding) of the answer's mean log-probability
                              (Simonyan et al. 2014; Shrikumar et al. 2017), through captum
        integrated_gradients  Sundararajan et al. 2017, from zero embeddings, 50 steps, absolute value, through captum
        occlusion             drop of that log-probability, nats, when the token's key is closed to all later rows
        atman                 the same when the token's attention logits, counted from the smallest of their row, are
                              multiplied by 0.1 (Deiseroth et al. 2023: one-token suppression at f = 0.9, without its
                              similarity between tokens)

    The answer and the prompt are what they are; only reasoning tokens are scored. Gradients are of the mean
    log-probability over the answer's tokens, as everywhere here. `matmuls`: see `model_state.matmul_precision`.

    Raises:
        AttributionError: no such method, or the package that it needs is not installed.
        AttentionError: the model's attention cannot carry a mask.
    """
    if method not in METHODS:
        raise AttributionError(f"no method '{method}': choose mask, {', '.join(METHODS)}")
    require_mask_support(model)
    results = []
    with frozen(model), matmul_precision(matmuls), torch.inference_mode(False):
        for trace in traces:
            started = time.perf_counter()
            batch = TraceBatch.of([trace], next(model.parameters()).device)
            scores = tuple(_SCORERS[method](model, batch).tolist())  # (R,)
            seconds = time.perf_counter() - started
            with torch.no_grad():
                scorer = AnswerScorer(model, batch, "all")
                closed = scorer.closed_mask
                opened = scorer(torch.cat([torch.zeros_like(closed), closed])).tolist()
            results.append(Attribution(method, trace.reasoning_tokens, scores, opened[0], opened[1], seconds))
    return results


def _attention(model: nn.Module, batch: TraceBatch) -> Tensor:
    return attention_received(model, batch)[0, batch.reasoning[0]]


def _occlusion(model: nn.Module, batch: TraceBatch) -> Tensor:
    low = torch.finfo(torch.float32).min
    return _one_by_one(model, batch, lambda scorer, one: scorer(torch.where(one, low, 0.0)))


def _atman(model: nn.Module, batch: TraceBatch) -> Tensor:
    return _one_by_one(model, batch, lambda scorer, one: scorer.suppressed(torch.where(one, 1 - SUPPRESSION, 1.0)))


def _one_by_one(model: nn.Module, batch: TraceBatch, score: Callable[[AnswerScorer, Tensor], Tensor]) -> Tensor:
    """Drop of the answer's log-probability as each reasoning token is tampered with: (R,).

    Tokens next to each other are done at once, and rows before the first of them are kept: a token cannot change them.
    """
    columns = batch.reasoning[0].nonzero()[:, 0]  # (R,)
    length = batch.ids.shape[1]
    kept = keys_and_values(model, batch.ids, batch.present)
    with torch.no_grad():
        opened = AnswerScorer(model, batch, "answer")(torch.zeros(1, length, device=columns.device))  # (1,)
        parts = []
        at = 0
        while at < len(columns):
            first = int(columns[at])
            some = columns[at : at + max(1, MAX_TOKENS // (length - first))]
            scorer = AnswerScorer(model, batch, "all", first, [(k[:, :, :first], v[:, :, :first]) for k, v in kept])
            one = torch.zeros(len(some), length, dtype=torch.bool, device=columns.device)  # (N, L)
            one[torch.arange(len(some)), some] = True
            parts.append(score(scorer, one))
            at += len(some)
    return opened - torch.cat(parts)


def _gradient(model: nn.Module, batch: TraceBatch) -> Tensor:
    forward, embeddings = _from_embeddings(model, batch)
    given: Tensor = _captum().InputXGradient(forward).attribute(embeddings.requires_grad_())
    return given.detach().sum(dim=-1)[0].abs()


def _integrated_gradients(model: nn.Module, batch: TraceBatch) -> Tensor:
    forward, embeddings = _from_embeddings(model, batch)
    size = max(1, MAX_TOKENS // batch.ids.shape[1])
    given: Tensor = (
        _captum().IntegratedGradients(forward).attribute(embeddings, n_steps=STEPS, internal_batch_size=size)
    )
    return given.detach().sum(dim=-1)[0].abs().float()


def _from_embeddings(model: nn.Module, batch: TraceBatch) -> tuple[Callable[[Tensor], Tensor], Tensor]:
    """The answer's log-probability (N,) as a function of the reasoning's embeddings (N, R, D); and the trace's own."""
    anyhow: Any = model
    start = batch.first_live("all") - 1  # the reasoning's first row
    length, count = batch.ids.shape[1], int(batch.reasoning.sum())
    kept = keys_and_values(model, batch.ids[:, :start], batch.present[:, :start])
    with torch.no_grad():
        embeddings = anyhow.get_input_embeddings()(batch.ids[:, start:])  # (1, L - start, D)

    def forward(reasoning: Tensor) -> Tensor:
        rows = len(reasoning)
        rest = embeddings[:, count:].expand(rows, -1, -1)
        logits = model(
            inputs_embeds=torch.cat([reasoning.to(embeddings.dtype), rest], dim=1),
            attention_mask=batch.present.long().expand(rows, -1),
            position_ids=torch.arange(start, length, device=batch.ids.device).expand(rows, -1),
            past_key_values=new_cache([(k.expand(rows, -1, -1, -1), v.expand(rows, -1, -1, -1)) for k, v in kept]),
            use_cache=True,
            logits_to_keep=last_rows(length - start, batch.targets),
        ).logits
        return mean_logprob(logits, batch.targets.expand(rows, -1), batch.target_present.expand(rows, -1))

    return forward, embeddings[:, :count].clone()


def _captum() -> Any:
    try:
        import captum.attr
    except ImportError as error:
        raise AttributionError("gradients need captum: pip install 'atmanrl[attribution]'") from error
    return captum.attr


_SCORERS: dict[Method, Callable[[nn.Module, TraceBatch], Tensor]] = {
    "attention": _attention,
    "gradient": _gradient,
    "integrated_gradients": _integrated_gradients,
    "occlusion": _occlusion,
    "atman": _atman,
}
