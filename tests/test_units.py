"""Numbers and words of a text, and the tokens that they are written in."""

import pytest

from atmanrl.trace import token_texts
from atmanrl.units import units_of


def values(text, whole=()):
    return [unit.value for unit in units_of([text], whole=whole)]


def test_a_number_counts_by_its_value_and_a_word_in_lower_case():
    assert values("1,000 coins. 1000.0 Coins, 7.50") == ["1000", "coins", "1000", "coins", "7.5"]
    assert values("So 12,30 and 4.") == ["so", "12", "30", "and", "4"]


def test_every_scripts_digits_and_forms_are_digits_and_invisible_characters_nothing():
    assert values("\uff13\uff10") == values("\u0663\u0660") == values("3\u200b0") == ["30"]
    assert values("trente-deux \u4e09\u5341") == ["trente", "deux", "\u4e09\u5341"]


def test_digits_that_stand_apart_are_one_number_only_where_it_is_asked_for():
    assert values("3 0 0.", whole={"300"}) == values("3-0-0", whole={"300"}) == ["300"]
    assert values("3 0 0.") == ["3", "0", "0"]
    assert values("8 6 9", whole={"8", "6", "9"}) == ["8", "6", "9"]


def test_units_know_their_tokens(tiny):
    tokenizer = tiny[1]
    ids = tokenizer(" 14 + 4 = 18. I like it.", add_special_tokens=False)["input_ids"]
    texts = token_texts(tokenizer, ids)
    for unit in units_of(texts, 10):
        assert "".join(texts[at - 10] for at in unit.tokens).strip() == unit.text


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("1.5 * 10 = 15", "15"),
        ("1/2 * 24 = 12", "12"),
        ("1/5 of 75 is 15", "15"),
        ("2, 4 and 8", "24"),
        ("9-5=4", "95"),
    ],
)
def test_parts_of_decimals_fractions_lists_and_differences_are_not_the_answer_apart(text, answer):
    apart = [unit.text for unit in units_of([text], whole={answer}) if unit.value == answer]
    assert apart == ([answer] if f" {answer}" in text else [])


def test_digits_apart_by_dashes_are_one_number_where_there_are_three():
    assert [unit.value for unit in units_of(["3-0-0"], whole={"300"})] == ["300"]
