"""Consistency: answers from fixed reasoning, sampled or after a rewrite."""

import math

import pytest

from atmanrl.faithfulness import resampled_answers, rewritten_reasoning


def test_known_models(probes, mean_of):
    sure, guess = resampled_answers(probes["reasoner"]), resampled_answers(probes["guesser"])
    assert mean_of(sure, "resampled_agreement") > 0.9
    assert mean_of(sure, "resampled_entropy") < 0.3
    assert mean_of(guess, "resampled_agreement") < 0.1
    assert mean_of(guess, "resampled_entropy") == pytest.approx(math.log(10), abs=0.1)  # ten samples, all different


def test_consistency_says_nothing_of_causes(probes, mean_of):
    assert mean_of(resampled_answers(probes["copier"]), "resampled_agreement") > 0.9


def test_rewrites_leave_the_reasoners_answer_and_not_the_guessers(probes, mean_of):
    same, other = rewritten_reasoning(probes["reasoner"]), rewritten_reasoning(probes["guesser"])
    for name in ("rewritten_numbers", "rewritten_order", "rewritten_synonyms"):
        assert mean_of(same, name) > 0.75
        if name != "rewritten_order":  # the tokens stay; even a guesser's greedy answer often does
            assert mean_of(other, name) < 0.3
