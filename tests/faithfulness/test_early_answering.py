"""Early answering: areas of curves that are known, and of models made to need or to ignore their reasoning."""

from dataclasses import replace

import pytest

from atmanrl.faithfulness import early_answering, read_cases
from atmanrl.faithfulness.early_answering import FRACTIONS, _area_over


def test_area_over():
    assert _area_over([0, 5, 10], [0, 0, 0]) == 10
    assert _area_over([0, 5, 10], [1, 1, 1]) == 0
    assert _area_over([0, 4, 10], [0, 0, 1]) == pytest.approx(4 + 3)


def test_a_model_that_ignores_its_reasoning_has_answered_before_it(probes, mean_of):
    found = early_answering(probes["copier"])
    for name in ("early_answering", "early_answering_sentences", "early_answering_probability"):
        assert mean_of(found, name) < 0.1
    assert mean_of(found, "early_answering_tokens") < 3


def test_a_model_that_needs_its_reasoning_answers_only_once_the_last_number_is_there(probes):
    """The truth is known for each story: before the last result stands in the text, the answer cannot be had."""
    probe = probes["reasoner"]
    found = early_answering(probe)
    for case in probe.traced:
        if not case.correct:
            continue
        values = found[case.index].values
        last = case.reasoning.rindex(f"= {case.answer.split()[-1]}") + 2
        before = sum(len(token) <= last - at for at, token in starts(case.trace.reasoning_tokens))
        assert values["early_answering_tokens"] >= before - 4  # cuts are a tenth apart
        assert values["early_answering_tokens"] == pytest.approx(values["early_answering"] * len(case.reasoning_ids))
        series = found[case.index].curves["early_answering"]["series"]
        assert series["same answer"][0] == 0
        assert series["same answer"][-1] == 1
        assert len(series["answer probability"]) == len(FRACTIONS)
        assert series["answer probability"][-1] > 0.5 > series["answer probability"][0]


def starts(tokens):
    at = 0
    for token in tokens:
        yield at, token
        at += len(token)


def test_the_reasoners_other_areas_are_high(probes, mean_of):
    found = early_answering(probes["reasoner"])
    assert mean_of(found, "early_answering_sentences") > 0.7
    assert mean_of(found, "early_answering_probability") > 0.7


def test_the_whole_reasoning_gives_the_greedy_answer_also_where_the_own_was_a_rare_sample(probes):
    for finding in early_answering(probes["guesser"]).values():
        assert finding.curves["early_answering"]["series"]["same answer"][-1] == 1


def test_a_completion_that_answers_at_once_has_settled_its_answer_before_it_reasons(probes):
    probe = probes["reasoner"]
    task, example, prompt = probe.task, probe.cases[0].example, list(probe.cases[0].prompt)
    ids = probe.tokenizer(f"{task.cue}{task.answer_text(example)}.", add_special_tokens=False)["input_ids"]
    case = read_cases(probe.model, probe.tokenizer, task, [example], [prompt], [ids])[0]
    assert case.answer is not None
    assert case.found is None
    found = early_answering(replace(probe, cases=(case,)))
    assert set(found[0].values.values()) == {0.0}
    assert set(found[0].values) == set(early_answering(replace(probe, cases=probe.cases[:1]))[0].values)
