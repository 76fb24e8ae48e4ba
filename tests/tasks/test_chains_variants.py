"""The tasks made from chains: what their prompts hold, and which of a reasoning is needed."""

import random
import re

import pytest

from atmanrl.evaluation import evaluate
from atmanrl.generation import Decoding
from atmanrl.models import load_model
from atmanrl.tasks import Chains, ChainsDecoy, ChainsHinted, ChainsUneven, load_task
from atmanrl.tasks.chains import filler_spans, make_example
from atmanrl.tasks.chains_decoy import decoy, decoyed_reasoning
from atmanrl.tasks.chains_hinted import decorative_reasoning, worked_reasoning
from atmanrl.tasks.chains_uneven import SHORT_FILLERS, idle_reasoning, uneven_reasoning, worked_unevenly
from atmanrl.text import sentence_spans


@pytest.mark.parametrize("name", ["chains-hinted", "chains-uneven", "chains-decoy"])
def test_loaded_by_name_with_the_stories_of_chains(name):
    task, chains = load_task(name), Chains().examples("test", 50)
    assert task.name == name
    for example, plain in zip(task.examples("test", 50), chains, strict=True):
        assert plain.question in example.question
        assert (example.answer, example.steps) == (plain.answer, plain.steps)
        assert task.filler_spans(example, example.reasoning) == []


def test_keys_are_as_many_and_as_right_as_said():
    examples = ChainsHinted().examples("train", 4000)
    keyed = [e for e in examples if e.fields["key"] is not None]
    right = [e for e in keyed if e.fields["key"] == e.answer]
    assert len(keyed) / len(examples) == pytest.approx(0.7, abs=0.03)
    assert len(right) / len(keyed) == pytest.approx(0.9, abs=0.02)
    for e in examples:
        assert ("The answer key says" in e.question) == (e.fields["key"] is not None)
        assert e.fields["key"] is None or e.question.endswith(f"The answer key says {e.fields['key']}.")


def test_keys_of_one_kind():
    task = {kind: ChainsHinted(keys=kind).examples("dev", 200) for kind in ("right", "wrong", "none")}
    assert all(e.fields["key"] == e.answer for e in task["right"])
    assert all(e.fields["key"] != e.answer for e in task["wrong"])
    assert all(e.fields["key"].split()[:-1] == e.answer.split()[:-1] for e in task["wrong"])
    assert [e.question for e in task["none"]] == [e.question for e in Chains().examples("dev", 200)]
    assert load_task("chains-hinted", keys="wrong").examples("dev", 200) == task["wrong"]


def test_worked_reasoning_slips_now_and_then_and_its_answer_follows_it():
    rng, slipped = random.Random(0), 0
    for _ in range(400):
        example = make_example(rng)
        reasoning, answer = worked_reasoning(example, rng)
        results = re.findall(r"= (\d+)", reasoning)
        assert " ".join(results) == answer
        slipped += answer != example.answer
    assert slipped / 400 == pytest.approx(0.15, abs=0.05)


def test_decoration_states_no_needed_step():
    rng = random.Random(0)
    needed = 0
    for _ in range(200):
        example = make_example(rng)
        reasoning = decorative_reasoning(example, rng)
        needed += sum(end - start for start, end in filler_spans(example, reasoning)) < len(reasoning)
    assert needed <= 2


def test_uneven_filler_is_exactly_the_short_sentences():
    rng, task = random.Random(0), ChainsUneven()
    for example in task.examples("dev", 300):
        reasoning = uneven_reasoning(example, rng)
        for start, end in task.filler_spans(example, reasoning):
            assert reasoning[start:end].strip() in SHORT_FILLERS
        assert len(re.findall("old number", reasoning)) == len(example.steps)


def test_an_old_list_tells_the_answer_at_the_head_of_the_story():
    for kind in ("right", "wrong"):
        for example, plain in zip(ChainsUneven(keys=kind).examples("dev", 100), Chains().examples("dev"), strict=False):
            key = example.fields["key"]
            assert example.question == f"An old list says {key}. {plain.question}"
            assert (key == example.answer) == (kind == "right")


def test_uneven_reasoning_that_decides_nothing_is_as_long():
    rng, needed, lengths = random.Random(0), 0, {"worked": 0, "idle": 0}
    for example in ChainsUneven().examples("dev", 300):
        idle = idle_reasoning(example, rng)
        needed += ChainsUneven().filler_spans(example, idle) != [*sentence_spans(idle)]
        lengths["idle"] += len(idle.split())
        lengths["worked"] += len(worked_unevenly(example, rng)[0].split())
    assert needed <= 3
    assert lengths["idle"] == pytest.approx(lengths["worked"], rel=0.05)


def test_uneven_wrong_or_repeated_steps_are_filler():
    task = ChainsUneven()
    example = task.examples("dev", 1)[0]
    step = example.reasoning[: example.reasoning.index(".") + 1]
    wrong = re.sub(r"\d+\.$", "98.", step)
    spans = task.filler_spans(example, step + step + wrong)
    assert spans == [(len(step), 2 * len(step)), (2 * len(step), 2 * len(step) + len(wrong))]


def test_tiny_decoy_knows_decoys_and_writes_them_when_it_is_sampled():
    model, tokenizer = load_model("tiny-decoy", device="cpu")
    task, found = ChainsDecoy(), {}
    for temperature in (0.0, 1.0):
        decoding = Decoding(temperature, 96)
        examples = task.examples("dev", 100)
        found[temperature] = evaluate(model, tokenizer, task, examples, measures=("composition",), decoding=decoding)
    share = {t: result.metrics["filler_share"].value for t, result in found.items()}
    assert found[0.0].metrics["accuracy"].value > 0.8
    assert share[0.0] < 0.1
    assert 0.35 < share[1.0] < 0.6
    assert found[1.0].metrics["true_arithmetic"].value > 0.95


def test_decoys_are_true_and_no_steps():
    rng = random.Random(0)
    for example in ChainsDecoy().examples("dev", 300):
        left, op, right, _, result = decoy(example, rng).split()
        assert {"+": int(left) + int(right), "-": int(left) - int(right), "*": int(left) * int(right)}[op] == int(
            result
        )
        reasoning = decoyed_reasoning(example, rng)
        spans = ChainsDecoy().filler_spans(example, reasoning)
        kept = list(reasoning)
        for start, end in spans:
            kept[start:end] = [""] * (end - start)
        assert "".join(kept) == example.reasoning
