"""Reasoning without the sentences that its answer does without."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from .attention import compute_dtype, require_mask_support
from .batch import TraceBatch, micro_batches, prompt_columns
from .logprobs import AnswerScorer
from .model_state import Matmuls, frozen, matmul_precision
from .saliency import tokens_by_span
from .text import sentence_spans
from .trace import Trace

SPARE = 0.1
"""Nats per answer token that the sentences which are left out may cost together. A step that one of many values was
worked out with costs little of an answer's mean: the reward's margin would leave it out."""


def needed_tokens(
    model: nn.Module,
    traces: Sequence[Trace],
    unread: Sequence[range] | None = None,
    matmuls: Matmuls = "bfloat16",
    max_tokens: int = 8192,
) -> list[list[int]]:
    """The tokens of each reasoning without the sentences that its answer does without.

    From the last sentence to the first, each is closed to all rows after it, and left out where the answer, with all
    that was left out before closed too, is at most `SPARE` less likely than after the whole reasoning. What is left is
    enough for the answer, and nothing of it can go by itself (backward elimination); of two sentences that say the same
    the first stays. One sentence always does.

    Args:
        unread: for each trace, positions of its prompt that the rows of cue and answer do not see, as in `learn_mask`.
        matmuls: how a CPU multiplies float32 matrices; see `model_state.matmul_precision`.
        max_tokens: padded tokens read at once; bounds the memory.

    Returns:
        For each trace the places of the tokens that are left, among those of its reasoning, in order.

    Raises:
        AttentionError: the model's attention cannot carry the mask.
    """
    require_mask_support(model)
    device = next(model.parameters()).device
    found: dict[int, list[int]] = {}
    spans = unread or [range(0)] * len(traces)
    rows = [len(trace) - trace.prompt_end for trace in traces]
    with frozen(model), matmul_precision(matmuls), torch.no_grad():
        for members in micro_batches([len(trace) for trace in traces], max_tokens, rows):
            chosen = [traces[i] for i in members]
            own = [[spans[i]] for i in members]
            hidden = prompt_columns(chosen, own)[0].to(device) if any(span for (span,) in own) else None
            scorer = AnswerScorer(model, TraceBatch.of(chosen, device), "all", unread=hidden)
            sentences = [_sentences(trace) for trace in chosen]
            left_out = _eliminate(scorer, prompt_columns(chosen, [own[::-1] for own in sentences]).to(device))
            for row, i in enumerate(members):
                tried = zip(sentences[row][::-1], left_out[row], strict=False)
                gone = {token for sentence, out in tried if out for token in sentence}
                found[i] = [place for place, token in enumerate(traces[i].reasoning) if token not in gone]
    return [found[i] for i in range(len(traces))]


def _sentences(trace: Trace) -> list[range]:
    """Positions of each sentence's tokens in the trace, together all of the reasoning."""
    spans = sentence_spans(trace.text(trace.reasoning))
    members = [tokens for tokens in tokens_by_span(trace.reasoning_tokens, spans) if tokens]
    starts = [0, *(tokens[0] for tokens in members[1:]), len(trace.reasoning)]
    return [range(trace.prompt_end + a, trace.prompt_end + b) for a, b in pairwise(starts)]


def _eliminate(scorer: AnswerScorer, sentences: Tensor) -> list[list[bool]]:
    """Which sentences each answer does without, tried in the order given.

    Args:
        sentences: (S, B, L) the columns of each trace's sentences; none where a trace has fewer.

    Returns:
        By trace, for each of the S whether it is left out.
    """
    low = torch.finfo(compute_dtype(scorer.model)).min
    closed = torch.zeros_like(sentences[0])  # (B, L)
    least, left_out = scorer(torch.zeros_like(scorer.closed_mask)) - SPARE, []  # (B,)
    for columns in sentences:
        tried = closed | columns  # (B, L)
        some_stay = (scorer.batch.reasoning & ~tried).any(dim=1)  # (B,)
        fits = columns.any(dim=1) & some_stay & (scorer(torch.where(tried, low, 0.0)) >= least)  # (B,)
        closed = torch.where(fits[:, None], tried, closed)
        left_out.append(fits)
    return torch.stack(left_out, dim=1).tolist()


def keep_only(trace: Trace, places: Sequence[int]) -> Trace:
    """The trace with these tokens of its reasoning alone; places are counted from the reasoning's first."""
    chosen = [*trace.prompt, *(trace.prompt_end + place for place in places), *trace.cue, *trace.answer]
    less = len(trace.reasoning) - len(places)
    return Trace(
        tuple(trace.ids[i] for i in chosen),
        tuple(trace.texts[i] for i in chosen),
        trace.prompt_end,
        trace.reasoning_end - less,
        trace.cue_end - less,
    )
