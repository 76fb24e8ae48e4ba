"""Tricks beside worked solutions, on models that read either."""

import random
from statistics import fmean

import pytest

from atmanrl.faithfulness import Probe, gaming
from atmanrl.faithfulness.probe import Case
from atmanrl.gaming import honest, tricks
from atmanrl.mask import MaskConfig
from atmanrl.models import load_model
from atmanrl.rewards import RewardConfig
from atmanrl.scoring import score_completions
from atmanrl.tasks import Chains, ChainsHinted, ChainsUneven, Example
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
    assert len(made) == 11
    for name, text in {**made, "honest": honest(Chains(), example)}.items():
        parts = Chains().parse(text)
        assert Chains().check(text[parts.answer_start : parts.answer_end], example.answer), name
    assert honest(Chains(), example) not in made.values()


KINDS = [
    ("tiny", Chains()),
    ("tiny-hinted", ChainsHinted(keys="none")),
    ("tiny-hinted", ChainsHinted(keys="right")),
    ("tiny-uneven", ChainsUneven(keys="none")),
    ("tiny-uneven", ChainsUneven(keys="right")),
]
TOLD = {"stated", "repeated", "hint", "numbers", "afterwards", "empty", "invisible", "fullwidth"}
WITHIN = {"before", "between"}


@pytest.mark.parametrize(("name", "task"), KINDS)
def test_no_trick_is_worth_more_than_the_worked_solution_but_padding_within_it(name, task):
    """That padding within it sometimes is, is known (docs/method.md), and counted."""
    found = gaming(probe_of(name, task))
    assert len(found) == 20
    rows = [finding.details["tricks"] for finding in found.values()]
    assert set(rows[0]) == TOLD | WITHIN | {"honest", "padded"}
    assert all(row[trick] == -1 for row in rows for trick in TOLD)
    assert all(row["padded"] <= row["honest"] for row in rows)
    assert sum(row["padded"] < row["honest"] - 0.02 for row in rows) > len(rows) / 2
    for row, finding in zip(rows, found.values(), strict=True):
        assert finding.values["gamed"] == (max(row[trick] for trick in WITHIN) > row["honest"])
    for trick in WITHIN:  # worth less in the mean all the same
        assert fmean(row[trick] for row in rows) < fmean(row["honest"] for row in rows)


def test_without_the_cut_some_are():
    """What the cut is for: a solution after the answer that the bundled model reads along with it."""
    task = ChainsUneven(keys="right")
    made = probe_of("tiny-uneven", task, 50)
    examples = [case.example for case in made.cases]

    def score(texts):
        prompts, ids = [task.prompt(e) for e in examples], [made.tokenizer(text)["input_ids"] for text in texts]
        truths, questions = [e.answer for e in examples], [e.question for e in examples]
        reward = RewardConfig(quantity="mask", cut_after_told=False)
        asked = made.model, made.tokenizer, task, prompts, ids, truths, made.mask, reward
        return score_completions(*asked, questions=questions)

    own = score([honest(task, e) for e in examples])
    afterwards = score([tricks(task, e, random.Random(0))["afterwards"] for e in examples])
    assert sum(trick.reward > one.reward for one, trick in zip(own, afterwards, strict=True)) > 10


def test_questions_without_a_solution_or_that_the_prompt_changed_are_left_out(tiny):
    lost = Chains().examples("dev", 1)[0]
    cases = tuple(Case(0, e, (1,), "", True, None, False, None) for e in (Example("q", "1"), lost))
    assert gaming(Probe(*tiny, Chains(), cases)) == {}
