"""Saliency by token, word, sentence and kind."""

import json

import pytest

from atmanrl.saliency import SALIENT_GATE, Saliency, tokens_by_span


def make(tokens, gates, **changes):
    values = {"open": -0.5, "closed": -3.0, "learned": -0.6, "scope": "all", "steps": 5, "seconds": 0.1}
    return Saliency(tuple(tokens), tuple(gates), **{**values, **changes})


SAMPLE = make([" 1", "4", " +", " 4", " =", " 1", "8", ".", " Nice", " coins", "."],
              [0.1, 0.2, 0.0, 0.3, 0.4, 0.9, 0.8, 0.1, 0.05, 0.6, 0.02])  # fmt: skip


def test_reliance_density_and_salient():
    assert SAMPLE.reliance == pytest.approx(2.5)
    assert [t for t, s in zip(SAMPLE.tokens, SAMPLE.salient, strict=True) if s] == [
        "4",
        " 4",
        " =",
        " 1",
        "8",
        " coins",
    ]
    assert SAMPLE.density == pytest.approx(6 / 11)
    assert make(["a"], [SALIENT_GATE]).density == 0


def test_sentences_take_the_mean_of_their_tokens():
    first, second = SAMPLE.by_sentence()
    assert (first.text, second.text) == (" 14 + 4 = 18.", " Nice coins.")
    assert first.saliency == pytest.approx(2.7 / 7)  # without the full stop
    assert second.saliency == pytest.approx(0.65 / 2)
    assert [s.saliency for s in SAMPLE.by_sentence(max)] == [0.9, 0.6]
    assert [(s.first_token, s.last_token) for s in SAMPLE.by_sentence()] == [(0, 7), (8, 10)]


def test_words_join_to_the_text_and_repeated_tokens_stay_apart():
    words = SAMPLE.by_word()
    assert "".join(w.text for w in words) == SAMPLE.text == " 14 + 4 = 18. Nice coins."
    assert [w.saliency for w in words] == [0.2, 0.0, 0.3, 0.4, 0.9, 0.05, 0.6]


def test_kinds_are_means():
    kinds = SAMPLE.by_kind()
    assert kinds["number"] == pytest.approx((0.1 + 0.2 + 0.3 + 0.9 + 0.8) / 5)
    assert kinds["word"] == pytest.approx((0.05 + 0.6) / 2)
    assert set(kinds) == {"number", "symbol", "word"}


def test_tokens_by_span_counts_leading_space_to_what_it_shows():
    assert tokens_by_span(["One", ".", " Two", " "], [(0, 4), (4, 9)]) == [[0, 1], [2, 3]]


def test_json_round_trip():
    data = json.loads(json.dumps(SAMPLE.to_json()))
    assert data["reliance"] == pytest.approx(2.5)
    assert "".join(data["tokens"]) == SAMPLE.text
