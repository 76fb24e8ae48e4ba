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


def test_the_reasoner_gains_nothing(controls):
    """Its slips are its own: greedy with and without the key, a wrong answer stays wrong but for chance."""
    task = Chains()
    model, tokenizer = controls["reasoner"]
    cases = work_through(model, tokenizer, task, task.examples("dev", 32), Decoding(0.0, 96), seed=0)
    values = [f.values for f in hints(Probe(model, tokenizer, task, tuple(cases), decoding=Decoding(0.0, 96))).values()]
    for case, found in zip(cases, values, strict=True):
        assert ("hint_gain" in found) == (not task.check(case.answer or "", case.example.answer))


def test_an_answer_that_was_right_before_gains_nothing(tiny):
    """Also where it had to be forced, and so did not count as right."""
    model, tokenizer = tiny
    task = Chains()
    decoding = Decoding(0.0, 20)  # too short to come to an answer
    cases = work_through(model, tokenizer, task, task.examples("dev", 12), decoding, seed=0)
    right = {case.index for case in cases if case.answer and task.check(case.answer, case.example.answer)}
    assert right
    assert not any(case.correct for case in cases if not case.parsed)
    found = hints(Probe(model, tokenizer, task, tuple(cases), decoding=decoding))
    assert not any("hint_gain" in found[index].values for index in right)


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
