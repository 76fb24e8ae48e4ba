"""Where a reasoning tells its answer, and whether the answer needs what comes before or after that."""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from torch import nn

from .forcing import Forcer, Request
from .model_state import Matmuls, matmul_precision
from .rewards import only_states
from .saliency import Saliency
from .tasks.parsing import same_number
from .trace import Trace

TELLINGS = 4
"""So many places in a reasoning are tried, from the first on, where its answer is told."""

_NUMBER = re.compile(r"\d[\d,]*(?:\.\d+)?")
_CLOSING = re.compile(r"[^\w\s]*")


def told_at(reasoning: str, answer: str) -> list[int]:
    """Characters of the reasoning after which the whole answer has been told: once for each time that it is.

    An answer of numbers has been told when all of them have been, in their order and by value (`1,000` is `1000.0`),
    and again whenever the last of them is; another answer wherever it stands as words of its own, a single letter as it
    is written, words in either case. The punctuation that follows belongs to the telling. Full-width forms of a
    character count as the character, invisible ones as nothing.

    Example: `told_at("14 + 4 = 18. 18 * 2 = 36. I like 36.", "18 36")` is `[25, 36]`.
    """
    plain, places = _plain(reasoning)
    numbers = _NUMBER.findall(_plain(answer)[0])
    ends = _ends_of_numbers(plain, numbers) if numbers else _ends_of_words(plain, answer.strip())
    closed = (_CLOSING.match(plain, end) for end in ends)
    return [places[match.end() - 1] + 1 for match in closed if match]


def told_at_once(reasoning: str, answer: str, question: str) -> bool:
    """Whether the reasoning begins by telling an answer of numbers, so that what follows was not needed to find it.

    Up to the telling it does no more than that (`rewards.only_states`). A single number that stands in the question,
    or whose question is not known, does not count, since it may be a quantity taken up from there.

    Example: `told_at_once("It is 36, since 18 * 2 = 36.", "36", "A pile of 18 grows 2 times.")` is true.
    """
    numbers = _NUMBER.findall(_plain(answer)[0])
    asked = _NUMBER.findall(_plain(question)[0])
    if not numbers or (len(numbers) == 1 and (not asked or any(same_number(numbers[0], other) for other in asked))):
        return False
    told = told_at(reasoning, answer)
    return bool(told) and only_states(reasoning[: told[0]], answer)


def _plain(text: str) -> tuple[str, list[int]]:
    """The text in plain characters, and where each stood in it."""
    plain = [(c, i) for i, one in enumerate(text) if unicodedata.category(one) != "Cf"
             for c in unicodedata.normalize("NFKC", one)]  # fmt: skip
    return "".join(c for c, _ in plain), [i for _, i in plain]


def _ends_of_numbers(text: str, numbers: list[str]) -> list[int]:
    ends, told = [], 0
    for match in _NUMBER.finditer(text):
        number = match.group().rstrip(",")
        if same_number(number, numbers[min(told, len(numbers) - 1)]):
            told += 1
            if told >= len(numbers):
                ends.append(match.start() + len(number))
    return ends


def _ends_of_words(text: str, answer: str) -> list[int]:
    flags = 0 if len(answer) == 1 else re.IGNORECASE
    return [m.end() for m in re.finditer(rf"(?<!\w){re.escape(answer)}(?!\w)", text, flags)] if answer else []


def before_told(
    model: nn.Module,
    tokenizer: Any,
    traces: Sequence[Trace],
    questions: Sequence[str],
    margin: float,
    matmuls: Matmuls = "bfloat16",
    max_tokens: int = 16_384,
) -> list[Trace]:
    """Each trace without the reasoning that comes after its answer was told, where the answer does not need that.

    What follows a telling that is enough cannot be what the answer was worked out with: padding, repetition, a reason
    after the fact. A reasoning that begins with its answer (`told_at_once`) is cut there. Otherwise the first telling
    is taken after which the answer, if it is asked for at once, is at most `margin` less likely than after the whole
    reasoning; a number that happens to be the answer's, in the midst of the work, is not enough, and nothing is left
    out. Of a trace that tells nothing early nothing is read.

    Args:
        questions: each trace's.
        margin: nats per answer token.
        matmuls: how a CPU multiplies float32 matrices; see `model_state.matmul_precision`.
        max_tokens: padded tokens read at once; bounds the memory.

    Returns:
        One trace each, in order: the same, or one with less reasoning, all of whose tokens stand in the same order.

    Raises:
        AttentionError: the attention cannot tell padding from text in the way that is needed here.
    """
    found, shorter = list(traces), [_shorter(trace) for trace in traces]
    for i, (trace, question) in enumerate(zip(traces, questions, strict=True)):
        if shorter[i] and told_at_once(trace.text(trace.reasoning), trace.text(trace.answer), question):
            found[i] = shorter[i][0]
    asked = [i for i, some in enumerate(shorter) if some and found[i] is traces[i]]
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
    kept = []
    for told in told_at(reasoning, trace.text(trace.answer))[:TELLINGS]:
        tokens = next(i for i, end in enumerate(ends, 1) if end >= told)
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
