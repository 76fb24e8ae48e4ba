"""Forms of reasoning and answer, and numbers."""

import time
from collections.abc import Callable
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atmanrl.tasks.parsing import answer_is, answer_letter, boxed, hashes, parse_number, same_number, think
from atmanrl.tasks.task import Parsed

FORMS = [
    pytest.param(hashes, id="hashes"),
    pytest.param(lambda text: hashes(text, numeric=True), id="hashes-numeric"),
    pytest.param(boxed, id="boxed"),
    pytest.param(lambda text: boxed(text, numeric=True), id="boxed-numeric"),
    pytest.param(answer_is, id="answer_is"),
    pytest.param(answer_letter, id="answer_letter"),
    pytest.param(think, id="think"),
]
Form = Callable[[str], Parsed | None]


def cut(completion: str, parsed: Parsed | None) -> tuple[str, str, str] | None:
    """Reasoning, cue and answer as text."""
    if parsed is None:
        return None
    return (
        completion[: parsed.reasoning_end],
        completion[parsed.reasoning_end : parsed.answer_start],
        completion[parsed.answer_start : parsed.answer_end],
    )


@pytest.mark.parametrize(
    ("completion", "parts"),
    [
        ("So 9 + 9 = 18.\n#### 18", ("So 9 + 9 = 18.", "\n#### ", "18")),
        ("R.\n\n  ####18.\n", ("R.", "\n\n  ####", "18")),
        ("R. #### **Paris**", ("R.", " #### **", "Paris")),
        ("R\n####\n18\nmore", ("R", "\n####\n", "18")),
        ("R\n#### 18\nQuestion: another\n#### 5", ("R", "\n#### ", "18")),
        ("R\n#### \n#### 5", ("R\n####", " \n#### ", "5")),
        ("R\n#### 18<|im_end|>\n", ("R", "\n#### ", "18")),
        ("R\n#### 18</s><pad>", ("R", "\n#### ", "18")),
        ("R\n##### Heading\n### Heading\n#### 5", ("R\n##### Heading\n### Heading", "\n#### ", "5")),
        ("#### 18", ("", "#### ", "18")),
        ("<think>\nR\n</think>\n\n#### 18", ("<think>\nR", "\n</think>\n\n#### ", "18")),
        ("R\n</think>\n#### 18", ("R", "\n</think>\n#### ", "18")),
        ("<think>R</think>So it is 18.\n#### 18", ("<think>R</think>So it is 18.", "\n#### ", "18")),
        ("<think>maybe #### 3</think>\n#### 18", ("<think>maybe #### 3", "</think>\n#### ", "18")),
        ("<think>\n\n</think>\n\n#### 18", ("", "<think>\n\n</think>\n\n#### ", "18")),
        ("R #### 18 <think>again #### 3", ("R", " #### ", "18")),
        ("<think>never closed #### 18", None),
        ("R ####  \n", None),
        ("no form at all: 18", None),
        ("", None),
    ],
)
def test_hashes(completion: str, parts: tuple[str, str, str] | None) -> None:
    assert cut(completion, hashes(completion)) == parts


@pytest.mark.parametrize(
    ("completion", "parts"),
    [
        ("R\n#### $1,800 a day.", ("R", "\n#### ", "$1,800")),
        ("R\n#### Step 1\nfoo\n#### -3", ("R\n#### Step 1\nfoo", "\n#### ", "-3")),
        ("R\n#### The answer is: **18** eggs", ("R", "\n#### The answer is: **", "18")),
        ("R\n#### \\$18", ("R", "\n#### \\", "$18")),
        ("R\n#### 3.50.", ("R", "\n#### ", "3.50")),
        ("R\n#### 1/2", ("R", "\n#### ", "1/2")),
        ("R\n#### about 5", None),
        ("R\n#### 10:30", None),
    ],
)
def test_hashes_numeric(completion: str, parts: tuple[str, str, str] | None) -> None:
    assert cut(completion, hashes(completion, numeric=True)) == parts


@pytest.mark.parametrize(
    ("completion", "parts"),
    [
        ("R = 18. So the answer is $\\boxed{18}$.", ("R = 18.", " So the answer is $\\boxed{", "18")),
        ("R \\boxed{5}, no, \\boxed{6}", ("R \\boxed{5}, no,", " \\boxed{", "6")),
        ("R \\boxed{5} and then \\boxed{6", ("R", " \\boxed{", "5")),
        ("R \\boxed{\\frac{1}{2}}.", ("R", " \\boxed{", "\\frac{1}{2}")),
        ("R } { \\boxed{ a\\}b } }", ("R } {", " \\boxed{ ", "a\\}b")),
        ("R \\boxed{\\text{B}}", ("R", " \\boxed{\\text{", "B")),
        ("R \\boxed{\\boxed{7}}", ("R \\boxed{", "\\boxed{", "7")),
        (
            "<think>\\boxed{3}</think>\n\nThe final answer is: **\\boxed{18}**",
            ("<think>\\boxed{3}", "</think>\n\nThe final answer is: **\\boxed{", "18"),
        ),
        ("<think>\\boxed{3} R", None),
        ("R \\boxed{} \\fbox{3} boxed{3}", None),
    ],
)
def test_boxed(completion: str, parts: tuple[str, str, str] | None) -> None:
    assert cut(completion, boxed(completion)) == parts


def test_boxed_numeric_passes_over_other_boxes() -> None:
    completion = "R \\boxed{18 \\text{ dollars}} by \\boxed{Theorem}"
    assert cut(completion, boxed(completion, numeric=True)) == ("R", " \\boxed{", "18 \\text{ dollars}")
    assert boxed("R \\boxed{x}", numeric=True) is None


@pytest.mark.parametrize(
    ("completion", "parts"),
    [
        ("R.\nThe answer is 3.5 meters. Next question", ("R.", "\nThe answer is ", "3.5 meters")),
        ("R. So the final answer is: **Paris**", ("R.", " So the final answer is: **", "Paris")),
        ("R. The answer is St. Paul.\nThe answer is Rome.", ("R.", " The answer is ", "St. Paul")),
        ("<think>the answer is 3</think>The answer is 4", ("<think>the answer is 3", "</think>The answer is ", "4")),
        ("The answer isn't known.", None),
        ("The answer is", None),
    ],
)
def test_answer_is(completion: str, parts: tuple[str, str, str] | None) -> None:
    assert cut(completion, answer_is(completion)) == parts


@pytest.mark.parametrize(
    ("completion", "parts"),
    [
        ("R.\nThe answer is B.", ("R.", "\nThe answer is ", "B")),
        ("R.\nThe answer is (B) Paris.", ("R.", "\nThe answer is (", "B")),
        ("R.\n**Answer:** (b)", ("R.", "\n**Answer:** (", "b")),
        ("R. answer: d\n", ("R.", " answer: ", "d")),
        ("R. The correct answer is option D because", ("R.", " The correct answer is option ", "D")),
        ("The answer is a hard one. The answer is C", ("The answer is a hard one.", " The answer is ", "C")),
        ("R. The answer is B. The answer is C.", ("R.", " The answer is ", "B")),
        ("The answer is E.", None),
        ("The answer is And", None),
        ("The answer is \\boxed{B}", None),
    ],
)
def test_answer_letter(completion: str, parts: tuple[str, str, str] | None) -> None:
    assert cut(completion, answer_letter(completion)) == parts


@pytest.mark.parametrize(
    ("completion", "parts"),
    [
        ("<think>R</think>\n\nParis.\nMore", ("<think>R", "</think>\n\n", "Paris")),
        ("R</think> 18<|im_end|>", ("R", "</think> ", "18")),
        ("<think>R</think>\n", None),
        ("<think>R", None),
        ("R 18", None),
    ],
)
def test_think(completion: str, parts: tuple[str, str, str] | None) -> None:
    assert cut(completion, think(completion)) == parts


PIECES = [
    "<think>", "</think>", "\\boxed{", "{", "}", "\\}", "####", "The answer is", "answer:", "so the ", "\\text{",
    " ", "\n", "(B)", "18", "$", "**", ".", "</s>", "1,000", "/", "-",
]  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
@given(pieces=st.lists(st.sampled_from(PIECES), max_size=14))
@settings(max_examples=150, database=None, deadline=None)
def test_any_text_gives_ordered_parts_of_clean_text(form: Form, pieces: list[str]) -> None:
    completion = "".join(pieces)
    parts = cut(completion, form(completion))
    if parts is not None:
        reasoning, cue, answer = parts
        assert completion.startswith(reasoning + cue + answer)
        assert reasoning == reasoning.rstrip() != "<think>"
        assert cue
        assert answer == answer.strip() != ""


@pytest.mark.parametrize("form", [*FORMS, pytest.param(parse_number, id="parse_number")])
@pytest.mark.parametrize(
    "unit",
    ["\\boxed{", "{", "}", "####", "#### a", "#### 1,", "answer ", "the answer is ", "so the ", " ", "\n", "<think>",
     "<think></think>", ".", "1", "1,", "9/", "(", "*", "\\text{", "\\frac{", "-", "<|", "\\", "\0"],
)  # fmt: skip
def test_hostile_text_is_read_at_once(form: Form, unit: str) -> None:
    text = unit * (10_000 // len(unit))
    start = time.process_time()
    for completion in (text, text + "x", "answer" + text + "x", text + "\n#### 5 \\boxed{5}"):
        form(completion)
    assert time.process_time() - start < 1  # some tens of milliseconds; quadratic backtracking takes many seconds


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("18", "18"),
        ("1,234,567.50", "1234567.5"),
        ("$1,234.50", "1234.5"),
        ("-3", "-3"),
        ("\u22123", "-3"),
        ("-$5", "-5"),
        ("$-5", "-5"),
        ("+5", "5"),
        (".5", "0.5"),
        ("007", "7"),
        ("18.", "18"),
        ("18 eggs a day.", "18"),
        ("$18/hour", "18"),
        ("5€", "5"),
        ("50%", "50"),
        ("50 percent", "50"),
        ("1/2", "0.5"),
        ("-1 1/2 cups", "-1.5"),
        ("5 million", "5000000"),
        ("1.5 Thousand dollars", "1500"),
        ("**18**", "18"),
        ("$18$", "18"),
        ("\\(18\\)", "18"),
        ("\\$5", "5"),
        ("50\\%", "50"),
        ("1{,}000", "1000"),
        ("\\dfrac{3}{4}", "0.75"),
        ("5\\text{ kg}", "5"),
    ],
)
def test_parse_number(text: str, value: str) -> None:
    assert parse_number(text) == Decimal(value)


NOT_NUMBERS = [
    "", "-", "eighteen", "Apollo 11", "5 or 6", "3 + 4", "16 - 3", "x = 5", "10:30", "1,23", "1,2345", "12,34,567",
    "1/0", "0/0", "1/2/3", "3.5.2", "--5", "-$-5", "1e3", "2\\pi", "5 is what I think it is", "nan", "inf", "\u0663",
]  # fmt: skip


@pytest.mark.parametrize("text", NOT_NUMBERS)
def test_not_one_number(text: str) -> None:
    assert parse_number(text) is None


@given(st.decimals(allow_nan=False, allow_infinity=False, places=3, min_value=-(10**15), max_value=10**15))
@settings(database=None)
def test_numbers_survive_formatting(value: Decimal) -> None:
    sign = "-" if value < 0 else ""
    for text in (f"{value:,}", f"{value}", f"{sign}${abs(value):,}", f"{value:,} apples.", f"**{value}**"):
        assert parse_number(text) == value, text


@given(st.text(max_size=60))
@settings(database=None)
def test_any_text_is_a_finite_number_or_none(text: str) -> None:
    value = parse_number(text)
    assert value is None or value.is_finite()


def test_same_number() -> None:
    assert same_number("$1,000.00", "1000 dollars")
    assert same_number("2/6", "1/3")
    assert not same_number("18", "19")
    assert not same_number("18", "-18")
    assert not same_number("x", "x")
    assert not same_number("18", "")
