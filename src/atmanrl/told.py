"""Where a reasoning tells its answer, and whether the answer needs what comes after that."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from torch import nn

from .forcing import Forcer, Request
from .model_state import Matmuls, matmul_precision
from .saliency import Saliency
from .tasks.parsing import same_number
from .text import plain_characters
from .trace import Trace

MOST = 2
"""So many tellings are tried from the first on, and so many up to the last."""

_NUMBER = r"(?:[0-9]{1,3}(?:,[0-9]{3})+(?![0-9])|[0-9]+)(?:\.[0-9]+)?|(?<![0-9])\.[0-9]+"
# The number of a line or a step, and a number that is reckoned with, tell nothing.
_TOLD = re.compile(
    rf"^\W{{0,8}}(?:step[ ])?[0-9]+[.):]\W"
    rf"|(?P<number>{_NUMBER})(?=(?P<reckoned>[ ]*(?:=|[-+*/x\u00d7\u00f7^][ ]*[(0-9]))?)",
    re.MULTILINE | re.IGNORECASE,
)
_BESIDE = re.compile(r"[\s,;]*(?:\band\b)?[\s,;]*")
_CLOSING = re.compile(r"[.,;:!?%)\]}*_\"']*")


def told_at(reasoning: str, answer: str) -> list[int]:
    """Characters of the reasoning after which the whole answer has been told: once for each time that it is.

    An answer of numbers has been told when all of them have been, in their order and by value (`1,000` is `1000.0`),
    and again whenever the last of them is; a number that is reckoned with (`15 / 3`) is not told there, nor is that of
    a step. Another answer is told wherever it stands as words of its own, in either case; a single letter where it is
    called the answer, an option or a choice, or stands in brackets. The punctuation that follows belongs to the
    telling. Full-width forms of a character count as the character, invisible ones as nothing.

    Example: `told_at("14 + 4 = 18. 18 * 2 = 36. I like 36.", "18 36")` is `[25, 36]`.
    """
    plain, places = plain_characters(reasoning)
    wanted = plain_characters(answer)[0].strip()
    ends = [end for end, _ in _tellings(plain, wanted)] if _numbers(wanted) else _ends_of_words(plain, wanted)
    closed = (_CLOSING.match(plain, end) for end in ends)
    return [places[match.end() - 1] + 1 for match in closed if match]


def told_at_once(reasoning: str, answer: str) -> bool:
    """Whether an answer that is a list of numbers is first told as such: its numbers side by side, all at once.

    Worked out they would have come one by one. What follows was then not needed to find them.

    Example: `told_at_once("It is 18 36, since 14 + 4 = 18. 18 * 2 = 36.", "18 36")` is true.
    """
    wanted = plain_characters(answer)[0].strip()
    around = re.split(_NUMBER, wanted)
    if len(around) < 3 or around[0] or around[-1] or not all(map(_BESIDE.fullmatch, around[1:-1])):
        return False
    return next((beside for _, beside in _tellings(plain_characters(reasoning)[0], wanted)), False)


def _numbers(text: str) -> list[str]:
    return re.findall(_NUMBER, text)


def _tellings(text: str, answer: str) -> Iterator[tuple[int, bool]]:
    """Where the answer's numbers have all been told, and whether they stood side by side."""
    numbers, told, beside, end = _numbers(answer), 0, 0, 0
    for match in _TOLD.finditer(text):
        number = match["number"]
        if number is None:
            continue
        adjacent = bool(beside) and _BESIDE.fullmatch(text, end, match.start()) is not None
        expected = same_number(number, numbers[min(told, len(numbers) - 1)]) and not match["reckoned"]
        beside = (beside + 1 if adjacent and told else 1) if expected else 0
        end = match.end("number")
        if expected:
            told += 1
            if told >= len(numbers):
                yield end, beside >= len(numbers)


def _ends_of_words(text: str, answer: str) -> list[int]:
    if len(answer) == 1:
        named = rf"(?i:\b(?:answer|option|choice)\s+(?:is\s+)?){re.escape(answer)}(?!\w)|\({re.escape(answer)}(?=\))"
        return [match.end() for match in re.finditer(named, text)]
    words = r"\s+".join(map(re.escape, answer.split()))
    return [m.end() for m in re.finditer(rf"(?<!\w){words}(?!\w)", text, re.IGNORECASE)] if words else []


def before_told(
    model: nn.Module,
    tokenizer: Any,
    traces: Sequence[Trace],
    margin: float,
    matmuls: Matmuls = "bfloat16",
    max_tokens: int = 16_384,
) -> list[Trace]:
    """Each trace without the reasoning that comes after its answer was told, where the answer does not need that.

    What follows a telling that is enough cannot be what the answer was worked out with: padding, repetition, a reason
    after the fact. The first telling is taken after which the answer, if it is asked for at once, is at most `margin`
    less likely than after the whole reasoning; a number that happens to be the answer's, in the midst of the work, is
    not enough, and nothing is left out. Of many tellings the first and the last few are tried (`MOST`). Of a trace that
    tells nothing early nothing is read.

    Args:
        margin: nats per answer token.
        matmuls: how a CPU multiplies float32 matrices; see `model_state.matmul_precision`.
        max_tokens: padded tokens read at once; bounds the memory.

    Returns:
        One trace each, in order: the same, or one with less reasoning, all of whose tokens stand in the same order.

    Raises:
        AttentionError: the attention cannot tell padding from text in the way that is needed here.
    """
    found, shorter = list(traces), [_shorter(trace) for trace in traces]
    asked = [i for i, some in enumerate(shorter) if some]
    if not asked:
        return found
    prompts = list(dict.fromkeys(traces[i].ids[: traces[i].prompt_end] for i in asked))
    place = {prompt: number for number, prompt in enumerate(prompts)}
    requests = [_request(trace, place) for i in asked for trace in (traces[i], *shorter[i])]
    with matmul_precision(matmuls):
        forced = Forcer(model, tokenizer, prompts, max_tokens=max_tokens).force(requests)
    scores = iter([one.logprob for one in forced])
    for i in asked:
        whole, *each = [next(scores) for _ in (traces[i], *shorter[i])]
        found[i] = next((t for t, score in zip(shorter[i], each, strict=True) if score >= whole - margin), traces[i])
    return found


def _shorter(trace: Trace) -> list[Trace]:
    """The trace, cut after each early telling of its answer."""
    ends, at = [], 0
    for text in trace.reasoning_tokens:
        at += len(text)
        ends.append(at)
    reasoning = trace.text(trace.reasoning)
    told = told_at(reasoning, trace.text(trace.answer))
    kept = []
    for at in told if len(told) <= 2 * MOST else (*told[:MOST], *told[-MOST:]):
        tokens = sum(end < at for end in ends) + 1
        while tokens < len(ends) and not trace.reasoning_tokens[tokens]:  # the rest of a character
            tokens += 1
        if reasoning[ends[tokens - 1] :].strip():
            kept.append(tokens)
    return [_cut(trace, tokens) for tokens in dict.fromkeys(kept)]


def _cut(trace: Trace, tokens: int) -> Trace:
    """The trace with the first tokens of its reasoning alone."""
    a, b = trace.prompt_end + tokens, trace.reasoning_end
    return Trace(
        trace.ids[:a] + trace.ids[b:], trace.texts[:a] + trace.texts[b:], trace.prompt_end, a, trace.cue_end - b + a
    )


def _request(trace: Trace, place: dict[tuple[int, ...], int]) -> Request:
    return Request(
        place[trace.ids[: trace.prompt_end]], trace.ids[trace.prompt_end : trace.cue_end], trace.ids[trace.cue_end :]
    )


def with_rest(saliency: Saliency, tokens: tuple[str, ...]) -> Saliency:
    """A saliency of the first tokens as one of all of them: the gates of the rest are 0."""
    return replace(saliency, tokens=tokens, gates=saliency.gates + (0.0,) * (len(tokens) - len(saliency.gates)))
