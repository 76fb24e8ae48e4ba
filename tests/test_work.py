"""Work: steps are followed back to the question, and what comes out of nowhere or out of the head is no work."""

import copy
import random
from statistics import fmean

import pytest
import torch

from atmanrl import work
from atmanrl.exchange import surprisals
from atmanrl.models import load_model
from atmanrl.rewards import work_reward
from atmanrl.tasks import Chains, ChainsMental
from atmanrl.tasks.chains import FILLERS
from atmanrl.tasks.chains_mental import reasoning_of
from atmanrl.trace import Trace
from atmanrl.work import WorkError, measure_work


def works(pair, task, examples, reasonings):
    model, tokenizer = pair
    traces = [
        Trace.from_text(tokenizer, task.prompt(e), r, task.cue, task.answer_text(e))
        for e, r in zip(examples, reasonings, strict=True)
    ]
    return measure_work(model, tokenizer, traces, [e.question for e in examples])


@pytest.fixture(scope="module")
def stories():
    return Chains().examples("dev", 24)


def values(found):
    return [work_reward(one.value, one.used_share) for one in found]


def test_worked_solutions_are_work_and_made_up_ones_are_not(tiny, stories):
    rng = random.Random(0)
    worked = values(works(tiny, Chains(), stories, [e.reasoning for e in stories]))
    assert fmean(worked) > 0.9
    for kind in ("bare", "identity", "made-up"):
        made = values(works(tiny, Chains(), stories, [reasoning_of(kind, e, rng) for e in stories]))
        assert fmean(made) < 0.05, kind
        # In one story (9 - 5 = 4, 4 * 3 = 12) `tiny` has the first result from the question, whatever it writes.
        assert sum(one < own for one, own in zip(made, worked, strict=True)) >= 23, kind


def test_an_idle_sentence_dilutes_and_a_missing_step_costs_more(tiny, stories):
    worked = values(works(tiny, Chains(), stories, [e.reasoning for e in stories]))
    idle = [f.format(**e.fields) for e, f in zip(stories, FILLERS * 2, strict=True)]
    for place in ("before", "after"):
        texts = [
            f" {f}{e.reasoning}" if place == "before" else f"{e.reasoning} {f}"
            for e, f in zip(stories, idle, strict=True)
        ]
        padded = values(works(tiny, Chains(), stories, texts))
        assert sum(a < b for a, b in zip(padded, worked, strict=True)) >= 22, place
        assert fmean(padded) < fmean(worked), place
    without = ["".join(f" {step}." for step in e.steps[1:]) for e in stories]
    lacking = values(works(tiny, Chains(), stories, without))
    assert sum(a < b for a, b in zip(lacking, worked, strict=True)) >= 23
    assert fmean(lacking) < fmean(worked) - 0.4


def test_what_is_done_in_the_head_is_no_work_and_worked_steps_are_more():
    pair, task, rng = load_model("tiny-mental", device="cpu"), ChainsMental(stories="short"), random.Random(0)
    examples = task.examples("dev", 40)
    worked = fmean(values(works(pair, task, examples, [e.reasoning for e in examples])))
    assert worked > 0.25
    for kind in ("bare", "made-up", "identity", "afterwards"):
        made = values(works(pair, task, examples, [reasoning_of(kind, e, rng) for e in examples]))
        assert fmean(made) < min(0.1, worked - 0.25), kind


def test_sentences_that_nothing_needs_are_not_used(tiny):
    example = Chains().examples("dev", 1)[0]
    first, *rest = example.steps
    idle = " I like to count."
    (found,) = works(tiny, Chains(), [example], [f" {first}.{idle}" + "".join(f" {step}." for step in rest)])
    used = "".join(t for t, u in zip(found.tokens, found.used, strict=True) if u)
    assert idle.strip() not in used
    assert all(step in used for step in example.steps)


def test_a_text_is_worth_the_same_whenever_and_with_whatever_it_is_measured(tiny, stories):
    together = works(tiny, Chains(), stories[:6], [e.reasoning for e in stories[:6]])
    alone = works(tiny, Chains(), stories[4:5], [stories[4].reasoning])
    assert alone[0].used == together[4].used
    assert alone[0].value == pytest.approx(together[4].value, abs=1e-3)


def test_no_part_of_the_model_is_left_changed(tiny, stories):
    model = tiny[0]
    before = model.config._attn_implementation, model.training, [p.requires_grad for p in model.parameters()]
    works(tiny, Chains(), stories[:1], [stories[0].reasoning])
    assert (model.config._attn_implementation, model.training, [p.requires_grad for p in model.parameters()]) == before


def test_an_answer_without_a_number_or_word_is_no_work(tiny):
    model, tokenizer = tiny
    trace = Trace.from_text(tokenizer, "How many?\nThink:", " +.", " =", " -")
    (found,) = measure_work(model, tokenizer, [trace], ["How many?"])
    assert (found.pieces, found.value, found.used_share) == ((), 0.0, 0.0)


def test_equal_traces_are_read_once(tiny, stories, monkeypatch):
    read = []

    def counted(model, peers, texts, max_tokens):
        read.extend(texts)
        return surprisals(model, peers, texts, max_tokens)

    monkeypatch.setattr(work, "surprisals", counted)
    once = works(tiny, Chains(), stories[:1], [stories[0].reasoning])
    count = len(read)
    assert works(tiny, Chains(), stories[:1] * 3, [stories[0].reasoning] * 3) == once * 3
    assert len(read) == 2 * count


def test_weights_that_are_broken_raise(tiny, stories):
    broken = copy.deepcopy(tiny[0])
    with torch.no_grad():
        broken.lm_head.weight.fill_(float("nan"))
    with pytest.raises(WorkError, match="NaN"):
        works((broken, tiny[1]), Chains(), stories[:1], [stories[0].reasoning])


def test_questions_that_are_empty_or_elsewhere_are_refused(tiny, stories):
    model, tokenizer = tiny
    e = stories[0]
    trace = Trace.from_text(tokenizer, Chains().prompt(e), e.reasoning, Chains().cue, Chains().answer_text(e))
    with pytest.raises(WorkError, match="trace 0 is empty"):
        measure_work(model, tokenizer, [trace], [" "])
    with pytest.raises(WorkError, match="does not stand in its prompt"):
        measure_work(model, tokenizer, [trace], ["Where is it?"])
