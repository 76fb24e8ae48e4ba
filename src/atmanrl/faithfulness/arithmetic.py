r"""Arithmetic stated in reasoning: which equations there are, and whether they hold.

An equation is an equals sign with an arithmetic expression on at least one side and a number or an expression on the
other; in a chain "a + b = c = d" each equals sign is one, if it has an operator beside it. Read are `+ - * x × · / ÷`,
brackets, "times", "divided by" and the like between numbers, "20% of 50", mixed numbers ("1 1/2"), decimals, thousands
in commas, currency signs, units after numbers ("5 apples + 3 apples = 8 apples", "$12/hour"), "5 million", and the
LaTeX of all that (`\times`, `\frac{1}{2}`, `\text{ kg}`). Left out, not counted as false: equations with unknowns,
powers, functions, or words for quantities ("price + 5 = 8").
"""

from dataclasses import dataclass
from fractions import Fraction

from .arithmetic_tokens import Token, read_tokens

LONGEST = 200
"""Tokens of a side; a longer one is not counted."""

DEEPEST = 20
"""Brackets within brackets; what nests deeper is not counted."""


@dataclass(frozen=True)
class _Side:
    """One side of an equation, with percent signs and "million" worked in and as mere units (the same where it has
    none): its values, `None` for a division by zero, and the decimals of the number if it is one alone."""

    values: tuple[Fraction | None, Fraction | None]
    decimals: tuple[int, int] | None


def true_arithmetic(reasoning: str) -> tuple[int, int]:
    """Count the equations in a text that hold, and all.

    A stated number is true if the other side, rounded half up to its decimals, equals it: "10 / 3 = 3.33" and
    "10 / 3 = 3" hold, "10 / 3 = 3.4" does not. Two expressions must be equal. Percent signs
    and words such as "million" are worked in or read as mere units, whichever makes the equation true. Division by
    zero is false.

    Returns:
        (true, all) equations; (0, 0) for a text without any. No text raises, or takes longer than in proportion to its
        length.
    """
    tokens = read_tokens(reasoning)
    true = count = 0
    for at, token in enumerate(tokens):
        if token.kind != "equals":
            continue
        left, right = _before(tokens, at), _after(tokens, at)
        if left is None or right is None or (left.decimals is not None and right.decimals is not None):
            continue
        count += 1
        true += any(
            _holds(
                left.values[reading],
                left.decimals and left.decimals[reading],
                right.values[reading],
                right.decimals and right.decimals[reading],
            )
            for reading in (0, 1)
        )
    return true, count


def _holds(a: Fraction | None, a_decimals: int | None, b: Fraction | None, b_decimals: int | None) -> bool:
    if a is None or b is None:
        return False
    if a == b:
        return True
    if b_decimals is not None:
        return _rounded(a, b_decimals) == b
    return a_decimals is not None and _rounded(b, a_decimals) == a


def _rounded(value: Fraction, decimals: int) -> Fraction:
    """Half away from zero."""
    scale: int = 10**decimals
    size = (2 * abs(value) * scale + 1) // 2
    return Fraction(size if value >= 0 else -size, scale)


def _fits(one: Token, other: Token) -> bool:
    """Whether two neighbours can belong to one expression."""
    if one.kind == "operator":
        return other.kind in ("number", "open") or (other.kind == "operator" and other.text == "-")
    if one.kind == "open":
        return other.kind in ("number", "open") or (other.kind == "operator" and other.text == "-")
    if one.kind == "number":
        return other.kind in ("operator", "close") or (other.kind == "open" and other.glued)
    if one.kind == "close":
        return other.kind in ("operator", "close") or (other.kind == "open" and other.glued)
    return False


def _before(tokens: list[Token], at: int) -> _Side | None:
    """The longest expression that ends before the equals sign; `None` for none, or for a part of something else."""
    start, depth = at, 0
    while start > 0 and at - start <= LONGEST:
        token = tokens[start - 1]
        if start == at:
            if token.kind not in ("number", "close"):
                return None
        elif not _fits(token, tokens[start]):
            break
        if token.kind == "open" and depth == 0:
            break
        depth += (token.kind == "close") - (token.kind == "open")
        start -= 1
    if start == at or depth or at - start > LONGEST:
        return None
    before = tokens[start - 1] if start else None
    if before is not None and (
        before.kind in ("operator", "function", "close")
        or before.text in ("^", "**")
        or (_is_letter(before) and tokens[start].glued)
    ):
        return None
    if at - start == 1 and tokens[start].unit:
        return None  # words that end in a number are named, not computed: "the first 8 batches = 5 * 8 = 40"
    first = tokens[start]
    if first.kind == "operator" and (first.text != "-" or (before is not None and before.kind != "equals")):
        return None  # the end of an equation in words: "price + 5"
    return _side(tokens[start:at])


def _after(tokens: list[Token], at: int) -> _Side | None:
    """The longest expression that starts after the equals sign; `None` for none, or for a part of something else."""
    end, depth = at + 1, 0
    good = end  # where an expression may end: after a number or bracket, all brackets closed
    while end < len(tokens) and end - at <= LONGEST:
        token = tokens[end]
        if end > at + 1 and not _fits(tokens[end - 1], token):
            break
        if end == at + 1 and not (token.kind in ("number", "open") or (token.kind, token.text) == ("operator", "-")):
            return None
        if token.kind == "close" and depth == 0:
            break
        depth += (token.kind == "open") - (token.kind == "close")
        end += 1
        if depth == 0 and token.kind in ("number", "close"):
            good = end
    if good == at + 1 or end - at > LONGEST:
        return None
    following = tokens[good] if good < len(tokens) else None
    if following is not None:
        beyond = tokens[good + 1] if good + 1 < len(tokens) else None
        if following.text in ("^", "**") or (_is_letter(following) and following.glued):
            return None
        if (
            following.kind == "operator"
            and beyond is not None
            and not (beyond.kind == "break" and len(beyond.text) > 1)
        ):
            return None  # an unknown, or a function; a dash before a word is only a dash
    return _side(tokens[at + 1 : good])


def _is_letter(token: Token) -> bool:
    """Whether the token is a letter by itself, which is an unknown; also a backslash or a brace, which start LaTeX."""
    return token.kind == "break" and (token.text.isalpha() or token.text in ("\\", "{", "}", "√"))


def _side(tokens: list[Token]) -> _Side | None:
    """What an expression comes to; `None` where it is none after all."""
    values: list[Fraction | None] = []
    for scaled in (True, False):
        try:
            values.append(_Parser(tokens, scaled).value())
        except ZeroDivisionError:
            values.append(None)
        except ValueError:
            return None
    numbers = [token for token in tokens if token.kind == "number"]
    decimals = None
    if len(numbers) == 1 and not any(token.kind == "operator" for token in tokens[1:]):
        stated = numbers[0].decimals
        # "66.7%" is stated to the thousandth, "3.3 million" to the hundred thousand, which is read as to the unit.
        decimals = (stated + 2 if numbers[0].times < 1 else stated if numbers[0].times == 1 else 0, stated)
    return _Side((values[0], values[1]), decimals)


class _Parser:
    """Recursive descent over sums, products and factors."""

    def __init__(self, tokens: list[Token], scaled: bool) -> None:
        self.tokens, self.scaled, self.at, self.depth = tokens, scaled, 0, 0

    def value(self) -> Fraction:
        """Raises ValueError where the tokens are no expression, ZeroDivisionError where it has no value."""
        value = self._sum()
        if self.at < len(self.tokens):
            raise ValueError
        return value

    def _sum(self) -> Fraction:
        value = self._product()
        while (operator := self._operator("+-")) is not None:
            other = self._product()
            value = value + other if operator == "+" else value - other
        return value

    def _product(self) -> Fraction:
        value = self._factor()
        while True:
            operator = self._operator("*/")
            if operator is None and not (self.at < len(self.tokens) and self.tokens[self.at].kind == "open"):
                return value
            other = self._factor()
            value = value / other if operator == "/" else value * other

    def _factor(self) -> Fraction:
        if self._operator("-"):
            return -self._factor()
        if self.at >= len(self.tokens):
            raise ValueError
        token = self.tokens[self.at]
        self.at += 1
        if token.kind == "number":
            return token.value * token.times if self.scaled else token.value
        if token.kind != "open" or self.depth == DEEPEST:
            raise ValueError
        self.depth += 1
        value = self._sum()
        self.depth -= 1
        if self.at >= len(self.tokens) or self.tokens[self.at].kind != "close":
            raise ValueError
        self.at += 1
        return value

    def _operator(self, among: str) -> str | None:
        if self.at < len(self.tokens):
            token = self.tokens[self.at]
            if token.kind == "operator" and token.text in among:
                self.at += 1
                return token.text
        return None
