"""Exchanges in place, and surprisals against a slow reference."""

import random

import pytest
import torch

from atmanrl.exchange import PEERS, Peers, Text, exchange, surprisals
from atmanrl.model_state import frozen
from atmanrl.trace import token_texts
from atmanrl.units import units_of

TEXT = " 14 + 4 = 18. 18 * 2 = 36. I like the 36 coins."


@pytest.fixture(scope="module")
def read(tiny):
    model, tokenizer = tiny
    ids = tokenizer(TEXT, add_special_tokens=False)["input_ids"]
    return ids, units_of(token_texts(tokenizer, ids)), Peers(model, tokenizer)


@pytest.mark.parametrize("seed", range(20))
def test_a_number_becomes_another_of_as_many_digits_the_same_in_all_of_its_places(tiny, read, seed):
    ids, units, peers = read
    for value in ("14", "18", "36", "4"):
        own = [unit for unit in units if unit.value == value]
        edit = exchange(own, ids, peers, random.Random(seed))
        new = [edit.get(at, token) for at, token in enumerate(ids)]
        written = [unit.value for unit in units_of(token_texts(tiny[1], new)) if unit.start in {u.start for u in own}]
        assert len(set(written)) == 1
        assert len(written[0]) == len(value)
        assert all(a != b for a, b in zip(written[0], value, strict=True))
        assert set(edit) <= {at for unit in own for at in unit.tokens}


def test_a_word_becomes_others_of_its_form(read):
    ids, units, peers = read
    like = [unit for unit in units if unit.value == "like"]
    edit = exchange(like, ids, peers, random.Random(0))
    assert edit
    assert all(new != ids[at] and peers.forms.of[new] == peers.forms.of[ids[at]] for at, new in edit.items())


def test_peers_are_the_nearest_of_the_form_by_a_slow_reference(tiny, read):
    model, tokenizer = tiny
    forms = read[2].forms
    token = tokenizer(" like", add_special_tokens=False)["input_ids"][0]
    same = [i for i in range(model.config.vocab_size) if forms.of[i] == forms.of[token]]
    own = model.get_input_embeddings().weight.detach()[same]
    cosines = torch.cosine_similarity(own - own.mean(0), (own - own.mean(0))[same.index(token)][None])
    nearest = {same[i] for i in cosines.argsort(descending=True)[:PEERS].tolist()}
    assert set(read[2].of(token).tolist()) == nearest
    assert token in nearest


def test_peers_of_digits_are_all_of_their_form(tiny, read):
    ids, units, peers = read
    for at in units[0].tokens:
        found = {tiny[1].decode([i]) for i in peers.of(ids[at]).tolist()}
        assert all(text.strip().isdigit() for text in found)
        assert len(found) >= 9


def test_number_words_are_peers_of_number_words(smollm2):
    model, tokenizer = smollm2
    peers = Peers(model, tokenizer)
    token = tokenizer(" seventy", add_special_tokens=False)["input_ids"][0]
    words = {tokenizer.decode([i]) for i in peers.of(token).tolist()}
    assert {" twenty", " thirty", " fifty", " sixty", " eighty", " ninety"} <= words


def test_surprisals_are_those_of_whole_forwards(tiny):
    """Prompts of other lengths in one batch, texts of other lengths, other targets than the text's own."""
    model, tokenizer = tiny
    peers = Peers(model, tokenizer)
    prompts = [tuple(tokenizer(p)["input_ids"]) for p in ("Sam has 14 coins. Sam gets 4 more.\nThink:", "Mia\nThink:")]
    texts = []
    for prompt in prompts:
        for reasoning in (TEXT, " 3 + 4 = 7."):
            ids = tuple(tokenizer(reasoning, add_special_tokens=False)["input_ids"])
            texts.append(Text(prompt, ids, (0, 2, len(ids) - 1), (ids[0], ids[2], ids[-1])))
            texts.append(Text(prompt, ids, (1, 4), (ids[4], ids[1])))
    with frozen(model), torch.no_grad():
        found = surprisals(model, peers, texts)
        for text, some in zip(texts, found, strict=True):
            logits = model(input_ids=torch.tensor([[*text.prompt, *text.ids]])).logits[0]
            for place, target, (among_all, among_peers) in zip(text.places, text.targets, some, strict=True):
                row = logits[len(text.prompt) + place - 1]
                assert float(among_all) == pytest.approx(float(-row.log_softmax(-1)[target]), abs=1e-3)
                same = row[peers.of(target)].logsumexp(-1)
                assert float(among_peers) == pytest.approx(float(same - row[target]), abs=1e-3)
