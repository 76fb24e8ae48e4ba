"""Work: how far an answer was worked out in its reasoning, from what the question gives.

Text that merely carries an answer has to get it from somewhere. Every number of the answer is followed back to where it
was first told, from there to the numbers that it was worked out of, and on, until the question is reached. Three things
can be found on the way: a step, whose result is less likely once what it was worked out of is exchanged; a number out
of nowhere, which is as surprising where it stands as the answer itself would be; a result of the head, which follows
from the question alone. docs/method.md says what this estimates.
"""

import math
import random
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any

import torch
from torch import Tensor, nn

from .attention import require_mask_support, vocabulary_size
from .bypass import tokens_of
from .exchange import Edit, Forms, Text, exchange, forms_of, surprisals
from .model_state import Matmuls, frozen, matmul_precision
from .saliency import tokens_by_span
from .text import sentence_spans
from .trace import Trace
from .units import Unit, units_of

LEAST_DROP = 0.7
"""Nats under which a drop is noise."""
NEAR_LARGEST = 0.5
"""A source counts where its drop is at least this share of the largest."""
MOST_HARD = 1.25
"""A piece is at most so many times as hard to come by as a guess among all of its form."""
FULL_DROP = 3.0
"""Nats over which a result follows in full: then it has lost nineteen parts in twenty."""


class WorkError(ValueError):
    """Work cannot be measured: a question cannot be found in its trace, or it is empty."""


@dataclass(frozen=True)
class Piece:
    """One number or word of an answer.

    Attributes:
        text: the piece.
        follows: how far it follows from the reasoning, and each step on the way to it from what it was worked out of,
            the least of these; from 0 to 1.
        imported: what came out of nowhere on the way, nats.
        hardness: what a guess among all pieces of its form costs, nats.
        told: whether the reasoning tells it and gives it no source.
    """

    text: str
    follows: float
    imported: float
    hardness: float
    told: bool

    @property
    def value(self) -> float:
        """`follows` less the share of the piece that was imported; from -1 to 1."""
        return max(-1.0, min(1.0, self.follows - self.imported / self.hardness))


@dataclass(frozen=True)
class Work:
    """How far one answer was worked out.

    Attributes:
        pieces: the answer's.
        tokens: texts of the reasoning's tokens.
        used: of each, whether it stands in a sentence on a piece's way back to the question.
        rows: texts that were read for this, of about the reasoning's length.
    """

    pieces: tuple[Piece, ...]
    tokens: tuple[str, ...]
    used: tuple[bool, ...]
    rows: int

    @property
    def value(self) -> float:
        """Mean over the answer's pieces, from -1 to 1; -1 where it has none."""
        return fmean(piece.value for piece in self.pieces) if self.pieces else -1.0

    @property
    def used_share(self) -> float:
        """Tokens of sentences that were needed over all tokens."""
        return sum(self.used) / len(self.used)


@dataclass
class _Case:
    """One trace under way: its units, its edits, and the surprisal of every unit under each edit."""

    trace: Trace
    reasoning: list[Unit]
    answer: list[Unit]
    given: set[str]
    asked: dict[str, list[Unit]]
    places: tuple[int, ...]
    rng: random.Random
    words: bool = False
    edits: dict[str, Edit] = field(default_factory=dict)
    question: dict[str, Edit] = field(default_factory=dict)
    found: dict[tuple[str, ...], Tensor] = field(default_factory=dict)
    surprise: Tensor = field(default_factory=lambda: torch.zeros(0))
    hard: Tensor = field(default_factory=lambda: torch.zeros(0))

    @property
    def units(self) -> list[Unit]:
        return [*self.reasoning, *self.answer]


def measure_work(
    model: nn.Module,
    tokenizer: Any,
    traces: Sequence[Trace],
    questions: Sequence[str],
    matmuls: Matmuls = "bfloat16",
    max_tokens: int = 16_384,
) -> list[Work]:
    """How far each answer was worked out in its reasoning.

    One reading of each text, one for each number in its reasoning, in whose place another stands, and two or more with
    the question's numbers exchanged; no gradient, no mask. Where no number carries the answer, words are exchanged as
    numbers are. What is drawn for an exchange depends on the trace alone, so that a text is worth the same whenever it
    is measured.

    Args:
        questions: each trace's question as it stands in the prompt; what stands there may be used.
        matmuls: how a CPU multiplies float32 matrices; see `model_state.matmul_precision`.
        max_tokens: padded tokens read at once; bounds the memory.

    Raises:
        AttentionError: the attention cannot tell padding from text in the way that is needed here.
        WorkError: a question is empty, or does not stand in its trace's prompt.
    """
    require_mask_support(model)
    forms = forms_of(tokenizer, vocabulary_size(model))
    cases = [_case(trace, question, i) for i, (trace, question) in enumerate(zip(traces, questions, strict=True))]
    with frozen(model), matmul_precision(matmuls), torch.no_grad():
        _read(model, forms, cases, [_first_rows(case, forms) for case in cases], max_tokens)
        wordy = [case for case in cases if not _carried(case)]
        if wordy:
            likely = _next_logprobs(model, [case.trace for case in wordy])
            for case, logprobs in zip(wordy, likely, strict=True):
                _take_words(case, forms, logprobs)
            _read(model, forms, wordy, [_first_rows(case, forms) for case in wordy], max_tokens)
        _read(model, forms, cases, [_single_rows(case) for case in cases], max_tokens)
    return [_Ledger(case, forms).work() for case in cases]


def _case(trace: Trace, question: str, index: int) -> _Case:
    text = question.strip()
    if not text:
        raise WorkError(
            f"the question of trace {index} is empty: there is nothing that the answer could be worked out of"
        )
    columns = tokens_of(trace, text)
    if not columns:
        raise WorkError(f"the question of trace {index} does not stand in its prompt: '{text[:60]}'")
    answer = units_of(trace.texts[trace.cue_end :], trace.cue_end)
    whole = {unit.value for unit in answer if unit.number}
    reasoning = units_of(trace.reasoning_tokens, trace.prompt_end, whole)
    asked = units_of(trace.texts[columns.start : columns.stop], columns.start)
    numbers = [unit for unit in reasoning if unit.number]
    seed = zlib.crc32(repr(trace.ids).encode())
    case = _Case(trace, numbers, answer, {u.value for u in asked}, _grouped(asked), (), random.Random(seed))
    return _placed(case)


def _placed(case: _Case) -> _Case:
    start = case.trace.prompt_end
    case.places = tuple(sorted({at - start for unit in case.units for at in unit.tokens}))
    return case


def _grouped(units: Iterable[Unit]) -> dict[str, list[Unit]]:
    groups: dict[str, list[Unit]] = {}
    for unit in units:
        groups.setdefault(unit.value, []).append(unit)
    return groups


def _first_rows(case: _Case, forms: Forms, logprobs: Tensor | None = None) -> list[tuple[str, ...]]:
    """The text as it is; each value exchanged; the question's numbers, and with them each value of the answer's."""
    ids = case.trace.ids
    for value, units in _grouped(case.reasoning).items():
        if value not in case.edits:
            case.edits[value] = exchange(units, ids, forms, logprobs, case.rng)
    if not case.question:
        numbers = {value: units for value, units in case.asked.items() if units[0].number}
        case.question = {value: exchange(units, ids, forms, None, case.rng) for value, units in numbers.items()}
    wanted = {unit.value for unit in case.answer}
    told = [value for value in case.edits if value in wanted]
    return [(), *((value,) for value in case.edits), ("?",), ("?", "*"), *(("?", value) for value in told)]


def _single_rows(case: _Case) -> list[tuple[str, ...]]:
    """Each number of the question alone, where a word that does not stand there seems to follow from it."""
    heard = case.found["?",] - case.found[()]  # (units,)
    strange = any(
        not unit.number and unit.value not in case.given and float(drop) > LEAST_DROP
        for unit, drop in zip(case.reasoning, heard, strict=False)
    )
    return [("?1", value) for value in case.question] if strange and len(case.question) > 1 else []


def _read(
    model: nn.Module, forms: Forms, cases: Sequence[_Case], rows: Sequence[list[tuple[str, ...]]], max_tokens: int
) -> None:
    """Surprisal of every unit of each case under the edits that its rows name."""
    asked = [(case, row) for case, wanted in zip(cases, rows, strict=True) for row in wanted if row not in case.found]
    texts = [_text(case, row) for case, row in asked]
    for (case, row), found in zip(asked, surprisals(model, forms, texts, max_tokens), strict=True):
        at = {place: i for i, place in enumerate(case.places)}
        start = case.trace.prompt_end
        sums = [found[[at[token - start] for token in unit.tokens]].sum(dim=0) for unit in case.units]
        case.found[row] = torch.stack(sums)[:, 1].cpu()  # (units,)
        if not row:
            case.surprise = torch.stack(sums)[:, 0].cpu()  # (units,)
        if row == ("?", "*"):
            case.hard = torch.stack(sums)[:, 0].cpu()


def _text(case: _Case, row: tuple[str, ...]) -> Text:
    """`?` exchanges all of the question's numbers, `?1` the one that is named after it; else values of the
    reasoning."""
    ids = list(case.trace.ids)
    if row[:1] == ("?1",):
        edits = [case.question[row[1]]]
    else:
        edits = [case.edits[name] for name in row if name not in ("?", "*")]
        edits += list(case.edits.values()) if "*" in row else []
        edits += list(case.question.values()) if "?" in row else []
    for edit in edits:
        for at, token in edit.items():
            ids[at] = token
    start = case.trace.prompt_end
    targets = tuple(case.trace.ids[start + place] for place in case.places)
    return Text(tuple(ids[:start]), tuple(ids[start:]), case.places, targets)


def _drops(case: _Case, piece: int) -> dict[str, float]:
    """What exchanging each value of the reasoning costs a piece of the answer, nats: with the question as it is, or,
    where a key in it could stand in for the reasoning, with its numbers exchanged too."""
    at = len(case.reasoning) + piece
    plain, strange = float(case.found[()][at]), float(case.found["?",][at])
    drops = {value: float(case.found[value,][at]) - plain for value in case.edits}
    for value in case.edits:
        if ("?", value) in case.found:
            drops[value] = max(drops[value], float(case.found["?", value][at]) - strange)
    return drops


def _carried(case: _Case) -> bool:
    """Whether numbers of the reasoning carry every piece of the answer."""
    return all(max(_drops(case, piece).values(), default=0.0) >= LEAST_DROP for piece in range(len(case.answer)))


def _take_words(case: _Case, forms: Forms, logprobs: Tensor) -> None:
    """Words count as numbers do from here on."""
    whole = {unit.value for unit in case.answer if unit.number}
    case.words, case.found = True, {}
    case.reasoning = units_of(case.trace.reasoning_tokens, case.trace.prompt_end, whole)
    _placed(case)
    _first_rows(case, forms, logprobs)


def _next_logprobs(model: Any, traces: Sequence[Trace]) -> list[Tensor]:
    """(L, V) log-probabilities of the token after each position, one trace at a time."""
    device = next(model.parameters()).device
    return [
        model(input_ids=torch.tensor([trace.ids], device=device), use_cache=False)
        .logits[0]
        .float()
        .log_softmax(-1)
        .cpu()
        for trace in traces
    ]


class _Ledger:
    """Follows the pieces of one answer back through its reasoning."""

    def __init__(self, case: _Case, forms: Forms):
        self.case, self.forms = case, forms
        self.plain, self.surprise = case.found[()], case.surprise
        self.places = _grouped(case.reasoning)
        self.first: dict[str, int] = {}
        for at, unit in enumerate(case.reasoning):
            self.first.setdefault(unit.value, at)
        self.known: dict[str, tuple[float, dict[str, float]]] = {}
        self.used: set[int] = set()

    def work(self) -> Work:
        trace = self.case.trace
        pieces = tuple(self._piece(number) for number in range(len(self.case.answer)))
        reasoning = trace.text(trace.reasoning)
        used = [False] * len(trace.reasoning)
        spans = sentence_spans(reasoning)
        touched = {self.case.reasoning[at].tokens[0] - trace.prompt_end for at in self.used}
        for members in tokens_by_span(trace.reasoning_tokens, spans):
            if touched & set(members):
                for token in members:
                    used[token] = True
        return Work(pieces, trace.reasoning_tokens, tuple(used), len(self.case.found))

    def _piece(self, number: int) -> Piece:
        unit, hardness = self.case.answer[number], self._hardness(number)
        drops = _drops(self.case, number)
        sources = _significant(drops)
        if not sources:
            return Piece(unit.text, 0.0, hardness, hardness, told=False)
        rests = min(max(drops.values()), FULL_DROP) / FULL_DROP
        if unit.value in sources:
            places = [at for at, one in enumerate(self.case.reasoning) if one.value == unit.value]
            if unit.value not in self.case.given:
                places = places[:1]
            ways = [(at, way) for at in places if (way := self._worked_out(at)) is not None]
            if not ways:
                told = sum(float(self.surprise[at]) for at in places)
                return Piece(unit.text, 0.0, min(told, hardness), hardness, told=True)
            at, (follows, imports) = max(ways, key=lambda one: one[1][0] - sum(one[1][1].values()) / hardness)
            self.used.add(at)
        else:
            follows, imports = self._combined(sources, len(self.case.reasoning))
        return Piece(unit.text, min(rests, follows), sum(imports.values()), hardness, told=False)

    def _hardness(self, number: int) -> float:
        """Nats that a guess of the piece costs: its surprise with the numbers of question and reasoning exchanged, at
        least that of one among all of its form, at most `MOST_HARD` times that (a model that is sure of another is no
        measure)."""
        unit = self.case.answer[number]
        guess = max(1.0, sum(math.log(max(1, self.forms.choices(self.case.trace.ids[at]))) for at in unit.tokens))
        return min(max(float(self.case.hard[len(self.case.reasoning) + number]), guess), MOST_HARD * guess)

    def _worked_out(self, at: int) -> tuple[float, dict[str, float]] | None:
        """How far the unit follows from others before it, and what was imported on the way; `None` where from none."""
        value = self.case.reasoning[at].value
        before = {unit.value for unit in self.case.reasoning[:at]} - {value}
        drops = {one: float(self.case.found[one,][at] - self.plain[at]) for one in before}
        sources = _significant(drops)
        if not sources:
            return None
        follows, imports = self._combined(sources, at)
        own = float(self.surprise[at])
        own *= own / (own + max(sources.values()))  # what comes out of a step counts the less the more it follows
        if own > sum(imports.values()):
            imports = {value: own}
        return min(follows, min(max(sources.values()), FULL_DROP) / FULL_DROP), imports

    def _combined(self, sources: Iterable[str], at: int) -> tuple[float, dict[str, float]]:
        follows, imports = 1.0, dict[str, float]()
        for value in sources:
            self._use(value, at)
            worth, own = self._operand(value)
            follows = min(follows, worth)
            for name, nats in own.items():
                imports[name] = max(imports.get(name, 0.0), nats)
        return follows, imports

    def _use(self, value: str, before: int) -> None:
        if value not in self.case.given:
            self.used.add(self.first[value])
        elif before < len(self.case.reasoning):
            self.used.add(before)

    def _operand(self, value: str) -> tuple[float, dict[str, float]]:
        """What a value is worth in a step: all where the question gives it, else as far as it was worked out itself, or
        is no result of the head; and what was imported with it."""
        if value in self.case.given:
            return 1.0, {}
        if value not in self.known:
            at = self.first[value]
            bare = 1.0 - self._in_head(at), {value: float(self.surprise[at])}
            self.known[value] = bare  # while it is asked, so that two values that lean on each other end here
            # A result of the answer's must be worked out where it is first told; another may be given its reason after.
            answered = any(value == unit.value for unit in self.case.answer)
            places = [at] if answered else [i for i, unit in enumerate(self.case.reasoning) if unit.value == value]
            ways = [way for place in places if (way := self._worked_out(place)) is not None]
            if ways:
                follows, imports = max(ways, key=lambda way: (-sum(way[1].values()), way[0]))
                self.known[value] = max(follows, bare[0]), imports
        return self.known[value]

    def _in_head(self, at: int) -> float:
        """How far a unit follows from several of the question's numbers at once, past all that was written."""
        found, plain = self.case.found, float(self.plain[at])
        heard = min(max(float(found["?",][at]) - plain, 0.0), FULL_DROP) / FULL_DROP
        if self.case.reasoning[at].number:  # one that the question gives in digits stands there as itself
            return heard
        singles = sorted((float(found[row][at]) - plain for row in found if row[:1] == ("?1",)), reverse=True)
        if singles and singles[0] > LEAST_DROP and (len(singles) < 2 or singles[1] < LEAST_DROP):
            return 0.0  # a word for one number that the question gives
        return heard


def _significant(drops: dict[str, float]) -> dict[str, float]:
    largest = max(drops.values(), default=0.0)
    return {value: drop for value, drop in drops.items() if drop >= max(LEAST_DROP, NEAR_LARGEST * largest)}
