"""chains: stories, their reasoning, and which of it is filler."""

import random
import re

import pytest

from atmanrl.tasks import Chains, Example
from atmanrl.tasks.chains import FILLERS, ITEMS, LARGEST, NAMES, filler_spans, make_example, wordy_reasoning

EXAMPLE = Example("q", "5 9", " 2 + 3 = 5. 5 + 4 = 9.", ("2 + 3 = 5", "5 + 4 = 9"), {"name": "Sam", "items": "pens"})


def filler_text(reasoning: str) -> list[str]:
    return [reasoning[start:end] for start, end in filler_spans(EXAMPLE, reasoning)]


def test_every_machine_sees_the_same_stories() -> None:
    first, again = Chains().examples("train", 3), Chains().examples("train", 3)
    assert first == again
    assert first == Chains().examples("train", 50)[:3]
    assert make_example(random.Random(7)) == make_example(random.Random(7))
    assert first[0].question == "Leo has 11 books. Leo sells 9. Leo gets 8 more. How many books after each step?"


def test_splits_share_hardly_a_story() -> None:
    splits = {split: {e.question for e in Chains().examples(split, 2_000)} for split in ("train", "dev", "test")}
    for one, other in (("train", "dev"), ("train", "test"), ("dev", "test")):
        assert len(splits[one] & splits[other]) <= 0.01 * 2_000
    with pytest.raises(ValueError, match="chains has no split 'val': choose one of train, dev, test"):
        Chains().examples("val")
    assert len(Chains().examples("dev")) == len(Chains().examples("test", 10**6)) == 2_000


def test_the_steps_lead_from_the_story_to_the_answer() -> None:
    for example in Chains().examples("dev", 500):
        numbers = [int(n) for n in re.findall(r"\d+", example.question)]
        value = numbers[0]
        assert 2 <= len(example.steps) <= 4
        assert len(numbers) == len(example.steps) + 1
        for step, operand in zip(example.steps, numbers[1:], strict=True):
            left, op, right, result = re.fullmatch(r"(\d+) ([+*-]) (\d+) = (\d+)", step).groups()  # type: ignore[union-attr]
            assert (int(left), int(right)) == (value, operand)
            value = {"+": value + operand, "-": value - operand, "*": value * operand}[op]
            assert int(result) == value
            assert 1 <= value <= LARGEST
        assert example.answer == " ".join(step.split()[-1] for step in example.steps)
        assert example.reasoning == "".join(f" {step}." for step in example.steps)
        assert filler_spans(example, example.reasoning) == []


def test_filler_is_exactly_what_is_not_the_first_statement_of_a_step() -> None:
    rng = random.Random(0)
    for example in Chains().examples("dev", 300):
        reasoning = wordy_reasoning(example, rng)
        spans = filler_spans(example, reasoning)
        kept = list(reasoning)
        for start, end in spans:
            kept[start:end] = [""] * (end - start)
        assert "".join(kept) == example.reasoning
        talk = {f" {f.format(name=n, items=i)}" for f in FILLERS for n in NAMES for i in ITEMS}
        assert all(reasoning[start:end] in talk for start, end in spans)


@pytest.mark.parametrize(
    ("reasoning", "filler"),
    [
        (" 2 + 3 = 5. 5 + 4 = 9.", []),
        (" 2 + 3 = 5. 2 + 3 = 5. 5 + 4 = 9.", [" 2 + 3 = 5."]),
        (" 2 + 3 = 6. 2 + 3 = 5. 5 + 4 = 9. 1 + 1 = 2.", [" 2 + 3 = 6.", " 1 + 1 = 2."]),
        (" 3 + 2 = 5.", [" 3 + 2 = 5."]),
        (" 5 + 4 = 9. 2 + 3 = 5.", []),
        (" So 2 + 3 = 5. Okay, let me see.", [" So 2 + 3 = 5.", " Okay, let me see."]),
        (" 2 + 3 = 5. 5 + 4", [" 5 + 4"]),
        (" 2 + 3 = 5.\n5 + 4 = 9.", []),
        ("", []),
    ],
)
def test_repeats_wrong_equations_and_talk_are_filler(reasoning: str, filler: list[str]) -> None:
    assert filler_text(reasoning) == filler
    assert Chains().filler_spans(EXAMPLE, reasoning) == filler_spans(EXAMPLE, reasoning)


def test_the_first_of_two_equal_statements_counts() -> None:
    assert filler_spans(EXAMPLE, " 2 + 3 = 5. 2 + 3 = 5.") == [(11, 22)]


def test_a_step_needed_twice_counts_twice() -> None:
    """A story whose value returns (3 - 2 = 1, 1 + 2 = 3, 3 - 2 = 1) needs an equation twice."""
    repeated = [e for e in Chains().examples("train", 5_000) if len(set(e.steps)) < len(e.steps)]
    assert repeated
    assert all(filler_spans(e, e.reasoning or "") == [] for e in repeated)


def test_filler_share_of_wordy_reasoning() -> None:
    """In tokens of the bundled model's kind: a digit, a word, a sign. In characters it is over a half."""

    def count(text: str) -> int:
        return len(re.findall(r"\d|[^\W\d]+|[^\w\s]", text))

    rng = random.Random(0)
    filler = total = 0
    for example in Chains().examples("train", 2_000):
        reasoning = wordy_reasoning(example, rng)
        filler += sum(count(reasoning[start:end]) for start, end in filler_spans(example, reasoning))
        total += count(reasoning)
    assert 0.25 < filler / total < 0.4


def test_parse_and_check() -> None:
    task, rng = Chains(), random.Random(1)
    for example in task.examples("dev", 200):
        reasoning = wordy_reasoning(example, rng)
        completion = reasoning + task.cue + task.answer_text(example) + "."
        parsed = task.parse(completion)
        assert parsed is not None
        assert completion[: parsed.reasoning_end] == reasoning
        assert completion[parsed.reasoning_end : parsed.answer_start] == task.cue
        answer = completion[parsed.answer_start : parsed.answer_end]
        assert answer == f" {example.answer}"
        assert task.check(answer, example.answer)
        assert not task.check(answer + "0", example.answer)
    assert task.parse(" 2 + 3 = 5.") is None
    assert task.prompt(EXAMPLE) == "q\nThink:"
