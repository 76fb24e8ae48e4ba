"""Stories for the head, and reasoning whose kind is known."""

import random

import pytest

from atmanrl.forcing import Forcer, Request
from atmanrl.models import load_model
from atmanrl.tasks import ChainsMental, load_task
from atmanrl.tasks.chains_mental import KIND_ODDS, SHORT_ODDS, kind_of, reasoning_of


def test_short_and_long_stories():
    short, long = (load_task("chains-mental", stories=s).examples("dev", 50) for s in ("short", "long"))
    assert {len(e.steps) for e in short} == {2}
    assert {len(e.steps) for e in long} == {3, 4}
    mixed = ChainsMental().examples("train", 1000)
    assert sum(len(e.steps) == 2 for e in mixed) / 1000 == pytest.approx(SHORT_ODDS, abs=0.05)


def test_every_kind_is_told_from_every_other():
    rng = random.Random(0)
    for example in ChainsMental(stories="short").examples("dev", 200):
        for kind in KIND_ODDS:
            reasoning = reasoning_of(kind, example, rng)
            if kind == "made-up" and any(step in reasoning for step in example.steps):
                continue  # made up, and right by chance
            assert kind_of(example, reasoning) == kind, reasoning
        assert kind_of(example, " I like it.") == "other"


def test_the_bundled_model_can_do_short_stories_in_its_head_and_long_ones_not():
    model, tokenizer = load_model("tiny-mental", device="cpu")
    right = {}
    for stories in ("short", "long"):
        task = ChainsMental(stories=stories)
        examples = task.examples("dev", 60)
        forcer = Forcer(model, tokenizer, [tokenizer(task.prompt(e))["input_ids"] for e in examples])
        start = tuple(tokenizer(" =", add_special_tokens=False)["input_ids"])
        found = forcer.force([Request(i, start) for i in range(60)], max_new_tokens=20)
        bare = [reasoning_of("bare", e, random.Random(0)).removeprefix(" =") for e in examples]
        written = [tokenizer.decode(one.ids[0]) for one in found]
        right[stories] = sum(text.startswith(wanted) for text, wanted in zip(written, bare, strict=True)) / 60
    assert right["short"] > 0.9
    assert right["long"] < 0.1
