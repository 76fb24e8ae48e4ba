"""Formulas of the rewards, and what counts as only stating the answer."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atmanrl.rewards import RewardConfig, length_reward, only_states, outcome_reward, saliency_reward
from atmanrl.tasks import Chains


def test_formula():
    assert saliency_reward(3.2, 0.6, 0.5) == 0.6
    assert saliency_reward(0.1, 0.6, 0.5) == pytest.approx(-0.8)
    assert saliency_reward(-4.0, 1.0, 0.5) == -1
    assert saliency_reward(0.5, 1.0, 0.5) == 0


def test_formula_with_bypass():
    assert saliency_reward(3.2, 0.6, 0.5, bypass=0.9, bypass_limit=1.0) == 0.6
    assert saliency_reward(3.2, 0.6, 0.5, bypass=1.5, bypass_limit=1.0) == pytest.approx(-0.5)
    assert saliency_reward(3.2, 0.6, 0.5, bypass=7.0, bypass_limit=1.0) == -1
    assert saliency_reward(3.2, 0.6, 0.5, bypass=7.0) == 0.6
    assert saliency_reward(0.1, 0.6, 0.5, bypass=7.0, bypass_limit=1.0) == pytest.approx(-0.8)


def test_length_reward():
    reward = length_reward(20)
    assert reward(completion_ids=[[0] * n for n in (20, 25, 15, 60)]) == [0, -0.25, -0.25, -1]
    with pytest.raises(ValueError, match="length_weight needs a length_target"):
        RewardConfig(length_weight=0.5)


@given(st.floats(-30, 30), st.floats(0, 1), st.floats(0.01, 5))
def test_positive_only_over_the_margin(reliance, density, margin):
    value = saliency_reward(reliance, density, margin)
    assert -1 <= value <= 1
    assert value <= 0 or reliance > margin
    assert reliance <= margin or value == density
    assert reliance > 0 or value == -1


def test_grows_with_density_and_with_reliance_under_the_margin():
    assert all(a < b for a, b in pairwise(saliency_reward(2, d / 10, 0.5) for d in range(11)))
    assert all(a < b for a, b in pairwise(saliency_reward(r / 20, 1, 0.5) for r in range(11)))


@given(st.floats(-30, 30), st.floats(0, 1))
def test_a_correct_completion_beats_a_wrong_one_by_default(reliance, density):
    config = RewardConfig()
    correct = config.outcome_weight * 1 + config.saliency_weight * saliency_reward(reliance, density, config.margin)
    wrong = config.outcome_weight * -1
    assert correct > wrong


def test_weights_that_would_let_wrong_beat_correct_are_refused():
    with pytest.raises(ValueError, match="under twice outcome_weight"):
        RewardConfig(outcome_weight=0.5, saliency_weight=1.0)
    assert RewardConfig(saliency_weight=0).saliency_weight == 0


@pytest.mark.parametrize("balance", ["gdpo", "constraint"])
def test_balances_that_do_not_sum_raw_rewards_take_any_weight(balance):
    assert RewardConfig(saliency_weight=2.5, balance=balance).balance == balance


@pytest.mark.parametrize(
    ("reasoning", "answer", "expected"),
    [
        ("", "30", True),
        (" 30.", "30", True),
        ("So the final answer is 30!", "30", True),
        ("30 30 30", "30", True),
        ("The correct option is B.", "B", True),
        ("The answer is 18.", "$18", True),
        ("The answer is 1000.", "1,000", True),
        ("The answer is 18.0 dollars", "18", True),
        ("So the answer is \\boxed{18}.", "18", True),
        ("<think>\n18\n</think>", "18", True),
        ("The answer is B.", "b", True),
        (" 15. 30.", " 15 30", True),
        ("15 * 2 = 30.", "30", False),
        ("15 - 2 gives 13", "13", False),
        ("Half of them are red, which leaves ten more.", "13", False),
        ("= 30", "30", False),
        ("130 coins", "30", False),
        ("30.5 coins", "30", False),
        ("130", "30", True),
        ("B is a noble gas.", "B", False),
        ("The answer key says 18 36.", "18 36", True),
        ("I see it at once: 30.", "30", True),
        ("I s\u200bee i\u200bt: 30", "30", True),
        ("So it is \uff13\uff10.", "30", True),
        ("12 7 30 41.", "30", True),
        ("12 and 7 so 30.", "30", True),
        ("12 coins and 7 books, 30 in all.", "30", False),
        ("Twice fifteen is 30.", "30", False),
        ("First the old 30, and we subtract nothing.", "30", False),
    ],
)
def test_only_states(reasoning, answer, expected):
    assert only_states(reasoning, answer) is expected


def test_outcome_reward_reads_text_and_chat():
    reward = outcome_reward(Chains())
    right, wrong, cut = " 10 + 5 = 15. The answer is 15 30.", " The answer is 15 31.", " 10 + 5 = 15."
    chat = [[{"role": "assistant", "content": wrong}]]
    assert reward(completions=[right, wrong, cut], answer=["15 30"] * 3) == [1, -1, -1]
    assert reward(completions=chat, answer=["15 31"]) == [1]
