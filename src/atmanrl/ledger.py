"""Ledger: the pieces of an answer followed back through its reasoning, by what each reading of it has found.

Every number of the answer is followed back to where it was first told, from there to the numbers that it was worked out
of, and on, until the question is reached. Three things can be found on the way: a step, whose result is less likely
once what it was worked out of is exchanged; a number out of nowhere, which is as surprising where it stands as the
answer itself would be; a result of the head, which follows from the question alone. docs/method.md says what this
estimates.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from statistics import fmean

from torch import Tensor

from .exchange import Edit, Peers
from .saliency import tokens_by_span
from .text import sentence_spans
from .trace import Trace
from .units import Unit

LEAST_DROP = 0.7
"""Nats under which a drop is noise."""
NEAR_LARGEST = 0.5
"""A source counts where its drop is at least this share of the largest."""
MOST_HARD = 1.25
"""A piece is at most so many times as hard to come by as a guess among all of its form."""
FULL_DROP = 3.0
"""Nats over which a result follows in full: then it has lost nineteen parts in twenty."""


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
class Case:
    """One trace under way: its units, other values in their place, and what each reading found."""

    trace: Trace
    reasoning: list[Unit]
    answer: list[Unit]
    given: set[str]
    question: dict[str, Edit]
    edits: dict[str, Edit]
    words: dict[str, Edit]
    """Of the reasoning's words, until these count: then they are among its units, and among `edits`."""
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


def piece_drops(case: Case, piece: int) -> dict[str, float]:
    """What exchanging each value of the reasoning costs a piece of the answer, nats: with the question as it is, or,
    where a key in it could stand in for the reasoning, with its numbers exchanged too."""
    at = len(case.reasoning) + piece
    drops = {value: case.drop(at, (value,)) for value in case.edits}
    for value in case.edits:
        if ("?", value) in case.found:
            drops[value] = max(drops[value], case.drop(at, ("?", value), ("?",)))
    return drops


@dataclass(frozen=True)
class _Way:
    """How a unit was worked out.

    Attributes:
        operands: what these are worth, the least of them.
        step: how far the unit follows from them.
        imports: nats of what came out of nowhere on the way, by value.
        used: the units of the reasoning that are on the way.
    """

    operands: float
    step: float
    imports: dict[str, float]
    used: frozenset[int]

    @property
    def follows(self) -> float:
        return min(self.operands, self.step)


class Ledger:
    """Follows the pieces of one answer back through its reasoning."""

    def __init__(self, case: Case, peers: Peers):
        self.case, self.peers = case, peers
        self.first: dict[str, int] = {}
        for at, unit in enumerate(case.reasoning):
            self.first.setdefault(unit.value, at)
        self.known: dict[str, _Way] = {}
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
        drops = piece_drops(self.case, number)
        sources = _significant(drops)
        rests, way = _in_full(max(drops.values(), default=0.0)), None
        if unit.value in sources:
            places = [at for at, one in enumerate(self.case.reasoning) if one.value == unit.value]
            if unit.value not in self.case.given:
                places = places[:1]
            ways = [(at, way) for at in places if (way := self._worked_out(at)) is not None]
            if not ways:
                told = sum(self.case.surprise(at) for at in places)
                return Piece(unit.text, 0.0, min(told, hardness), hardness)
            # Of places that are worth the same the first: it is the step, the others take it up.
            at, way = max(ways, key=lambda one: round(one[1].follows - sum(one[1].imports.values()) / hardness, 1))
            self.used.add(at)
        else:
            # A number that is not written can only stand there in words: what it was made of is not the number.
            if unit.number and unit.value not in self.first:
                sources = {
                    one: drop for one, drop in sources.items() if not self.case.reasoning[self.first[one]].number
                }
            if sources:
                way = self._combined(sources, len(self.case.reasoning))
        if way is None:
            return Piece(unit.text, 0.0, hardness, hardness)
        self.used |= way.used
        return Piece(unit.text, min(rests, way.follows), sum(way.imports.values()), hardness)

    def _hardness(self, number: int) -> float:
        """Nats that a guess of the piece costs: its surprise with the numbers of question and reasoning exchanged, at
        least that of one among all of its form, at most `MOST_HARD` times that (a model that is sure of another is no
        measure)."""
        unit = self.case.answer[number]
        guess = max(1.0, sum(self.peers.guess(self.case.trace.ids[at]) for at in unit.tokens))
        return min(max(self.case.surprise(len(self.case.reasoning) + number, ("?", "*")), guess), MOST_HARD * guess)

    def _worked_out(self, at: int) -> _Way | None:
        """How far the unit follows from others before it, and what was imported on the way; `None` where from none."""
        value = self.case.reasoning[at].value
        before = {unit.value for unit in self.case.reasoning[:at]} - {value}
        drops = {one: self.case.drop(at, (one,)) for one in before}
        sources = _significant(drops)
        if not sources:
            return None
        way = self._combined(sources, at)
        drop, left = max(sources.values()), max(0.0, float(self.case.found[()][at, 1]))
        share = drop / (drop + left)  # of the surprise that the result has without its source, what the source takes
        told = left * (1.0 - share)
        if self.case.reasoning[at].number and not any(self.case.reasoning[self.first[one]].number for one in sources):
            told = self.case.surprise(at)  # the words around a number make it likelier; it is not worked out of them
        imports = {value: told} if told > sum(way.imports.values()) else way.imports
        return replace(way, step=min(_in_full(drop), share), imports=imports)

    def _combined(self, sources: Iterable[str], at: int) -> _Way:
        """What values are worth together to what stands at a place."""
        operands, imports, used = 1.0, dict[str, float](), set[int]()
        for value in sources:
            own = self._operand(value)
            operands = min(operands, own.follows)
            used |= own.used
            if value in self.case.given:  # it is used where it is read: in the step, or last before the answer
                last = max(i for i, unit in enumerate(self.case.reasoning) if unit.value == value)
                used.add(at if at < len(self.case.reasoning) else last)
            for name, nats in own.imports.items():
                imports[name] = max(imports.get(name, 0.0), nats)
        return _Way(operands, 1.0, imports, frozenset(used))

    def _operand(self, value: str) -> _Way:
        """What a value is worth in a step: all where the question gives it, else as far as it was worked out itself, or
        is no result of the head; and what was imported with it."""
        if value in self.case.given:
            return _Way(1.0, 1.0, {}, frozenset())
        if value not in self.known:
            at = self.first[value]
            worth, told = self._without_a_step(at)
            # While it is asked, so that two values that lean on each other end here.
            self.known[value] = _Way(1.0, worth, {value: told}, frozenset({at}))
            # A result of the answer's must be worked out where it is first told; another may be given its reason after.
            answered = any(value == unit.value for unit in self.case.answer)
            places = [at] if answered else [i for i, unit in enumerate(self.case.reasoning) if unit.value == value]
            ways = [(place, way) for place in places if (way := self._worked_out(place)) is not None]
            if ways:
                place, way = max(
                    ways, key=lambda one: (-round(sum(one[1].imports.values()), 1), round(one[1].follows, 1))
                )
                # Where the reader cannot compute it, it is still no result of the head, unless what it is made of is.
                self.known[value] = replace(way, step=max(way.step, worth), used=way.used | {at, place})
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
