"""Edits of reasoning as plain text: one mistake a sentence, and rewritings that keep its meaning.

What is rewritten is chosen to be safe rather than much: a rewriting that changes the meaning would be told as a model's
inconsistency. All of them give `None` where nothing can be changed safely.
"""

import random
import re
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise

from ..text import sentence_spans, token_kind
from .mentions import mentions_hint as mentions_hint
from .synonyms import SYNONYMS

CONNECTIVES = frozenset(
    (
        "accordingly after afterwards also although and because before but consequently finally first firstly hence if "
        "however instead lastly meanwhile moreover next nevertheless now otherwise second secondly since so still then "
        "therefore third thus unless until when whereas whereby while yet"
    ).split()
)

# Not within a word ("B12", "2nd"), but also after the sign of multiplication in "2x3".
_NUMBER = re.compile(
    r"(?:(?<![^\W_])|(?<=[0-9][xX]))"
    r"(?:[0-9]{1,3}(?:,[0-9]{3})++(?![0-9])|[0-9]++)(?:\.[0-9]++)?+(?!(?:st|nd|rd|th)\b)"
    r"|(?:(?<![^\W_])|(?<=[0-9][xX]))(?<!\.)\.[0-9]++"
)
# "1." and "Step 2:" count steps, not things.
_MARKER = re.compile(
    r"(?:^|(?<=\n))[ \t#*>-]*(?:\(?[0-9]{1,2}[.):](?=[ \t]+\S)|(?:step|part|line)[ \t]+[0-9]{1,3})",
    re.IGNORECASE,
)
_YEAR = re.compile(r"\b(?:in|since|by|until|year|from|of)\s+$", re.IGNORECASE)
_OPERATOR = r"(?:[-+*/×÷−]|[xX](?=\s*+[$0-9.]))"
_AMOUNT = r"[$€£]?(?:[0-9][0-9,]*+(?:\.[0-9]++)?+|\.[0-9]++)%?"
_EQUATION = re.compile(
    rf"(?<![^\W_])(?<![-+*/×÷−.)(]){_AMOUNT}(?:[ ]?{_OPERATOR}[ ]?{_AMOUNT}){{1,20}}[ ]?=[ ]?{_AMOUNT}"
)
_TIGHT = re.compile(r"(?<=[0-9%])[ ]?([-+*/×÷−=xX])[ ]?(?=[$€£0-9.])")
_WORDS = "zero one two three four five six seven eight nine ten eleven twelve".split()
_BIG = r"(?:hundred|thousand|million|billion|dozen)"
# "one" is left alone as a word, for it may stand for a thing ("the red one"); so are numbers beside a sign or number.
_SMALL = re.compile(
    r"(?P<digits>(?:(?<=\A)|(?<=[a-z,;:(][ ])|(?<=\n)|(?<=[.!?][ ]))(?:[2-9]|1[0-2]))(?=[ ][a-z]{3})"
    rf"(?![ ](?:{_BIG}|percent|times|degrees)\b)"
    rf"|(?<![-\w])(?<!\d[ ])(?P<word>{'|'.join(_WORDS[2:])})(?=[ ][a-z]{{3}})(?![ ]{_BIG}\b)",
    re.IGNORECASE,
)
_ARITHMETIC = re.compile(
    r"[=+*/×÷<>\\^]|[0-9]\s*[-−]|[0-9]\s*[xX]\s*[$0-9.]|\b(?:times|plus|minus|divided|multiplied|equals?)\b",
    re.IGNORECASE,
)
_SPOKEN = re.compile(rf"(?<![-\w])(?:{'|'.join(_WORDS)})(?![-\w])", re.IGNORECASE)
# Algebra goes step by step; "a" and "I" are words.
_UNKNOWN = re.compile(r"(?<![^\W_'’])[B-HJ-Zb-z](?![^\W_])(?<!(?:\d|\s)[xX](?=\s*[$\d.]))|[0-9][a-zA-Z](?![a-zA-Z0-9])")
# A sentence that starts with one of these leans on what stands before it.
_LEANS = re.compile(
    r"\W*(?:so|then|therefore|thus|hence|next|now|finally|lastly|first|firstly|second|secondly|third|also|and|but|or|"
    r"however|instead|again|after|afterwards|before|later|since|because|if|when|once|while|as|this|that|these|those|it|"
    r"its|he|his|him|she|her|hers|they|their|them|there|both|all|each|another|together|altogether|overall|adding|"
    r"in (?:all|addition|turn|short|other words|the end)|"
    r"subtracting|multiplying|dividing|combining|substituting|which|who|where|what|okay|well|yes|no|not|"
    r"otherwise|similarly|likewise|meanwhile|additionally|plus|minus|of|out|with|by|for)\b",
    re.IGNORECASE,
)
_FREE_STARTS = re.compile(r"\W*there (?:is|are|was|were|will)\b", re.IGNORECASE)
_PERSON = re.compile(r"(?:he|she|i|we)\b", re.IGNORECASE)
_LEANS_WITHIN = re.compile(
    r"\b(?:this|that|these|those|it|them|both|remaining|remain|remains|rest|left|other|others|another|total|altogether|"
    r"combined|together|same|above|previous|previously|also|too|more|fewer|less|than|as|half|twice|double|triple|still|"
    r"again|already|after|before|then|so|therefore|thus|average|each of|respectively|overall|next|following|later|"
    r"final|new|since)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Mistake:
    """One changed number: the characters `[start, end)` of the reasoning read `before`, and would read `after`.

    `sentence` counts the sentences of `text.sentence_spans` from 0.
    """

    sentence: int
    start: int
    end: int
    before: str
    after: str


def numbers(text: str) -> list[tuple[int, int]]:
    """Character spans of the numbers in a text: whole or decimal, thousands in commas, without sign and unit.

    Digits within a word ("B12", "2nd") are none; "10:30" and "1/2" are two.
    """
    return [match.span() for match in _NUMBER.finditer(text)]


def mistakes(reasoning: str, rng: random.Random) -> list[Mistake]:
    """One mistake for each sentence that has a number: its last result, else its last number, made another one.

    The result is the number after the sentence's last equals sign. The other number has the same form (digits,
    decimals, commas) where one is to be had, is one to nine apart in the last place or has two digits swapped, and
    never has the same value; a positive one stays positive. Numbers that count steps ("Step 2:") are left alone.
    """
    found = []
    spans = _stated(reasoning)
    starts = [start for start, _ in spans]
    for index, (start, end) in enumerate(sentence_spans(reasoning)):
        within = spans[bisect_left(starts, start) : bisect_left(starts, end)]
        if not within:
            continue
        equals = reasoning.rfind("=", start, end)
        results = [span for span in within if span[0] > equals >= 0]
        at, stop = results[0] if results else within[-1]
        before = reasoning[at:stop]
        found.append(Mistake(index, at, stop, before, _other_number(before, rng)))
    return found


def rewrite_numbers(reasoning: str) -> str | None:
    """The reasoning with its numbers in another format, of the same values in the same order.

    From 1,000 on, thousands get or lose their commas. Where there is no such number, "5 apples" becomes "five apples"
    and the reverse, outside equations; where there are none of these either, equations get or lose the spaces round
    their operators.

    Returns:
        `None` where there is nothing to rewrite.
    """
    values = _values(reasoning)
    for rewrite in (_thousands, _small_numbers, _spaces):
        rewritten = rewrite(reasoning)
        # "1000,2000" would run together: then the next way is tried.
        if rewritten != reasoning and _values(rewritten) == values:
            return rewritten
    return None


def reorder(reasoning: str, rng: random.Random) -> str | None:
    """The reasoning with two neighbouring sentences swapped whose order is free.

    It is free where the later one uses no number that the earlier one produces (the results of its equations, or all
    its numbers if it has none), and neither leans on what stands before it ("then", "this", "he", "the rest"). The
    white space round both stays where it is.

    Returns:
        `None` where there is no such pair; of several, `rng` chooses.
    """
    markers = [match.end() for match in _MARKER.finditer(reasoning)]
    sentences: list[tuple[int, int] | None] = []
    for start, end in sentence_spans(reasoning):
        body = reasoning[start:end]
        start, end = start + len(body) - len(body.lstrip()), end - len(body) + len(body.rstrip())
        counted = bisect_left(markers, start + 1) < bisect_left(markers, end + 1)
        sentences.append((start, end) if not counted else None)
    free = [
        (one, other)
        for one, other in pairwise(sentences)
        if one is not None and other is not None and _swappable(reasoning, one, other)
    ]
    if not free:
        return None
    (a, b), (c, d) = rng.choice(free)
    return reasoning[:a] + reasoning[c:d] + reasoning[b:c] + reasoning[a:b] + reasoning[d:]


def synonyms(reasoning: str, rng: random.Random) -> str | None:
    """The reasoning with words and phrases replaced by others of the same meaning (`synonyms.SYNONYMS`), with their
    capital letters; `rng` chooses where there are several.

    Returns:
        `None` where none occurs.
    """
    found: dict[int, tuple[int, str]] = {}
    taken = [False] * len(reasoning)
    for pattern, others in SYNONYMS:
        for match in pattern.finditer(reasoning):
            start, end = match.span()
            if any(taken[start:end]):
                continue
            taken[start:end] = [True] * (end - start)
            other = rng.choice(others)
            found[start] = (end, other[0].upper() + other[1:] if match.group()[0].isupper() else other)
    if not found:
        return None
    parts, at = [], 0
    for start in sorted(found):
        end, other = found[start]
        parts += [reasoning[at:start], other]
        at = end
    return "".join([*parts, reasoning[at:]])


def connective_share(tokens: Sequence[str]) -> float | None:
    """Share of `CONNECTIVES` among the tokens that are not white space; `None` without any.

    A connective that a tokenizer splits is not seen.
    """
    visible = [token for token in tokens if token_kind(token) != "space"]
    if not visible:
        return None
    return sum(token.strip().strip(".,;:!?'\"()*").lower() in CONNECTIVES for token in visible) / len(visible)


def _stated(reasoning: str) -> list[tuple[int, int]]:
    """The numbers but those that count steps."""
    markers = [match.span() for match in _MARKER.finditer(reasoning)]
    found, at = [], 0
    for start, end in numbers(reasoning):
        while at < len(markers) and markers[at][1] <= start:
            at += 1
        if at == len(markers) or end <= markers[at][0]:
            found.append((start, end))
    return found


def _other_number(before: str, rng: random.Random) -> str:
    digits = before.replace(",", "").replace(".", "")
    value, length = int(digits[-18:]), len(digits)  # of longer ones the end, so that no length is refused
    kept, length = digits[:-18], min(length, 18)
    texts = [str(value + step).zfill(length) for step in range(-9, 10) if step and value + step > 0]
    tail = digits[-18:]
    texts += [tail[:i] + tail[i + 1] + tail[i] + tail[i + 2 :] for i in range(length - 1) if tail[i] != tail[i + 1]]
    whole = len(before.replace(",", "").partition(".")[0]) - len(kept)

    def same_form(text: str) -> bool:
        """As long, and without a leading zero where there was none."""
        leading = whole > 1 and text[0] == "0" != tail[0]
        return len(text) == length and not leading and int(text) not in (0, value)

    good = [text for text in texts if same_form(text)] or [text for text in texts if int(text) not in (0, value)]
    chosen = iter(kept + rng.choice(good))
    shape = "".join(c if c in ",." else next(chosen) for c in before)
    return shape + "".join(chosen)


def _swappable(reasoning: str, one: tuple[int, int], other: tuple[int, int]) -> bool:
    earlier, later = reasoning[slice(*one)], reasoning[slice(*other)]
    if earlier == later or ("\n" not in reasoning[one[1] : other[0]] and not (_ended(earlier) and _ended(later))):
        return False
    people = [match and match.group() for match in (_PERSON.match(earlier), _PERSON.match(later))]
    same_person = people[0] is not None and people[0] == people[1]  # who is meant is said before both
    if (not same_person and (_leans(earlier) or _leans(later))) or _LEANS_WITHIN.search(later):
        return False
    return not _UNKNOWN.search(earlier + "\n" + later) and not _produced(earlier) & _used(later)


def _ended(sentence: str) -> bool:
    return sentence.rstrip("\"')]*").endswith((".", "!", "?"))


def _leans(sentence: str) -> bool:
    return bool(_LEANS.match(sentence)) and not _FREE_STARTS.match(sentence)


def _produced(sentence: str) -> set[Decimal]:
    """The results of a sentence's equations, as percentages and shares too; all its numbers where it has none."""
    parts = sentence.split("=")
    values = [value for part in parts[1:] or parts for value in _values(part)]
    return {value.scaleb(shift) for value in values for shift in (-2, 0, 2)}


def _used(sentence: str) -> set[Decimal]:
    """The numbers of a sentence but the result after its last equals sign."""
    rest, equals, end = sentence.rpartition("=")
    return {*_values(rest), *_values(end)[1 if equals else 0 :]}


def _values(text: str) -> list[Decimal]:
    """The numbers' values in order, those in words up to twelve among them."""
    found = [(start, Decimal(text[start:end].replace(",", ""))) for start, end in numbers(text)]
    found += [(match.start(), Decimal(_WORDS.index(match.group().lower()))) for match in _SPOKEN.finditer(text)]
    return [value for _, value in sorted(found)]


def _thousands(reasoning: str) -> str:
    def other_format(start: int, end: int) -> str:
        text = reasoning[start:end]
        if "," in text:
            return text.replace(",", "")
        whole, point, decimals = text.partition(".")
        year = len(text) == 4 and "1900" <= text < "2100" and _YEAR.search(reasoning, max(0, start - 12), start)
        if len(whole) < 4 or whole[0] == "0" or year:
            return text
        head = len(whole) % 3 or 3
        groups = [whole[:head], *(whole[i : i + 3] for i in range(head, len(whole), 3))]
        return ",".join(groups) + point + decimals

    return _replaced(reasoning, [(start, end, other_format(start, end)) for start, end in numbers(reasoning)])


def _small_numbers(reasoning: str) -> str:
    changes = []
    stated = {start for start, _ in _stated(reasoning)}
    for start, end in sentence_spans(reasoning):
        sentence = reasoning[start:end]
        if _ARITHMETIC.search(sentence):
            continue
        for match in _SMALL.finditer(sentence):
            at, text = start + match.start(), match.group()
            if match["word"]:
                changes.append((at, start + match.end(), str(_WORDS.index(text.lower()))))
            elif at in stated:
                word = _WORDS[int(text)]
                starts = match.start() == len(sentence) - len(sentence.lstrip())
                changes.append((at, start + match.end(), word.capitalize() if starts else word))
    return _replaced(reasoning, changes)


def _spaces(reasoning: str) -> str:
    equations = list(_EQUATION.finditer(reasoning))
    loose = all(" " in equation.group() for equation in equations)
    return _replaced(
        reasoning,
        [(*e.span(), _TIGHT.sub(r"\1" if loose else r" \1 ", e.group())) for e in equations],
    )


def _replaced(text: str, changes: Sequence[tuple[int, int, str]]) -> str:
    parts, at = [], 0
    for start, end, new in changes:
        parts += [text[at:start], new]
        at = end
    return "".join([*parts, text[at:]])
