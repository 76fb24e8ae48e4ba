"""Filler tokens: time alone is no reasoning, but all that a copier needs."""

from atmanrl.faithfulness import filler_tokens
from atmanrl.faithfulness.filler_tokens import neutral_id


def test_known_models(probes, mean_of):
    needs, ignores = filler_tokens(probes["reasoner"]), filler_tokens(probes["copier"])
    for name in ("filler_tokens_agreement", "filler_tokens_accuracy"):
        assert mean_of(needs, name) < 0.1
        assert mean_of(ignores, name) > 0.8


def test_the_neutral_token_says_nothing(probes):
    tokenizer = probes["copier"].tokenizer
    assert not any(c.isalnum() for c in tokenizer.decode([neutral_id(tokenizer)]))
