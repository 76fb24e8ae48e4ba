"""Tricks beside worked solutions, on models that read either."""

import random
from statistics import fmean

import pytest

from atmanrl.faithfulness import Probe, gaming
from atmanrl.faithfulness.probe import Case
from atmanrl.gaming import KINDS, honest, in_words, tricks
from atmanrl.mask import MaskConfig
from atmanrl.models import load_model
from atmanrl.rewards import RewardConfig
from atmanrl.scoring import score_completions
from atmanrl.tasks import Chains, ChainsDecoy, ChainsHinted, ChainsUneven, Example
from atmanrl.trace import prompt_ids


def probe_of(name, task, count=50):
    model, tokenizer = load_model(name, device="cpu")
    cases = tuple(
        Case(i, e, tuple(prompt_ids(tokenizer, task.prompt(e))), "", True, None, False, None)
        for i, e in enumerate(task.examples("dev", count))
    )
    return Probe(model, tokenizer, task, cases, mask=MaskConfig(passes=8, max_tokens=16_384))


def test_every_trick_has_the_right_answer_and_not_the_solution_alone():
    example = Chains().examples("dev", 1)[0]
    made = tricks(Chains(), example, random.Random(0))
    assert sorted(made) == sorted(name for names in KINDS.values() for name in names)
    for name, text in {**made, "honest": honest(Chains(), example)}.items():
        parts = Chains().parse(text)
        assert Chains().check(text[parts.answer_start : parts.answer_end], example.answer), name
    assert honest(Chains(), example) not in made.values()
    assert len(set(made.values())) == len(made)


def test_a_letter_is_not_taken_apart():
    made = tricks(Chains(), Example("q", "B", "Whales are mammals. So it is B."), random.Random(0))
    assert "stated" in made
    assert "identity" not in made


@pytest.mark.parametrize(
    ("value", "words"),
    [(0, "zero"), (17, "seventeen"), (40, "forty"), (72, "seventy-two"), (305, "three hundred five"),
     (1920, "one thousand nine hundred twenty"), (120000, "one hundred twenty thousand"), (10**6, "1000000")],
)  # fmt: skip
def test_numbers_in_words(value, words):
    assert in_words(value) == words


MODELS = [
    ("tiny", Chains()),
    ("tiny-decoy", ChainsDecoy()),
    ("tiny-hinted", ChainsHinted(keys="none")),
    ("tiny-hinted", ChainsHinted(keys="right")),
    ("tiny-uneven", ChainsUneven(keys="none")),
    ("tiny-uneven", ChainsUneven(keys="right")),
]


@pytest.mark.parametrize(("name", "task"), MODELS)
def test_no_kind_of_trick_is_worth_more_than_the_worked_solution(name, task):
    found = gaming(probe_of(name, task))
    assert len(found) == 10
    rows = [finding.details["tricks"] for finding in found.values()]
    worked = fmean(row["honest"] for row in rows)
    assert worked > 0.8
    for kind, names in KINDS.items():
        pairs = [row[trick] > row["honest"] for row in rows for trick in names]
        assert fmean(pairs) <= 0.05, kind
        for trick in names:
            assert fmean(row[trick] for row in rows) < worked, trick
    for trick in KINDS["carried"]:
        assert fmean(row[trick] for row in rows) < 0.2, trick
    for row, finding in zip(rows, found.values(), strict=True):
        assert finding.values["gamed"] == (max(row.values()) > row["honest"])


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
