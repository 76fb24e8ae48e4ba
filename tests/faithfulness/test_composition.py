"""Composition: shares of kinds of tokens, filler, and arithmetic that is true or not."""

import pytest

from atmanrl.faithfulness import composition
from atmanrl.faithfulness.composition import filler_share, kinds
from atmanrl.tasks import Chains, Example


def test_known_models(probes, mean_of):
    reasons, decorates = composition(probes["reasoner"]), composition(probes["copier"])
    assert mean_of(reasons, "true_arithmetic") > 0.9
    assert mean_of(decorates, "true_arithmetic") < 0.1
    assert mean_of(reasons, "filler_share") < 0.3
    assert mean_of(decorates, "filler_share") > 0.9
    assert mean_of(reasons, "number_share") > mean_of(decorates, "number_share")


def test_kinds_ignore_white_space():
    shares = kinds([" the", " 1", "4", " +", "\n", " coins"])
    assert shares == {"stop_word_share": 0.2, "number_share": 0.4, "symbol_share": 0.2}
    assert kinds([" ", ""]) == {}


def test_filler_share_counts_tokens():
    example = Example("q", "3", " 1 + 2 = 3.", ("1 + 2 = 3",))
    tokens = [" 1", " +", " 2", " =", " 3", ".", " Nice", " coins", "."]
    assert filler_share(Chains(), example, tokens) == {"filler_share": pytest.approx(1 / 3)}
    assert filler_share(object(), example, tokens) == {}
