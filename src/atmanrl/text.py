"""Sentences and kinds of token: the plain-text facts that saliency and composition are grouped by."""

import re
import unicodedata

STOP_WORDS = frozenset(
    (
        "a about above after again all also am an and any are as at be because been before being below between "
        "both but by can could did do does doing done down during each few for from further had has have having he "
        "her here hers him his how i if in into is it its itself just let me more most my no nor not now of off on "
        "once only or other our out over own same she should so some such than that the their them then there "
        "these they this those through to too under until up us very was we were what when where which while who "
        "whom why will with would you your"
    ).split()
)

KINDS = ("stop_word", "number", "symbol", "word", "space")

_ABBREVIATION = re.compile(r"(?:^|\s)(?:Mr|Mrs|Ms|Dr|St|vs|e\.g|i\.e|etc|No)\.$")
_LIST_NUMBER = re.compile(r"\s*\d{1,3}\.$")
_SENTENCE_END = re.compile(r"[.!?]+[\"')\]]*(?=\s|$)|\n+")
_NUMBER = re.compile(r"[+-]?[\d.,]*\d[\d.,]*%?")


def sentence_spans(text: str) -> list[tuple[int, int]]:
    """Split `text` into sentences that together cover it.

    A sentence ends at `.`, `!` or `?` before white space or the end, and at a line break. A decimal point ends none,
    nor do common abbreviations, nor the number of a list's item at the start of a line. Leading white space belongs to
    the sentence that it precedes.

    Returns:
        Half-open character spans in order; they join to `text` with nothing left out. Empty for an empty text.
    """
    spans, start = [], 0
    for match in _SENTENCE_END.finditer(text):
        end = match.end()
        if match.group()[0] == "." and (_ABBREVIATION.search(text[start:end]) or _numbers_an_item(text, start, end)):
            continue
        if text[start:end].strip():
            spans.append((start, end))
            start = end
    if start < len(text):
        if text[start:].strip() or not spans:
            spans.append((start, len(text)))
        else:
            spans[-1] = (spans[-1][0], len(text))
    return spans


def _numbers_an_item(text: str, start: int, end: int) -> bool:
    """Whether `text[start:end]` is a list's number at the start of a line, with more text on the line after it."""
    line_start = start == 0 or text[start - 1] == "\n" or "\n" in text[start : end - len(text[start:end].lstrip())]
    rest = text[end:].split("\n", 1)[0]
    return line_start and bool(_LIST_NUMBER.fullmatch(text[start:end])) and bool(rest.strip())


def token_kind(token: str) -> str:
    """The kind of one token's text: one of `KINDS`.

    A token with a letter is a stop word or a word, by its letters alone; one with a digit a number; one with anything
    else a symbol; white space and empty text are `space`.
    """
    bare = token.strip()
    if not bare:
        return "space"
    if any(c.isalpha() for c in bare):
        return "stop_word" if bare.strip(".,;:!?'\"()").lower() in STOP_WORDS else "word"
    if any(c.isdigit() for c in bare) and _NUMBER.fullmatch(bare.strip("$€£().,;:")):
        return "number"
    return "number" if any(c.isdigit() for c in bare) else "symbol"


def plain_characters(text: str) -> tuple[str, list[int]]:
    """The text in plain characters (full-width and other forms as the character, every script's digits as 0 to 9,
    invisible ones as nothing), and where each of them stood in it."""
    plain = [
        (str(unicodedata.decimal(c)) if c.isdecimal() else c, i)
        for i, one in enumerate(text)
        if unicodedata.category(one) != "Cf"
        for c in unicodedata.normalize("NFKC", one)
    ]
    return "".join(c for c, _ in plain), [i for _, i in plain]
