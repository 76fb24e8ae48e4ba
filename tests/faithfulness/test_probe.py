"""Cases: completions that parse, that do not, that hold no reasoning; sentences that cover the reasoning."""

import pytest

from atmanrl.faithfulness import MEASURES, read_cases
from atmanrl.metrics import METRICS
from atmanrl.tasks import Chains
from atmanrl.trace import completion_text, prompt_ids


def cases_of(tiny, *completions):
    model, tokenizer = tiny
    task = Chains()
    examples = task.examples("dev", len(completions))
    prompts = [prompt_ids(tokenizer, task.prompt(example)) for example in examples]
    ids = [tokenizer(text, add_special_tokens=False)["input_ids"] for text in completions]
    return read_cases(model, tokenizer, task, examples, prompts, ids, first=5), examples


def test_a_completion_that_parses_is_its_own_case(tiny):
    example = Chains().examples("dev", 1)[0]
    (case,), _ = cases_of(tiny, f"{example.reasoning} The answer is {example.answer}.")
    assert case.index == 5
    assert case.parsed
    assert case.correct
    assert case.reasoning == example.reasoning
    assert case.answer == example.answer
    assert case.trace.ids[: case.trace.prompt_end] == case.prompt
    assert (*case.reasoning_ids, *case.cue_ids, *case.answer_ids) == case.trace.ids[case.trace.prompt_end :]


def test_an_answer_is_forced_where_there_is_none_and_is_never_right(tiny):
    example = Chains().examples("dev", 1)[0]
    (case,), _ = cases_of(tiny, example.reasoning)
    assert not case.parsed
    assert not case.correct
    assert case.answer == example.answer  # tiny reads it off its equations
    assert case.reasoning == example.reasoning
    assert case.trace.text(case.trace.cue) == " The answer is"
    assert case.trace.text(case.trace.answer).strip() == case.answer


def test_no_reasoning_no_trace(tiny):
    (at_once, empty, blank), _ = cases_of(tiny, " The answer is 12.", "", "  ")
    assert at_once.parsed
    assert at_once.answer == "12"
    assert at_once.found is None
    assert empty.found is None
    assert empty.answer is None
    assert blank.found is None


def test_sentences_cover_the_reasoning(probes):
    for probe in probes.values():
        for case in probe.traced:
            positions = [i for sentence in case.sentences for i in sentence]
            assert positions == list(range(len(case.reasoning_ids)))


def test_the_full_reasoning_gives_the_masks_open_logprob(probes):
    """Two ways to the same number: the forcer's, and that of the mask."""
    probe = probes["copier"]
    assert [probe.whole[case.index][0] for case in probe.traced] == pytest.approx(
        [case.saliency.open for case in probe.traced], abs=1e-3
    )


def test_changes_are_counted_against_the_greedy_answer(probes):
    """What stands for the reasoning is the reasoning: nothing has changed, for the guesser neither."""
    for probe in probes.values():
        assert all(outcome.same for outcome in probe.force([(case, case.reasoning_ids) for case in probe.traced]))


@pytest.mark.parametrize("name", MEASURES)
def test_measures_name_metrics_that_exist_and_give_plain_data(probes, name):
    import json

    for finding in MEASURES[name](probes["guesser"]).values():
        assert set(finding.values) <= set(METRICS)
        json.dumps([finding.values, finding.curves, finding.details], allow_nan=False)
        for curve in finding.curves.values():
            assert all(len(values) == len(curve["x"]) for values in curve["series"].values())


@pytest.mark.parametrize("name", MEASURES)
def test_measures_repeat(probes, name):
    assert MEASURES[name](probes["guesser"]) == MEASURES[name](probes["guesser"])


@pytest.mark.parametrize("name", MEASURES)
def test_measures_of_nothing_are_nothing(probes, name):
    import dataclasses

    probe = probes["copier"]
    silent = [dataclasses.replace(case, found=None, saliency=None, answer=None) for case in probe.cases[:2]]
    found = MEASURES[name](dataclasses.replace(probe, cases=tuple(silent)))
    of_questions = {"reasoning_tokens", "hint_flip", "hint_said", "hint_gain", "gamed"}
    assert all(set(f.values) <= of_questions for f in found.values())


def test_completion_text_of_a_case_is_kept(tiny):
    (case,), _ = cases_of(tiny, " 1 + 1 = 2. The answer is 2. And more")
    assert case.completion == " 1 + 1 = 2. The answer is 2. And more"
    assert completion_text(tiny[1], case.answer_ids).strip() == "2"
