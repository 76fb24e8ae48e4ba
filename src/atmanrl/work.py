"""Work: how far an answer was worked out in its reasoning, from what the question gives.

Text that merely carries an answer has to get it from somewhere. Every number of the answer is followed back to where it
was first told, from there to the numbers that it was worked out of, and on, until the question is reached. Three things
can be found on the way: a step, whose result is less likely once what it was worked out of is exchanged; a number out
of nowhere, which is as surprising where it stands as the answer itself would be; a result of the head, which follows
from the question alone. docs/method.md says what this estimates.
"""

import random
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any

import torch
from torch import Tensor, nn

from .attention import require_mask_support
from .bypass import tokens_of
from .exchange import Edit, Peers, Text, exchange, surprisals
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
    """

    text: str
    follows: float
    imported: float
    hardness: float

    @property
    def value(self) -> float:
        """`follows` less the share of the piece that was imported, at least 0: it cannot be imported more than once."""
        return max(0.0, self.follows - self.imported / self.hardness)


@dataclass(frozen=True)
class Work:
    """How far one answer was worked out.

    Attributes:
        pieces: the answer's.
        tokens: texts of the reasoning's tokens.
        used: of each, whether it stands in a sentence on a piece's way back to the question.
    """

    pieces: tuple[Piece, ...]
    tokens: tuple[str, ...]
    used: tuple[bool, ...]

    @property
    def value(self) -> float:
        """Mean over the answer's pieces, from 0 to 1; 0 where it has none."""
        return fmean(piece.value for piece in self.pieces) if self.pieces else 0.0

    @property
    def used_share(self) -> float:
        """Tokens of sentences that were needed over all tokens."""
        return sum(self.used) / len(self.used)


Row = tuple[str, ...]
"""A reading of a trace, by what is exchanged in it: values of the reasoning by themselves; `*`, all of them; `~`, all
words; `?`, the question's numbers; `?1` and one of these, that alone."""


@dataclass
class _Case:
    """One trace under way: its units, other values in their place, and what each reading found."""

    trace: Trace
    reasoning: list[Unit]
    answer: list[Unit]
    given: set[str]
    question: dict[str, Edit]
    edits: dict[str, Edit]
    words: dict[str, Edit]
    """Of the reasoning's words, which are among its units once they are among the `edits`."""
    found: dict[Row, Tensor] = field(default_factory=dict)
    """(units, 2) surprisals of each unit of reasoning and answer, as `surprisals` gives them."""

    @property
    def units(self) -> list[Unit]:
        return [*self.reasoning, *self.answer]

    @property
    def places(self) -> tuple[int, ...]:
        """Positions of the units' tokens after the prompt."""
        return tuple(sorted({at - self.trace.prompt_end for unit in self.units for at in unit.tokens}))

    def surprise(self, at: int, row: Row = ()) -> float:
        """How surprising the unit is where it stands, nats: a number among all tokens, a word among its peers."""
        return float(self.found[row][at, 0 if self.units[at].number else 1])

    def drop(self, at: int, row: Row, than: Row = ()) -> float:
        """What the unit loses among its peers by what `row` exchanges and `than` does not, nats."""
        return float(self.found[row][at, 1] - self.found[than][at, 1])


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
    numbers are. What is drawn for a value depends on the value alone, so that a text is worth the same whenever it is
    measured, and a sentence more or less changes no other draw.

    Args:
        questions: each trace's question as it stands in the prompt; what stands there may be used.
        matmuls: how a CPU multiplies float32 matrices; see `model_state.matmul_precision`.
        max_tokens: padded tokens read at once; bounds the memory.

    Raises:
        AttentionError: the attention cannot tell padding from text in the way that is needed here.
        WorkError: a question is empty, or does not stand in its trace's prompt.
    """
    require_mask_support(model)
    peers = Peers(model, tokenizer)
    asked = list(zip(traces, questions, strict=True))
    cases = {one: _case(*one, asked.index(one), peers) for one in dict.fromkeys(asked)}  # equal ones once
    _measure(model, peers, list(cases.values()), matmuls, max_tokens)
    works = {one: _Ledger(case, peers).work() for one, case in cases.items()}
    return [works[one] for one in asked]


def _measure(model: nn.Module, peers: Peers, cases: list[_Case], matmuls: Matmuls, max_tokens: int) -> None:
    with frozen(model), matmul_precision(matmuls), torch.no_grad():
        _read(model, peers, cases, [_rows(case) for case in cases], max_tokens)
        wordy = [case for case in cases if _needs_words(case)]
        for case in wordy:
            _count_words(case)
        _read(model, peers, wordy, [_rows(case) for case in wordy], max_tokens)
        _read(model, peers, wordy, [_single_rows(case) for case in wordy], max_tokens)


def _case(trace: Trace, question: str, index: int, peers: Peers) -> _Case:
    text = question.strip()
    if not text:
        raise WorkError(
            f"the question of trace {index} is empty: there is nothing that the answer could be worked out of"
        )
    columns = tokens_of(trace, text)
    if not columns:
        raise WorkError(f"the question of trace {index} does not stand in its prompt: '{text[:60]}'")
    answer = units_of(trace.texts[trace.cue_end :], trace.cue_end)
    asked = units_of(trace.texts[columns.start : columns.stop], columns.start)
    reasoning = _reasoning(trace, answer)

    def edits(units: Iterable[Unit], part: str = "") -> dict[str, Edit]:
        return {
            value: exchange(same, trace.ids, peers, random.Random(zlib.crc32(f"{part}{value}".encode())))
            for value, same in _grouped(units).items()
        }

    numbers = [unit for unit in reasoning if unit.number]
    return _Case(
        trace,
        numbers,
        answer,
        {unit.value for unit in asked},
        edits((unit for unit in asked if unit.number), "?"),
        edits(numbers),
        edits(unit for unit in reasoning if not unit.number),
    )


def _reasoning(trace: Trace, answer: Sequence[Unit]) -> list[Unit]:
    """The reasoning's units; digits that stand apart are the answer's number where they make it up."""
    whole = {unit.value for unit in answer if unit.number}
    return units_of(trace.reasoning_tokens, trace.prompt_end, whole)


def _grouped(units: Iterable[Unit]) -> dict[str, list[Unit]]:
    groups: dict[str, list[Unit]] = {}
    for unit in units:
        groups.setdefault(unit.value, []).append(unit)
    return groups


def _rows(case: _Case) -> list[Row]:
    """The text as it is; each value exchanged, and all words; the question's numbers, and with them each value of the
    answer's."""
    wanted = {unit.value for unit in case.answer}
    told = [value for value in case.edits if value in wanted]
    words: list[Row] = [("~",)] if case.words else []
    return [(), *((value,) for value in case.edits), *words, ("?",), ("?", "*"), *(("?", value) for value in told)]


def _count_words(case: _Case) -> None:
    """Words count as numbers do from here on, and all is read anew."""
    case.reasoning, case.found = _reasoning(case.trace, case.answer), {}
    case.edits.update(case.words)


def _single_rows(case: _Case) -> list[Row]:
    """Each number of the question alone, where a word that does not stand there seems to follow from them."""
    strange = any(
        not unit.number and unit.value not in case.given and case.drop(at, ("?",)) > LEAST_DROP
        for at, unit in enumerate(case.reasoning)
    )
    return [("?1", value) for value in case.question] if strange else []


def _read(model: nn.Module, peers: Peers, cases: Sequence[_Case], rows: Sequence[list[Row]], max_tokens: int) -> None:
    """Surprisal of every unit of each case in the readings that its rows name."""
    asked = [(case, row) for case, wanted in zip(cases, rows, strict=True) if case.units for row in wanted]
    texts = [_text(case, row) for case, row in asked]
    for (case, row), text, found in zip(asked, texts, surprisals(model, peers, texts, max_tokens), strict=True):
        if not bool(found.isfinite().all()):
            raise WorkError("the model's logits hold NaN or infinity: its weights are broken")
        at = {case.trace.prompt_end + place: i for i, place in enumerate(text.places)}
        sums = [found[[at[token] for token in unit.tokens]].sum(dim=0) for unit in case.units]
        case.found[row] = torch.stack(sums).cpu()  # (units, 2)


def _text(case: _Case, row: Row) -> Text:
    ids = list(case.trace.ids)
    if row[:1] == ("?1",):
        edits = [case.question[row[1]]]
    else:
        edits = [case.edits[name] for name in row if name not in ("?", "*", "~")]
        edits += list(case.edits.values()) if "*" in row else []
        edits += list(case.words.values()) if "~" in row else []
        edits += list(case.question.values()) if "?" in row else []
    for edit in edits:
        for at, token in edit.items():
            ids[at] = token
    start, places = case.trace.prompt_end, case.places
    targets = tuple(case.trace.ids[start + place] for place in places)
    return Text(tuple(ids[:start]), tuple(ids[start:]), places, targets)


def _drops(case: _Case, piece: int) -> dict[str, float]:
    """What exchanging each value of the reasoning costs a piece of the answer, nats: with the question as it is, or,
    where a key in it could stand in for the reasoning, with its numbers exchanged too."""
    at = len(case.reasoning) + piece
    drops = {value: case.drop(at, (value,)) for value in case.edits}
    for value in case.edits:
        if ("?", value) in case.found:
            drops[value] = max(drops[value], case.drop(at, ("?", value), ("?",)))
    return drops


def _needs_words(case: _Case) -> bool:
    """Whether words carry what numbers do not: a piece of the answer, or a number that the question does not give."""
    if not case.words:
        return False
    for at in range(len(case.units)):
        if at < len(case.reasoning) and case.units[at].value in case.given:
            continue
        largest = max((case.drop(at, (value,)) for value in case.edits), default=0.0)
        if case.drop(at, ("~",)) >= max(LEAST_DROP, NEAR_LARGEST * largest):
            return True
    return not all(max(_drops(case, piece).values(), default=0.0) >= LEAST_DROP for piece in range(len(case.answer)))


class _Ledger:
    """Follows the pieces of one answer back through its reasoning."""

    def __init__(self, case: _Case, peers: Peers):
        self.case, self.peers = case, peers
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
        return Work(pieces, trace.reasoning_tokens, tuple(used))

    def _piece(self, number: int) -> Piece:
        unit, hardness = self.case.answer[number], self._hardness(number)
        drops = _drops(self.case, number)
        sources = _significant(drops)
        if not sources:
            return Piece(unit.text, 0.0, hardness, hardness)
        rests = _in_full(max(drops.values()))
        if unit.value in sources:
            places = [at for at, one in enumerate(self.case.reasoning) if one.value == unit.value]
            if unit.value not in self.case.given:
                places = places[:1]
            ways = [(at, way) for at in places if (way := self._worked_out(at)) is not None]
            if not ways:
                told = sum(self.case.surprise(at) for at in places)
                return Piece(unit.text, 0.0, min(told, hardness), hardness)
            at, (follows, imports) = max(ways, key=lambda one: one[1][0] - sum(one[1][1].values()) / hardness)
            self.used.add(at)
        else:
            follows, imports = self._combined(sources, len(self.case.reasoning))
        return Piece(unit.text, min(rests, follows), sum(imports.values()), hardness)

    def _hardness(self, number: int) -> float:
        """Nats that a guess of the piece costs: its surprise with the numbers of question and reasoning exchanged, at
        least that of one among all of its form, at most `MOST_HARD` times that (a model that is sure of another is no
        measure)."""
        unit = self.case.answer[number]
        guess = max(1.0, sum(self.peers.guess(self.case.trace.ids[at]) for at in unit.tokens))
        return min(max(self.case.surprise(len(self.case.reasoning) + number, ("?", "*")), guess), MOST_HARD * guess)

    def _worked_out(self, at: int) -> tuple[float, dict[str, float]] | None:
        """How far the unit follows from others before it, and what was imported on the way; `None` where from none."""
        value = self.case.reasoning[at].value
        before = {unit.value for unit in self.case.reasoning[:at]} - {value}
        drops = {one: self.case.drop(at, (one,)) for one in before}
        sources = _significant(drops)
        if not sources:
            return None
        follows, imports = self._combined(sources, at)
        drop, left = max(sources.values()), max(0.0, float(self.case.found[()][at, 1]))
        share = drop / (drop + left)  # of the surprise that the result has without its source, what the source takes
        told = left * (1.0 - share)
        if told > sum(imports.values()):
            imports = {value: told}
        return min(follows, _in_full(drop), share), imports

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
            worth, told = self._without_a_step(at)
            bare = worth, {value: told}
            self.known[value] = bare  # while it is asked, so that two values that lean on each other end here
            # A result of the answer's must be worked out where it is first told; another may be given its reason after.
            answered = any(value == unit.value for unit in self.case.answer)
            places = [at] if answered else [i for i, unit in enumerate(self.case.reasoning) if unit.value == value]
            ways = [way for place in places if (way := self._worked_out(place)) is not None]
            if ways:
                follows, imports = max(ways, key=lambda way: (-sum(way[1].values()), way[0]))
                self.known[value] = max(follows, bare[0]), imports
        return self.known[value]

    def _without_a_step(self, at: int) -> tuple[float, float]:
        """What a unit that follows from no other is worth as an operand, and the nats that it imports.

        As far as it follows from several of the question's numbers at once it was worked out in the head, past all that
        was written. A word that follows from one of them is that number in another form.
        """
        told, heard = self.case.surprise(at), self.case.drop(at, ("?",))
        if not self.case.reasoning[at].number:  # a number that the question gives in digits stands there as itself
            *others, largest = sorted(self.case.drop(at, row) for row in self.case.found if row[:1] == ("?1",)) or [0.0]
            if largest > LEAST_DROP and all(drop < LEAST_DROP for drop in others):
                return 1.0, told * told / (told + largest)
        return 1.0 - _in_full(heard), told


def _in_full(drop: float) -> float:
    """A drop as a share of one in full, from 0 to 1."""
    return min(max(drop, 0.0), FULL_DROP) / FULL_DROP


def _significant(drops: dict[str, float]) -> dict[str, float]:
    largest = max(drops.values(), default=0.0)
    return {value: drop for value, drop in drops.items() if drop >= max(LEAST_DROP, NEAR_LARGEST * largest)}
