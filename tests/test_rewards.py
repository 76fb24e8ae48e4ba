"""Formulas of the rewards, and what counts as only stating the answer."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atmanrl.rewards import RewardConfig, length_reward, outcome_reward, saliency_reward, work_reward
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


@given(st.floats(0, 1), st.floats(0, 1))
def test_work_is_diluted_by_what_stands_beside_it(work, used):
    assert 0 <= work_reward(work, used) <= min(work, used)
    assert work_reward(work, 1.0) == work


def test_fields_of_the_mask_are_refused_beside_work():
    for field in ({"margin": 1.0}, {"bypass_limit": None}, {"cut_after_told": False}):
        assert RewardConfig(quantity="mask", **field)
        with pytest.raises(ValueError, match="set quantity 'mask'"):
            RewardConfig(**field)


def test_outcome_reward_reads_text_and_chat():
    reward = outcome_reward(Chains())
    right, wrong, cut = " 10 + 5 = 15. The answer is 15 30.", " The answer is 15 31.", " 10 + 5 = 15."
    chat = [[{"role": "assistant", "content": wrong}]]
    assert reward(completions=[right, wrong, cut], answer=["15 30"] * 3) == [1, -1, -1]
    assert reward(completions=chat, answer=["15 31"]) == [1]
