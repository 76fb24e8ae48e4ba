"""What an answer takes straight from the question, past its reasoning; and reasoning whose part in it that hides."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .attention import compute_dtype, require_mask_support
from .batch import TraceBatch, micro_batches, prompt_columns
from .logprobs import AnswerScorer
from .model_state import Matmuls, frozen, matmul_precision
from .text import sentence_spans
from .trace import Trace

BLENDED_COUNTS = 2.0
"""Blending leaves some of what the tokens hold, in their mean: its cost counts twice (docs/method.md)."""


class BypassError(ValueError):
    """A question cannot be found in its trace."""


@dataclass(frozen=True)
class Bypass:
    """What one answer reads of its question past the reasoning, sentence by sentence.

    Every sentence in turn is kept from the rows of cue and answer; the reasoning's rows go on reading it. Closing it
    takes away all of it, also what it has in common with the rest (how long the story is, a place for attention to
    rest on); blending it, each of its values replaced by their mean over the sentence, takes away only what its single
    tokens hold. What counts as read is what closing costs as far as blending bears it out.

    Attributes:
        sentences: the question's, in order; none where a question has no text.
        tokens: their positions in the trace.
        closed, blended: what closing and blending each costs the answer, nats per answer token.
        reliances: what closing the reasoning costs the answer while the sentence is closed, nats per answer token.
        reliance: the same with every sentence open.
    """

    sentences: tuple[str, ...]
    tokens: tuple[range, ...]
    closed: tuple[float, ...]
    blended: tuple[float, ...]
    reliances: tuple[float, ...]
    reliance: float

    @property
    def drops(self) -> tuple[float, ...]:
        """What closing each costs, at most `BLENDED_COUNTS` times what blending does, nats per answer token."""
        return tuple(min(a, BLENDED_COUNTS * b) for a, b in zip(self.closed, self.blended, strict=True))

    @property
    def value(self) -> float:
        """The largest drop, 0 at least: near 0, the reasoning alone carries the answer."""
        return max((0.0, *self.drops))

    @property
    def sentence(self) -> str | None:
        """The sentence with the largest drop; `None` where none drops."""
        return self.sentences[self.drops.index(self.value)] if self.value > 0 else None

    def contingency(self, margin: float) -> int | None:
        """The sentence to close if the reasoning's part is to be seen; `None` where it is seen with all of them open.

        A right answer key makes reasoning superfluous that the answer is yet read from: closing either alone costs
        nothing. Such a cause shows once what stands in for it is held fixed (a contingency, in Halpern and Pearl 2005,
        "Causes and Explanations"): the sentence is taken under which closing the reasoning costs most.

        Args:
            margin: reliance over which the reasoning's part is seen, nats per answer token.
        """
        if self.reliance > margin or not self.reliances:
            return None
        best = max(range(len(self.reliances)), key=lambda i: self.reliances[i])
        return best if self.reliances[best] > self.reliance else None


def measure_bypass(
    model: nn.Module,
    traces: Sequence[Trace],
    questions: Sequence[str],
    matmuls: Matmuls = "bfloat16",
    max_tokens: int = 8192,
) -> list[Bypass]:
    """Keep each question's sentences, one at a time, from the rows of cue and answer.

    One pass over the text, and three over cue and answer for each sentence. Misleads where the answer must be read from
    the question (the letters of multiple choice: give the question without its options), and where one sentence is the
    whole question: without it a text is unlike any that the model knows.

    Args:
        questions: each trace's question as it stands in the prompt, without template and instructions; the last
            occurrence counts. An empty one has no sentences.
        matmuls: how a CPU multiplies float32 matrices; see `model_state.matmul_precision`.
        max_tokens: padded tokens read at once; bounds the memory.

    Raises:
        AttentionError: the model's attention cannot carry the mask.
        BypassError: a question does not stand in its trace's prompt.
    """
    require_mask_support(model)
    device = next(model.parameters()).device
    found = [_sentences(trace, question, i) for i, (trace, question) in enumerate(zip(traces, questions, strict=True))]
    results: dict[int, Bypass] = {}
    with frozen(model), matmul_precision(matmuls), torch.no_grad():
        for members in _groups(traces, max_tokens):
            chosen, spans = [traces[i] for i in members], [[tokens for _, tokens in found[i]] for i in members]
            scorer = AnswerScorer(model, TraceBatch.of(chosen, device), "answer")
            scores = _one_by_one(scorer, prompt_columns(chosen, spans).to(device)).tolist()
            for row, i in enumerate(members):
                texts, tokens = zip(*found[i], strict=True) if found[i] else ((), ())
                results[i] = _result(texts, tokens, [each[row] for each in scores[: 1 + len(texts)]])
    return [results[i] for i in range(len(traces))]


def _groups(traces: Sequence[Trace], max_tokens: int) -> Iterator[list[int]]:
    """Micro-batches in which the rows that are computed anew, those of the longest cue and answer, begin after every
    prompt: the values that are blended are then all among the kept ones."""
    rows = [len(trace) - trace.reasoning_end for trace in traces]
    after_prompt = [len(trace) - trace.prompt_end for trace in traces]
    for members in micro_batches([len(trace) for trace in traces], max_tokens, rows):
        group: list[int] = []
        for i in members:  # in the order of their rows
            if group and rows[i] > min(after_prompt[j] for j in group):
                yield group
                group = []
            group.append(i)
        yield group


def _result(texts: tuple[str, ...], tokens: tuple[range, ...], scores: list[list[float]]) -> Bypass:
    """Of one trace, whose answer's log-probabilities come with nothing kept from it, then with each sentence."""
    (opened, neither, _), *each = scores
    closed = tuple(opened - without for without, _, _ in each)
    blended = (opened - without for _, _, without in each)
    return Bypass(
        texts,
        tokens,
        closed,
        # A single token is its own mean.
        tuple(b if len(span) > 1 else c for b, c, span in zip(blended, closed, tokens, strict=True)),
        tuple(without - both for without, both, _ in each),
        opened - neither,
    )


def _one_by_one(scorer: AnswerScorer, sentences: Tensor) -> Tensor:
    """Log-probability of each answer with no sentence kept from it, then with each: closed, closed together with the
    reasoning, and blended.

    Args:
        sentences: (S, B, L) the columns of each trace's first sentence, second, ...

    Returns:
        (1 + S, B, 3) nats, mean over the answer's tokens.
    """
    low = torch.finfo(compute_dtype(scorer.model)).min
    opened, neither = scorer(torch.zeros_like(scorer.closed_mask)), scorer(scorer.closed_mask)  # (B,)
    found = [torch.stack([opened, neither, opened], dim=-1)]
    for columns in sentences:
        closed = torch.where(columns, low, 0.0)  # (B, L)
        both = torch.where(columns | scorer.batch.reasoning, low, 0.0)  # (B, L)
        blended = _blended(scorer, columns)(torch.zeros_like(closed))
        found.append(torch.stack([scorer(closed), scorer(both), blended], dim=-1))
    return torch.stack(found)


def _blended(scorer: AnswerScorer, columns: Tensor) -> AnswerScorer:
    """A scorer that finds, at these columns (B, L), the mean of their values in place of each; keys stay."""
    before = []
    for keys, values in scorer.before:  # (B, H, K, D)
        here = columns[:, None, : values.shape[2], None].to(values.dtype)  # (B, 1, K, 1)
        mean = (values * here).sum(dim=2, keepdim=True) / here.sum(dim=2, keepdim=True).clamp(min=1)
        before.append((keys, torch.where(here > 0, mean, values)))
    return AnswerScorer(scorer.model, scorer.batch, scorer.scope, scorer.first_row, before)


def _sentences(trace: Trace, question: str, index: int) -> list[tuple[str, range]]:
    """The question's sentences that have tokens, with their positions in the trace."""
    question = question.strip()
    start = trace.text(trace.prompt).rfind(question)
    if start < 0:
        raise BypassError(f"the question of trace {index} does not stand in its prompt: '{question[:60]}'")
    placed = []
    for a, b in sentence_spans(question):
        text = question[a:b].strip()
        tokens = _prompt_tokens(trace, start + question.index(text, a), start + b)
        if tokens:
            placed.append((text, tokens))
    return placed


def tokens_of(trace: Trace, text: str) -> range:
    """Positions of the prompt's tokens that lie wholly or partly in the last occurrence of `text`."""
    start = trace.text(trace.prompt).rfind(text) if text else -1
    return _prompt_tokens(trace, start, start + len(text)) if start >= 0 else range(0)


def _prompt_tokens(trace: Trace, start: int, end: int) -> range:
    """Positions of the prompt's tokens in characters `start` to `end` of its text; white space before a token does not
    count as part of it."""
    at, inside = 0, []
    for i in trace.prompt:
        token = trace.texts[i]
        visible = at + len(token) - len(token.lstrip()) if token.strip() else at
        if visible < end and at + len(token) > start:
            inside.append(i)
        at += len(token)
    return range(inside[0], inside[-1] + 1) if inside else range(0)
