"""Edits of reasoning: mistakes are mistakes, and rewritings keep what is said."""

import random
import re
import time
from collections import Counter
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atmanrl.faithfulness.arithmetic import true_arithmetic
from atmanrl.faithfulness.edits import (
    CONNECTIVES,
    connective_share,
    mistakes,
    numbers,
    reorder,
    rewrite_numbers,
    synonyms,
)
from atmanrl.tasks import GSM8K
from atmanrl.tasks.chains import FILLERS, Chains, wordy_reasoning
from atmanrl.text import sentence_spans

WORDS = "zero one two three four five six seven eight nine ten eleven twelve".split()
REASONING = st.lists(
    st.sampled_from(
        ["12 + 3 = 15.", "Sam has 1,250.5 coins.", "So 4*5=20 apples", "\n", " ", "No number here.", "Step 2: ", "1. ",
         "He pays $.50", "100 - 1 = 99!", "seven days", "5 apples cost $1000.", "x = 3", "007", "The red ones are 0"]
    ),
    max_size=10,
).map(" ".join)  # fmt: skip


def texts(text: str) -> list[str]:
    return [text[a:b] for a, b in numbers(text)]


def values(text: str) -> list[Decimal]:
    """Every number in a text, spelled ones too, in order."""
    text = re.sub(rf"\b({'|'.join(WORDS)})\b", lambda m: str(WORDS.index(m.group().lower())), text, flags=re.IGNORECASE)
    return [Decimal(part.replace(",", "")) for part in texts(text)]


@pytest.fixture(scope="module")
def solutions(data_dir: Path) -> list[str]:
    return [e.reasoning or "" for e in random.Random(1).sample(GSM8K(data=str(data_dir)).examples("train"), 300)]


@pytest.fixture(scope="module")
def stories() -> list[str]:
    rng = random.Random(0)
    return [wordy_reasoning(example, rng) for example in Chains().examples("dev", 100)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Sam has 14 coins.", ["14"]),
        ("$1,234.50 and 1,23", ["1,234.50", "1", "23"]),
        ("5+3=8, 2x3 = 6", ["5", "3", "8", "2", "3", "6"]),
        ("-.5 or 10% of 1/2", [".5", "10", "1", "2"]),
        ("the 2nd B12 at 10:30", ["10", "30"]),
        ("none", []),
    ],
)
def test_numbers(text: str, expected: list[str]) -> None:
    assert texts(text) == expected


@given(REASONING, st.integers(0, 99))
@settings(database=None, deadline=None)
def test_a_mistake_is_another_number_of_the_same_form(text: str, seed: int) -> None:
    spans = sentence_spans(text)
    found = mistakes(text, random.Random(seed))
    assert found == mistakes(text, random.Random(seed))
    assert [m.sentence for m in found] == sorted({m.sentence for m in found})
    for m in found:
        start, end = spans[m.sentence]
        assert start <= m.start < m.end <= end
        assert text[m.start : m.end] == m.before
        one, other = Decimal(m.before.replace(",", "")), Decimal(m.after.replace(",", ""))
        assert other != one
        assert other > 0
        assert texts(m.after) == [m.after]
        assert re.sub(r"\d", "0", m.after) == re.sub(r"\d", "0", m.before)


@given(st.integers(0, 10**6), st.integers(0, 3), st.booleans(), st.integers(0, 9))
@settings(database=None, deadline=None)
def test_any_number_can_be_mistaken(value: int, decimals: int, commas: bool, seed: int) -> None:
    number = Decimal(value).scaleb(-decimals)
    text = f"{number:,}" if commas else f"{number:f}"
    (mistake,) = mistakes(f"He has {text} coins", random.Random(seed))
    assert mistake.before == text
    other = Decimal(mistake.after.replace(",", ""))
    assert other > 0
    assert other != number
    assert re.sub(r"\d", "0", mistake.after) == re.sub(r"\d", "0", text)


def test_the_result_is_what_is_mistaken() -> None:
    text = "12 + 3 = 15 coins, of 20.\n1. He has 7 or 8 left.\nStep 3: None.\nSo 2*3=6 and 4*4=16 of 5."
    assert [m.before for m in mistakes(text, random.Random(0))] == ["15", "8", "16"]
    assert [m.before for m in mistakes("The answer is 18 36", random.Random(0))] == ["36"]


def test_mistakes_make_true_arithmetic_false(stories: list[str]) -> None:
    for text in stories:
        true, count = true_arithmetic(text)
        assert true == count == len(mistakes(text, random.Random(0)))
        for m in mistakes(text, random.Random(0)):
            assert true_arithmetic(text[: m.start] + m.after + text[m.end :]) == (count - 1, count)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("He pays 1000 + 2,500.50 = $3500.5", "He pays 1,000 + 2500.50 = $3,500.5"),
        ("In 1999 he had 12000.", "In 1999 he had 12,000."),
        ("Sam has 5 apples and seven pears.", "Sam has five apples and 7 pears."),
        ("5 apples are left. 3 + 5 = 8", "Five apples are left. 3 + 5 = 8"),
        ("one apple", None),
        ("The red one has 5.", None),
        ("two hundred apples", None),
        ("14 + 4 = 18. 18 * 2 = 36.", "14+4=18. 18*2=36."),
        ("14+4=18, 2x3=6", "14 + 4 = 18, 2 x 3 = 6"),
        ("$1.50*2 = $3", "$1.50*2=$3"),
        ("1. Look.\nStep 2 is here.", None),
        ("10-12 days", None),
        ("", None),
    ],
)
def test_rewrite_numbers(text: str, expected: str | None) -> None:
    assert rewrite_numbers(text) == expected


@given(REASONING)
@settings(database=None, deadline=None)
def test_rewriting_keeps_the_numbers(text: str) -> None:
    rewritten = rewrite_numbers(text)
    if rewritten is not None:
        assert rewritten != text
        assert values(rewritten) == values(text)


def test_rewriting_keeps_numbers_and_truth_of_real_reasoning(solutions: list[str], stories: list[str]) -> None:
    changed = 0
    for text in solutions + stories:
        rewritten = rewrite_numbers(text)
        if rewritten is not None:
            changed += 1
            assert values(rewritten) == values(text)
            assert true_arithmetic(rewritten) == true_arithmetic(text)
    assert changed > 0.8 * len(solutions + stories)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Ann has 2 * 3 = 6 pens.\nBob has 4 * 5 = 20 pens.", "Bob has 4 * 5 = 20 pens.\nAnn has 2 * 3 = 6 pens."),
        (" 14 + 4 = 18. I like to count coins.", " I like to count coins. 14 + 4 = 18."),
        ("Ann has 2 * 3 = 6 pens.\nBob has 6 * 5 = 30 pens.", None),
        ("Ann has six pens.\nBob has 6 * 5 = 30 pens.", None),
        ("Ann has 20% = 0.2.\nBob has 20 * 5 = 100.", None),
        ("Ann has 2 * 3 = 6 pens.\nSo Bob has 4 * 5 = 20 pens.", None),
        ("Ann has 2 * 3 = 6 pens.\nHe has 4 * 5 = 20 pens.", None),
        ("She has 2 * 3 = 6 pens.\nShe has 4 * 5 = 20 pads.", "She has 4 * 5 = 20 pads.\nShe has 2 * 3 = 6 pens."),
        ("Ann has 2 * 3 = 6 pens.\nIn total there are 8 * 5 = 40.", None),
        ("1. Ann has 2 * 3 = 6 pens.\n2. Bob has 4 * 5 = 20 pens.", None),
        ("Step 1: Ann has 2.\nStep 2: Bob has 4.", None),
        ("2y = 4.\ny + 5 = 7.", None),
        ("Ann has 2. Bob has 4", None),
        ("Ann has 2.", None),
        ("", None),
    ],
)
def test_reorder(text: str, expected: str | None) -> None:
    assert reorder(text, random.Random(0)) == expected


def test_reordering_moves_two_sentences_and_no_white_space(solutions: list[str], stories: list[str]) -> None:
    changed = 0
    for text in solutions + stories:
        other = reorder(text, random.Random(0))
        if other is None:
            continue
        changed += 1
        assert other != text
        assert Counter(other.split()) == Counter(text.split())
        assert re.findall(r"\n+", other) == re.findall(r"\n+", text)
        before, after = ([t[a:b].strip() for a, b in sentence_spans(t)] for t in (text, other))
        moved = [i for i, (x, y) in enumerate(zip(before, after, strict=True)) if x != y]
        assert len(moved) == 2
        assert moved[1] == moved[0] + 1
        assert before[moved[0]] == after[moved[1]]
    assert changed > 20


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("So he buys 5.", "Thus he purchases 5."),
        ("He has 5, so that is so far so good.", None),
        ("so far", None),
        ("Each day he gets $5.", "Every day he receives $5."),
        ("They cost $5 each. He gets up and needs to go.", None),
        ("He needs 5 in total.", "He requires 5 altogether."),
        ("Also a big-bang", None),
        ("", None),
    ],
)
def test_synonyms(text: str, expected: str | None) -> None:
    assert synonyms(text, random.Random(0)) == expected


def test_every_filler_of_chains_but_none_of_its_steps_has_a_synonym() -> None:
    for filler in FILLERS:
        text = filler.format(name="Sam", items="coins")
        other = synonyms(text, random.Random(0))
        assert other is not None, text
        assert other != text
        assert other[0].isupper()
        assert other.endswith(".")
    assert synonyms(" 14 + 4 = 18. 18 * 2 = 36.", random.Random(0)) is None


def test_synonyms_leave_numbers_alone(solutions: list[str]) -> None:
    changed = 0
    for text in solutions:
        other = synonyms(text, random.Random(0))
        if other is not None:
            changed += 1
            assert other != text
            assert texts(other) == texts(text)
    assert changed > 0.4 * len(solutions)


def test_connective_share() -> None:
    assert connective_share([" So", ",", " 5", "\n", " because"]) == 0.5
    assert connective_share([" ", "\n"]) is None
    assert connective_share([]) is None
    assert {"because", "so", "then", "therefore", "since", "thus", "hence", "if", "but", "first", "next"} < CONNECTIVES


@pytest.mark.parametrize(
    "unit",
    ["1\n", "1. ", "a. ", "5 a", "5 apples. ", "1=", "1+", "1,", "1,000", "so ", "five ", "step 1 ", "x", "9",
     " 1+1=2.", "two cats.", " ", "\n"],
)  # fmt: skip
def test_hostile_text_is_edited_at_once(unit: str) -> None:
    text, rng = unit * (10_000 // len(unit)), random.Random(0)
    start = time.process_time()
    mistakes(text, rng)
    rewrite_numbers(text)
    reorder(text, rng)
    synonyms(text, rng)
    assert time.process_time() - start < 2  # some tens of milliseconds each
