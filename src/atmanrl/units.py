"""Units: the numbers and words of a text, what an answer and its reasoning are made of."""

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

from .text import plain_characters

_UNIT = re.compile(r"(?P<number>\d+(?:,\d{3})*(?!\d)(?:\.\d+)?|\d+(?:\.\d+)?)|[^\W\d_]+")
_APART = re.compile(r"(?<![\d.])\d(?:(?:[ _]{1,2}\d)+|(?:[-–]\d){2,})(?![.,]?\d)")


@dataclass(frozen=True)
class Unit:
    """A number or a word, with the tokens that it is written in.

    Attributes:
        text: as it is written.
        value: what makes two units one: a number by its value (`1,000` is `1000.0`), a word in lower case, unless it is
            one letter.
        number: whether it is a number.
        start: its first character in its part of the trace.
        tokens: positions in the trace, in order; white space alone is not among them.
    """

    text: str
    value: str
    number: bool
    start: int
    tokens: tuple[int, ...]


def units_of(texts: Sequence[str], first: int = 0, whole: Collection[str] = ()) -> list[Unit]:
    """The units of a text that is given token by token.

    Full-width and other forms of a character count as the character, every script's digits as digits, invisible
    characters as nothing. Tokens that hold parts of two units belong to both.

    Args:
        texts: of the tokens; they join to the text.
        first: position of the first token.
        whole: values of numbers that count as one unit where their digits stand apart ("3 0 0").
    """
    text = "".join(texts)
    plain, places = plain_characters(text)
    spans = []
    at = 0
    for token in texts:
        spans.append((at, at + len(token)))
        at += len(token)
    units = []
    for start, end, value, number in _found(plain, whole):
        a, b = places[start], places[end - 1] + 1
        tokens = tuple(first + i for i, (x, y) in enumerate(spans) if x < b and y > a and texts[i].strip())
        if tokens:
            units.append(Unit(text[a:b], value, number, a, tokens))
    return units


def _found(plain: str, whole: Collection[str]) -> Iterator[tuple[int, int, str, bool]]:
    """Spans in the plain text, their values, and whether they are numbers."""
    apart = []
    for match in _APART.finditer(plain):
        value = _value("".join(c for c in match.group() if c.isdigit()))
        if value in whole and len(value) > 1:
            apart.append((*match.span(), value, True))
    taken = [False] * len(plain)
    for start, end, *_ in apart:
        taken[start:end] = [True] * (end - start)
    single = [
        (*match.span(), _value(match.group()) if match["number"] else _word(match.group()), bool(match["number"]))
        for match in _UNIT.finditer(plain)
        if not taken[match.start()]
    ]
    yield from sorted([*apart, *single])


def _word(word: str) -> str:
    """A letter alone may be an answer, which the article is not."""
    return word if len(word) == 1 else word.casefold()


def _value(number: str) -> str:
    try:
        return f"{Decimal(number.replace(',', '')).normalize():f}"
    except InvalidOperation:
        return number
