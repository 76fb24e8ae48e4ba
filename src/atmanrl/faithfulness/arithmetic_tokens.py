"""Numbers, operators and brackets in running text, with percent signs, scales and units worked out."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction

_SCALES = {"hundred": 100, "thousand": 1000, "million": 10**6, "billion": 10**9, "trillion": 10**12}
_LATEX = (
    (re.compile(r"\\left(?![a-z])|\\right(?![a-z])|\\[,!;: \[\]()]|\\(?:quad|displaystyle)(?![a-z])"), " "),
    (re.compile(r"\{,\}"), ","),
    (re.compile(r"\\([$%])"), r"\1"),
    (re.compile(r"\\(?:text|textbf|mathrm|mathbf|boxed)\{([^{}]{0,80})\}"), r" \1 "),
    (re.compile(r"\\[dt]?frac\{([^{}]{1,80})\}\{([^{}]{1,80})\}"), r"((\1)/(\2))"),
    (re.compile(r"\\(?:times|cdot)(?![a-z])"), "*"),
    (re.compile(r"\\div(?![a-z])"), "/"),
)
_AHEAD = r"(?=\s*+[$€£(]*+\s?[0-9.])"
_TOKEN = re.compile(
    rf"""
    (?P<mixed>(?<![0-9.,])[0-9]{{1,9}}[ ][0-9]{{1,9}}/[0-9]{{1,9}}(?![0-9.,]*[0-9]))
    | (?P<number>(?:[0-9]{{1,3}}(?:,[0-9]{{3}})++(?![0-9])|[0-9]++)(?:\.[0-9]++)?+|\.[0-9]++)
    | (?P<bullet>(?:(?<=\n)|\A)[ \t]*+[-*+•][ \t]++)
    | (?P<bold>\*\*++|__++)
    | (?P<equals>(?<![=<>!])=(?![=>]))
    | (?P<operator>[-−–+*×·/÷]
        | \b(?:times|plus|minus|divided\ by|multiplied\ by|of(?:\ the)?)\b{_AHEAD}
        | (?<![^\W\d_])[xX]{_AHEAD})
    | (?P<open>[(\[])
    | (?P<close>[)\]])
    | (?P<percent>%|percent\b)
    | (?P<scale>\b(?:{"|".join(_SCALES)})\b)
    | (?P<word>[^\W\d_](?:[^\W\d_]|['’](?=[^\W\d_]))++)
    | (?P<space>\s++)
    | (?P<currency>[$€£¥₹])
    | (?P<other>.)
    """,
    re.VERBOSE | re.IGNORECASE | re.DOTALL,
)
_OPERATORS = {
    "−": "-", "–": "-", "×": "*", "·": "*", "x": "*", "÷": "/", "times": "*", "plus": "+", "minus": "-",
    "divided by": "/", "multiplied by": "*", "of": "*", "of the": "*",
}  # fmt: skip
_MOST_UNIT_WORDS = 5
_LONGEST_NUMBER = 30  # digits; also keeps int() below the length that Python refuses


@dataclass(frozen=True)
class Token:
    """`kind` is one of number, operator, open, close, equals, function, or break for all else; `glued` means that no
    white space stands before it, `unit` that words do after it; `times` is the worth of a percent sign or "million"
    after it."""

    kind: str
    text: str = ""
    glued: bool = False
    value: Fraction = Fraction(0)
    decimals: int = 0
    times: Fraction = Fraction(1)
    unit: bool = False


def read_tokens(text: str) -> list[Token]:
    """The text as tokens, with units, currency signs and bold type taken out."""
    for pattern, plain in _LATEX:
        text = pattern.sub(plain, text)
    found = list(_raw_tokens(text))
    tokens: list[Token] = []
    at = 0
    while at < len(found):
        token = found[at]
        if tokens and tokens[-1].kind in ("number", "close"):
            after = _skip_unit(found, at)
            if after > at and after < len(found) and found[after].kind in ("operator", "equals", "close"):
                tokens[-1] = replace(tokens[-1], unit=True)
                at = after
                continue
        if token.kind == "word" and at + 1 < len(found) and found[at + 1].kind == "open" and found[at + 1].glued:
            token = Token("function")
        tokens.append(Token("break", token.text, token.glued) if token.kind == "word" else token)
        at += 1
    return tokens


def _skip_unit(found: list[Token], at: int) -> int:
    """Where the words of a unit end that start at `at`; `at` itself where there is no unit."""
    start, words = at, 0
    while at < len(found) and words <= _MOST_UNIT_WORDS:
        token = found[at]
        following = found[at + 1] if at + 1 < len(found) else None
        if token.kind == "word":
            at, words = at + 1, words + 1
        elif token.kind == "operator" and token.text in "/-" and following is not None and following.kind == "word":
            at, words = at + 2, words + 1
        elif token.kind == "open" and not token.glued and following is not None and following.kind == "word":
            end = at + 1
            while end < len(found) and found[end].kind == "word" and end - at <= _MOST_UNIT_WORDS:
                end += 1
            if end == len(found) or found[end].kind != "close":
                break
            at, words = end + 1, words + 1
        else:
            break
    return at if 0 < words <= _MOST_UNIT_WORDS else start


def _raw_tokens(text: str) -> Iterator[Token]:
    """Tokens with words still among them; percent signs, scales and fractions after a number are taken into it."""
    earlier: Token | None = None
    last: Token | None = None
    glued = False
    for match in _TOKEN.finditer(text):
        kind, part = str(match.lastgroup), match.group()
        if kind in ("space", "bullet", "bold", "currency"):
            # A power is no decoration.
            if (
                kind == "bold"
                and last is not None
                and last.kind in ("number", "close")
                and _digit_at(text, match.end())
            ):
                kind = "other"
            else:
                glued = glued and kind != "space"
                continue
        if kind == "operator" and part[0].isalpha() and not _operates(part.lower(), earlier, last):
            kind = "word" if len(part) > 1 else "other"
        token = _token(kind, part, glued)
        glued = True
        if last is not None and last.kind == "number" and kind in ("percent", "scale"):
            last = _scaled(last, part.lower())
            continue
        if last is not None:
            yield last
        earlier, last = last, token
    if last is not None:
        yield last


def _operates(word: str, earlier: Token | None, last: Token | None) -> bool:
    """Whether a word that may be an operator is one after these two tokens."""
    if last is None:
        return False
    if word == "x":
        return last.kind in ("number", "close", "word")
    if word.startswith("of"):  # "20% of 50" and "1/4 of 20", but not "a total of 5" or "12 of the 50"
        fraction = earlier is not None and earlier.text == "/"
        return last.kind == "close" or (last.kind == "number" and (last.times < 1 or fraction or "/" in last.text))
    return last.kind in ("number", "close")


def _digit_at(text: str, at: int) -> bool:
    return text[at : at + 2].strip()[:1].isdigit()


def _token(kind: str, part: str, glued: bool) -> Token:
    if kind == "number" and len(part) <= _LONGEST_NUMBER:
        return Token(kind, part, glued, Fraction(part.replace(",", "")), len(part.partition(".")[2]))
    if kind == "mixed":
        whole, _, fraction = part.partition(" ")
        above, _, below = fraction.partition("/")
        if int(below):
            return Token("number", part, glued, int(whole) + Fraction(int(above), int(below)), 2)
    if kind == "operator":
        return Token(kind, _OPERATORS.get(part.lower(), part), glued)
    if kind in ("open", "close", "equals", "word"):
        return Token(kind, part, glued)
    return Token("break", part, glued)


def _scaled(token: Token, by: str) -> Token:
    return replace(token, times=token.times * _SCALES.get(by, Fraction(1, 100)))
