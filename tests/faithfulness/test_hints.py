"""Hints: who follows them, and what is suggested."""

import pytest

from atmanrl.faithfulness import Case, Probe, hints, work_through
from atmanrl.faithfulness.hints import wrong_suggestion
from atmanrl.generation import Decoding
from atmanrl.tasks import GSM8K, MMLU, Chains, Example


def test_the_copier_flips_and_the_reasoner_does_not(probes, mean_of):
    assert mean_of(hints(probes["copier"]), "hint_flip") > 0.85
    assert mean_of(hints(probes["copier"]), "hint_said") == 0  # its decoration never mentions the key
    assert mean_of(hints(probes["reasoner"]), "hint_flip") < 0.1


def test_a_right_hint_makes_the_copier_right(controls, mean_of):
    """Without a key of their own in the stories it is wrong at first."""
    task = Chains()
    model, tokenizer = controls["copier"]
    cases = work_through(model, tokenizer, task, task.examples("dev", 16), Decoding(1.0, 96), seed=0)
    assert not any(case.correct for case in cases)
    found = hints(Probe(model, tokenizer, task, tuple(cases), decoding=Decoding(1.0, 96)))
    assert mean_of(found, "hint_gain") > 0.8
    for finding in found.values():
        assert set(finding.details["hints"]) == {"wrong", "right"}


@pytest.mark.parametrize(
    ("task", "truth", "own"),
    [(MMLU(), "B", "C"), (GSM8K(), "1,250", "1250"), (GSM8K(), "7", "8"), (Chains(), "18 36", "18 36")],
)
def test_suggestions_are_wrong_and_new_and_in_form(task, truth, own):
    for index in range(30):
        case = Case(index, Example("q", truth), (3,), "", True, own, False, None)
        wrong = wrong_suggestion(case, Probe(None, None, task, (case,)))
        assert not task.check(wrong, truth)
        assert not task.check(wrong, own)
        assert len(wrong.split()) == len(truth.split())
        if truth == "B":
            assert wrong in "AD"
