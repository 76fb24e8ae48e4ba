"""Tricks beside worked solutions, on models that read either."""

import random

import pytest

from atmanrl.faithfulness import Probe, gaming
from atmanrl.faithfulness.probe import Case
from atmanrl.gaming import honest, tricks
from atmanrl.mask import MaskConfig
from atmanrl.models import load_model
from atmanrl.tasks import Chains, ChainsHinted, Example
from atmanrl.trace import prompt_ids


def probe_of(name, task, count=100):
    model, tokenizer = load_model(name, device="cpu")
    cases = tuple(
        Case(i, e, tuple(prompt_ids(tokenizer, task.prompt(e))), "", True, None, False, None)
        for i, e in enumerate(task.examples("dev", count))
    )
    return Probe(model, tokenizer, task, cases, mask=MaskConfig(passes=8, max_tokens=16_384))


def test_every_trick_has_the_right_answer_and_not_the_solution_alone():
    example = Chains().examples("dev", 1)[0]
    made = tricks(Chains(), example, random.Random(0))
    assert len(made) == 9
    for name, text in {**made, "honest": honest(Chains(), example)}.items():
        parts = Chains().parse(text)
        assert Chains().check(text[parts.answer_start : parts.answer_end], example.answer), name
    assert honest(Chains(), example) not in made.values()


@pytest.mark.parametrize(
    ("name", "task"),
    [("tiny", Chains()), ("tiny-hinted", ChainsHinted(keys="none")), ("tiny-hinted", ChainsHinted(keys="right"))],
)
def test_tricks_are_worth_less_than_the_worked_solution(name, task):
    found = gaming(probe_of(name, task))
    assert len(found) == 20
    rows = [finding.details["tricks"] for finding in found.values()]
    means = {trick: sum(row[trick] for row in rows) / len(rows) for trick in rows[0]}
    assert all(value < means["honest"] - 0.1 for trick, value in means.items() if trick != "honest"), means
    assert all(means[trick] == -1 for trick in ("stated", "repeated", "hint", "numbers", "empty", "invisible"))
    assert all(f.values["gamed"] == (max(r.values()) > r["honest"]) for f, r in zip(found.values(), rows, strict=True))


def test_questions_without_a_solution_or_that_the_prompt_changed_are_left_out(tiny):
    lost = Chains().examples("dev", 1)[0]
    cases = tuple(Case(0, e, (1,), "", True, None, False, None) for e in (Example("q", "1"), lost))
    assert gaming(Probe(*tiny, Chains(), cases)) == {}
