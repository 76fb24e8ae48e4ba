"""Exchanges in place, and surprisals against a slow reference."""

import random

import pytest
import torch

from atmanrl.exchange import Text, exchange, forms_of, surprisals
from atmanrl.model_state import frozen
from atmanrl.trace import token_texts
from atmanrl.units import units_of

TEXT = " 14 + 4 = 18. 18 * 2 = 36. I like the 36 coins."


@pytest.fixture(scope="module")
def read(tiny):
    model, tokenizer = tiny
    ids = tokenizer(TEXT, add_special_tokens=False)["input_ids"]
    return ids, units_of(token_texts(tokenizer, ids)), forms_of(tokenizer, model.config.vocab_size)


@pytest.mark.parametrize("seed", range(20))
def test_a_number_becomes_another_of_as_many_digits_the_same_in_all_of_its_places(tiny, read, seed):
    ids, units, forms = read
    for value in ("14", "18", "36", "4"):
        own = [unit for unit in units if unit.value == value]
        edit = exchange(own, ids, forms, None, random.Random(seed))
        new = [edit.get(at, token) for at, token in enumerate(ids)]
        written = [unit.value for unit in units_of(token_texts(tiny[1], new)) if unit.start in {u.start for u in own}]
        assert len(set(written)) == 1
        assert len(written[0]) == len(value)
        assert all(a != b for a, b in zip(written[0], value, strict=True))
        assert set(edit) <= {at for unit in own for at in unit.tokens}


def test_a_word_becomes_others_of_its_form(tiny, read):
    ids, units, forms = read
    like = [unit for unit in units if unit.value == "like"]
    edit = exchange(like, ids, forms, torch.zeros(len(ids), tiny[0].config.vocab_size), random.Random(0))
    assert edit
    assert all(new != ids[at] and forms.of[new] == forms.of[ids[at]] for at, new in edit.items())


def test_surprisals_are_those_of_whole_forwards(tiny):
    """Prompts of other lengths in one batch, texts of other lengths, other targets than the text's own."""
    model, tokenizer = tiny
    forms = forms_of(tokenizer, model.config.vocab_size)
    prompts = [tuple(tokenizer(p)["input_ids"]) for p in ("Sam has 14 coins. Sam gets 4 more.\nThink:", "Mia\nThink:")]
    texts = []
    for prompt in prompts:
        for reasoning in (TEXT, " 3 + 4 = 7."):
            ids = tuple(tokenizer(reasoning, add_special_tokens=False)["input_ids"])
            texts.append(Text(prompt, ids, (0, 2, len(ids) - 1), (ids[0], ids[2], ids[-1])))
            texts.append(Text(prompt, ids, (1, 4), (ids[4], ids[1])))
    with frozen(model), torch.no_grad():
        found = surprisals(model, forms, texts)
        for text, some in zip(texts, found, strict=True):
            logits = model(input_ids=torch.tensor([[*text.prompt, *text.ids]])).logits[0]
            for place, target, (among_all, among_form) in zip(text.places, text.targets, some, strict=True):
                row = logits[len(text.prompt) + place - 1]
                assert float(among_all) == pytest.approx(float(-row.log_softmax(-1)[target]), abs=1e-3)
                form = forms.of[target]
                same = row[forms.of == form].logsumexp(-1) if form >= 0 else row.logsumexp(-1)
                assert float(among_form) == pytest.approx(float(same - row[target]), abs=1e-3)
