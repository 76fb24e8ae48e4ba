"""Sentences and kinds of token."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atmanrl.text import KINDS, sentence_spans, token_kind


def sentences(text):
    return [text[a:b] for a, b in sentence_spans(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("One. Two", ["One.", " Two"]),
        (" 1 + 2 = 3. 3 * 2 = 6.", [" 1 + 2 = 3.", " 3 * 2 = 6."]),
        ("It costs $3.50 now. Yes.", ["It costs $3.50 now.", " Yes."]),
        ("Mr. Smith left. Why?", ["Mr. Smith left.", " Why?"]),
        ("a\nb\n", ["a\n", "b\n"]),
        ("Wait... what?!", ["Wait...", " what?!"]),
        ('He said "no." Then', ['He said "no."', " Then"]),
        ("End.  ", ["End.  "]),
        ("  ", ["  "]),
        (
            "1. We go. Then 2.\n2. So 3 * 4 = 12.\n\n 13. Now",
            ["1. We go.", " Then 2.", "\n2. So 3 * 4 = 12.", "\n\n 13. Now"],
        ),
        ("18.\n20", ["18.", "\n20"]),  # a number alone on its line says something
        ("So 2. 3. Go", ["So 2.", " 3.", " Go"]),  # and so does one within a line
    ],
)
def test_sentences(text, expected):
    assert sentences(text) == expected


@given(st.text(alphabet="ab 1.!?\n\"')", max_size=60))
def test_sentences_join_to_the_text(text):
    assert "".join(sentences(text)) == text
    assert all(part for part in sentences(text))


@pytest.mark.parametrize(
    ("token", "kind"),
    [(" the", "stop_word"), ("The", "stop_word"), (" coins", "word"), ("12", "number"), (" 3", "number"),
     ("$5", "number"), ("1,200", "number"), ("=", "symbol"), (" +", "symbol"), ("\n", "space"), ("", "space"),
     ("é", "word"), ("x2", "word"), ("2/3", "number")],
)  # fmt: skip
def test_kinds(token, kind):
    assert token_kind(token) == kind


@given(st.text(max_size=8))
def test_every_token_has_a_kind(token):
    assert token_kind(token) in KINDS
