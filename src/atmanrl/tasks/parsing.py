r"""The forms in which models write reasoning and answer, and the numbers in them.

`hashes` (`#### X`), `boxed` (`\boxed{X}`), `answer_is` and `answer_letter` (`The answer is X`) and `think`
(`<think>R</think>X`) each take a completion and return its parts, or `None` when it does not hold that form. What they
have in common:

- The reasoning starts at character 0, so a leading `<think>\n` belongs to it. It ends before the white space that
  precedes the answer's form; a `</think>` with nothing but white space after it, and the announcement of a box ("The
  answer is"), belong to the cue. Text written between `</think>` and the form is reasoning: an answer may rest on it,
  and a cue that states the result would hide that. Reasoning that is nothing but `<think>` is empty.
- An answer inside a `<think>` block, closed or not, is not yet an answer.
- The answer goes without white space, asterisks and a full stop around it, and stops before special tokens.
- Hostile text (unbalanced braces, 10,000 times the same character) costs tens of milliseconds.
"""

import re
from decimal import Decimal

from ..text import sentence_spans
from .task import Parsed

LONGEST_SENTENCE = 500
"""Characters after "The answer is" in which the end of the sentence is looked for."""

_SCALES = {"hundred": 2, "thousand": 3, "million": 6, "billion": 9, "trillion": 12}
_MINUS = "\u2212\u2013-"  # the plain one last: inside [...] it must not make a range
_NUMBER = re.compile(
    rf"""
    (?P<sign>[+{_MINUS}]?)[ ]?[$€£¥₹]?[ ]?(?P<inner>[+{_MINUS}]?)
    (?P<number>(?:[0-9]{{1,3}}(?:,[0-9]{{3}})++|[0-9]++)(?:\.[0-9]++)?+|\.[0-9]++)
    (?:(?:[ ](?P<over>[0-9]++))?[ ]?/[ ]?(?P<under>[0-9]++))?
    (?![,.:/]?[0-9])
    (?:[ ]?(?P<scale>{"|".join(_SCALES)})\b)?
    """,
    re.VERBOSE | re.IGNORECASE,
)
# What may follow the number: signs and a few words of a unit, never another number or an equation.
_UNIT = re.compile(r"[^0-9=+*<>\n,;\\]{0,60}")
_LATEX = (
    (re.compile(r"\\[dt]?frac\{([^{}]*)\}\{([^{}]*)\}"), r"\1/\2"),
    (re.compile(r"\\(?:text|textbf|mathrm|mathbf)\{([^{}]*)\}"), r"\1"),
    (re.compile(r"\{,\}"), ","),
    (re.compile(r"\\([$%])"), r"\1"),
    (re.compile(r"\\[,!; ]|\\[()\[\]]"), ""),
)

_ANSWER = r"(?:\b(?:so|thus|therefore|hence)\b,?\s++)?(?:\bthe\s++)?(?:\b(?:final|correct|best)\s++)?\banswer\b"
_ANNOUNCED = _ANSWER + r"(?:\s++is\b)?"
_ANSWER_IS = re.compile(_ANSWER + r"\s++is\b[\s:*]*+", re.IGNORECASE)
_ANSWER_LETTER = re.compile(
    _ANNOUNCED + r"[\s:=*]*+(?:(?:option|choice)\s*+)?+[(\[*\"'$]*+"
    # A lower-case letter may be a word ("a"): only in brackets, or alone at the end of its line.
    r"(?P<letter>(?-i:[A-D])(?![\w'])|[a-d](?=[)\]]|[.*]*+[ \t]*+(?:\n|\Z)))",
    re.IGNORECASE,
)
_ANNOUNCED_BEFORE = re.compile(_ANNOUNCED + r"\s*+:?\Z", re.IGNORECASE)
_ANNOUNCED_AFTER = re.compile(rf"[\s*_`(\[\\]*+(?:{_ANNOUNCED}[\s:*\\]*+)?+", re.IGNORECASE)
_HASHES = re.compile(r"(?<!#)####(?!#)")
_BRACES = re.compile(r"\\boxed ?\{|\\[{}]|[{}]")
_WRAPPER = re.compile(r"\\(?:text|textbf|mathrm|mathbf)\{([^{}]*)\}")
_OPENERS = re.compile(r"(?:\s|\*|\$|\\\[|\\\()\Z")
_THINKING = re.compile(r"<think>.*?(?:</think>|\Z)", re.DOTALL)
_STOP = re.compile(r"\n|\0|<\|[^|>\n]{1,40}\|>|</?s>|<(?:eos|pad|end_of_turn)>")
_EDGE = " \t\r\n*"


def hashes(completion: str, numeric: bool = False) -> Parsed | None:
    """The first `#### X`, as in GSM8K: what a model goes on to write after its answer is not its answer.

    X is the rest of the line, or the next line with text in it. A heading of more or fewer `#` does not count.

    Args:
        numeric: the answer is the number that X starts with, sign and currency included ("#### $18 a day" gives "$18");
            occurrences without one ("#### Step 1") are passed over.
    """
    text = _outside_thinking(completion)
    for match in _HASHES.finditer(text):
        start = _skip_space(text, match.end())
        if text.startswith("####", start):
            continue
        span = _trim(text, start, _stop(text, start))
        if numeric and span:
            span = _leading_number(text, *span)
        if span:
            return Parsed(_reasoning_end(completion, match.start()), *span)
    return None


def boxed(completion: str, numeric: bool = False) -> Parsed | None:
    r"""The last `\boxed{X}` with balanced braces and something in it; of nested boxes, the innermost.

    The cue runs through the brace, with the announcement before it, if any ("So the answer is $"). A `\text{X}` that
    fills the box is opened as well.

    Args:
        numeric: boxes that do not hold a number are passed over.
    """
    text = _outside_thinking(completion)
    opened: list[tuple[int, int] | None] = []  # where each open box and its content start; None for another brace
    boxes: list[tuple[int, int, int]] = []
    for match in _BRACES.finditer(text):
        if match.group().startswith(r"\boxed"):
            opened.append((match.start(), match.end()))
        elif match.group() == "{":
            opened.append(None)
        elif match.group() == "}" and opened and (box := opened.pop()):
            boxes.append((*box, match.start()))
    for at, start, end in sorted(boxes, reverse=True):
        span = _trim(text, start, end)
        if span and (wrapped := _WRAPPER.fullmatch(text, *span)):
            span = _trim(text, *wrapped.span(1))
        if numeric and span:
            span = span if parse_number(text[slice(*span)]) is not None else None
        if span:
            return Parsed(_reasoning_end(completion, at, announced=True), *span)
    return None


def answer_is(completion: str) -> Parsed | None:
    """The first "The answer is X": X to the end of its sentence or line. "So the final answer is: X" counts too."""
    text = _outside_thinking(completion)
    for match in _ANSWER_IS.finditer(text):
        line = text[match.end() : min(_stop(text, match.end()), match.end() + LONGEST_SENTENCE)]
        sentences = sentence_spans(line)
        span = _trim(text, match.end(), match.end() + sentences[0][1]) if sentences else None
        if span:
            return Parsed(_reasoning_end(completion, match.start(), announced=True), *span)
    return None


def answer_letter(completion: str) -> Parsed | None:
    """The first "The answer is (B)" or "answer: B": the letter, A to D, is the answer, without its brackets."""
    match = _ANSWER_LETTER.search(_outside_thinking(completion))
    if match is None:
        return None
    return Parsed(_reasoning_end(completion, match.start(), announced=True), *match.span("letter"))


def think(completion: str) -> Parsed | None:
    """`<think>R</think>X`: X is the first line with text in it after the first closed block.

    The opening tag may stand in the prompt (some chat templates write it), so the closing tag alone is enough.
    """
    closed = completion.find("</think>")
    if closed < 0:
        return None
    start = _skip_space(completion, closed + len("</think>"))
    span = _trim(completion, start, _stop(completion, start))
    return Parsed(_reasoning_end(completion, start), *span) if span else None


def parse_number(text: str) -> Decimal | None:
    r"""The value of a text that is one number, perhaps with signs and a unit: "$1,234.50", "-3", "18 eggs a day.".

    Understood: thousands in commas, decimals, minus signs (also before or after a currency sign), fractions ("1/2",
    "1 1/2"), "5 million", a unit of up to four words after the number, LaTeX as in boxes (`\frac{1}{2}`, `\$5`,
    `1{,}000`, `5\text{ kg}`), brackets, asterisks or a full stop around it all. A percent sign is a unit: "50%" is 50.

    Returns:
        `None` for text with another number or words before it ("5 or 6", "Apollo 11", "3 + 4", "10:30", "1,23"), and
        for a fraction over zero. Fractions and "5 million" are rounded to 28 digits, everything else is exact.
    """
    for pattern, plain in _LATEX:
        text = pattern.sub(plain, text)
    text = text.strip(" \t\r\n\u00a0*_`\"'()[]")
    match = _NUMBER.match(text)
    if match is None or (match["sign"] and match["inner"]):
        return None
    unit = text[match.end() :]
    if not _UNIT.fullmatch(unit) or len(unit.split()) > 4:
        return None
    sign = match["sign"] or match["inner"]
    negative = "-" if sign and sign in _MINUS else ""
    value = Decimal(negative + match["number"].replace(",", ""))
    if match["under"]:
        under = Decimal(match["under"])
        if not under:
            return None
        value = value + Decimal(negative + match["over"]) / under if match["over"] else value / under
    return value.scaleb(_SCALES[match["scale"].lower()]) if match["scale"] else value


def same_number(a: str, b: str) -> bool:
    """Whether both texts are numbers (`parse_number`) of the same value; units are not compared."""
    left, right = parse_number(a), parse_number(b)
    return left is not None and left == right


def _outside_thinking(completion: str) -> str:
    """The completion with every thinking block overwritten by NULs, so that positions stay."""
    closed, opened = completion.find("</think>"), completion.find("<think>")
    if closed >= 0 and not 0 <= opened < closed:
        closed += len("</think>")
        completion = "\0" * closed + completion[closed:]
    return _THINKING.sub(lambda match: "\0" * len(match.group()), completion)


def _reasoning_end(completion: str, at: int, announced: bool = False) -> int:
    """Where the reasoning ends when the answer's form starts at `at`; see the module's docstring."""
    end = len(completion[:at].rstrip())
    if announced:
        end = _skip_openers(completion, end)
        if match := _ANNOUNCED_BEFORE.search(completion, max(0, end - 80), end):
            end = _skip_openers(completion, match.start())
    if completion.endswith("</think>", 0, end):
        end = len(completion[: end - len("</think>")].rstrip())
    return 0 if completion[:end].strip() == "<think>" else end


def _skip_openers(text: str, end: int) -> int:
    while match := _OPENERS.search(text, max(0, end - 2), end):
        end = match.start()
    return end


def _skip_space(text: str, start: int) -> int:
    while start < len(text) and text[start].isspace():
        start += 1
    return start


def _stop(text: str, start: int) -> int:
    match = _STOP.search(text, start)
    return match.start() if match else len(text)


def _trim(text: str, start: int, end: int) -> tuple[int, int] | None:
    """The span without what does not belong to an answer around it; `None` when nothing is left."""
    part = text[start:end]
    start += len(part) - len(part.lstrip(_EDGE))
    end = start + len(text[start:end].rstrip(_EDGE + "."))
    return (start, end) if end > start else None


def _leading_number(text: str, start: int, end: int) -> tuple[int, int] | None:
    """The number that a span starts with, after brackets, asterisks or "The answer is:", if any."""
    lead = _ANNOUNCED_AFTER.match(text, start, end)
    number = _NUMBER.match(text, lead.end() if lead else start, end)
    return number.span() if number else None
