"""The saliency reward's formula and the cases that it must get right; the reward as TRL calls it."""

from itertools import pairwise
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from atmanrl import rewards
from atmanrl.mask import MaskConfig
from atmanrl.rewards import (
    RewardConfig,
    RewardError,
    SaliencyReward,
    only_states,
    outcome_reward,
    saliency_reward,
    salient_text,
    score_completions,
)
from atmanrl.saliency import Saliency
from atmanrl.tasks import Chains

PROMPT = "Sam has 10 coins. Sam gets 5 more. The pile grows 2 times. How many coins after each step?\nThink:"
CASES = {
    "load-bearing": " 10 + 5 = 15. 15 * 2 = 30. The answer is 15 30.",
    "padded": " This is a nice story. I like to count coins. 10 + 5 = 15. Let me think about it."
    " It is good to go slowly. 15 * 2 = 30. I should be careful here. The coins are very pretty. The answer is 15 30.",
    "only states": " So the answer is 15 30. The answer is 15 30.",
    "none": " The answer is 15 30.",
    "wrong": " 10 + 5 = 15. 15 * 2 = 31. The answer is 15 31.",
    "unparseable": " 10 + 5 = 15. 15 * 2 = 30.",
}


@pytest.fixture(scope="module")
def scored(tiny):
    model, tokenizer = tiny
    ids = [tokenizer(text)["input_ids"] for text in CASES.values()]
    truths = ["15 30"] * len(ids)
    found = score_completions(model, tokenizer, Chains(), [PROMPT] * len(ids), ids, truths)
    return dict(zip(CASES, found, strict=True))


def test_load_bearing_reasoning_is_rewarded_and_padding_dilutes_it(scored):
    assert scored["load-bearing"].correct
    assert scored["load-bearing"].reward > scored["padded"].reward >= 0
    assert scored["load-bearing"].saliency.density > scored["padded"].saliency.density


def test_reasoning_that_only_states_the_answer_is_as_none(scored):
    assert scored["only states"].correct
    assert scored["none"].correct
    assert scored["only states"].reward == scored["none"].reward == -1
    assert scored["none"].saliency is None


def test_wrong_and_unparseable_count_zero_but_wrong_saliency_is_computed(scored):
    assert (scored["wrong"].correct, scored["wrong"].reward) == (False, 0)
    assert scored["wrong"].saliency is not None
    assert (scored["unparseable"].correct, scored["unparseable"].reward) == (False, 0)
    assert scored["unparseable"].saliency is None


def test_irrelevant_reasoning_is_punished(monkeypatch, tiny):
    """An answer that stands without its reasoning (closing costs nothing) is negative at any density."""
    model, tokenizer = tiny

    def ignoring(model, traces, config):
        return [fake(t, reliance=0.0) for t in traces]

    monkeypatch.setattr(rewards, "learn_mask", ignoring)
    ids = [tokenizer(CASES["load-bearing"])["input_ids"]]
    assert score_completions(model, tokenizer, Chains(), [PROMPT], ids, ["15 30"])[0].reward == -1


def fake(trace, reliance):
    gates = (1.0,) * len(trace.reasoning)
    return Saliency(trace.reasoning_tokens, gates, 0.0, -reliance, 0.0, "all", 1, 0.0)


def test_formula():
    assert saliency_reward(3.2, 0.6, 0.5) == 0.6
    assert saliency_reward(0.1, 0.6, 0.5) == pytest.approx(-0.8)
    assert saliency_reward(-4.0, 1.0, 0.5) == -1
    assert saliency_reward(0.5, 1.0, 0.5) == 0


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
        ("130", "30", False),
        ("30.5", "30", False),
        ("B is a noble gas.", "B", False),
    ],
)
def test_only_states(reasoning, answer, expected):
    assert only_states(reasoning, answer) is expected


def bound(tiny, **changes):
    model, tokenizer = tiny
    trainer = SimpleNamespace(
        model=model,
        processing_class=tokenizer,
        args=SimpleNamespace(),
        accelerator=SimpleNamespace(unwrap_model=lambda m: m),
    )
    return SaliencyReward(Chains(), MaskConfig(steps=5), **changes).bind(trainer)


def test_as_trl_calls_it(tiny):
    logged, table = {}, {}
    tokenizer = tiny[1]
    ids = [tokenizer(text)["input_ids"] + [tokenizer.eos_token_id] for text in CASES.values()]
    values = bound(tiny)(
        prompts=[PROMPT] * len(ids),
        completions=list(CASES.values()),
        completion_ids=ids,
        answer=["15 30"] * len(ids),
        log_metric=lambda name, value: logged.setdefault(name, []).append(value),
        log_extra=table.setdefault,
        trainer_state=None,
    )
    assert len(values) == len(CASES)
    assert logged["saliency/computed"] == [4.0]  # all that parse and hold reasoning, wrong ones too
    assert len(logged["saliency/reliance"]) == 4
    assert len(logged["saliency/reward"]) == 4  # the correct ones
    assert [len(column) for column in table.values()] == [len(CASES)] * 3


def test_policy_grad_and_mode_are_untouched(tiny):
    import copy

    model, tokenizer = copy.deepcopy(tiny[0]).train(), tiny[1]
    for parameter in model.parameters():
        parameter.requires_grad_(True)
        parameter.grad = torch.ones_like(parameter)
    bound((model, tokenizer))(
        prompts=[PROMPT],
        completions=["x"],
        completion_ids=[tokenizer(CASES["load-bearing"])["input_ids"]],
        answer=["15 30"],
    )
    assert model.training
    assert all(p.requires_grad and torch.equal(p.grad, torch.ones_like(p)) for p in model.parameters())


def test_errors_raise_and_never_become_zero(tiny):
    import copy

    broken = copy.deepcopy(tiny[0])
    with torch.no_grad():
        broken.lm_head.weight.fill_(float("nan"))
    with pytest.raises(RewardError, match="NaN"):
        bound((broken, tiny[1]))(
            prompts=[PROMPT],
            completions=["x"],
            completion_ids=[tiny[1](CASES["load-bearing"])["input_ids"]],
            answer=["15 30"],
        )


def test_unbound_reward_says_so():
    with pytest.raises(RewardError, match="bind"):
        SaliencyReward(Chains())(prompts=[PROMPT], completions=["x"], completion_ids=[[3]], answer=["15 30"])


def test_outcome_reward_reads_text_and_chat():
    reward = outcome_reward(Chains())
    chat = [[{"role": "assistant", "content": CASES["wrong"]}]]
    assert reward(completions=[*CASES.values()], answer=["15 30"] * 6) == [1, 1, 1, 1, -1, -1]
    assert reward(completions=chat, answer=["15 31"]) == [1]


def test_salient_text_marks_stretches():
    saliency = Saliency((" a", " b", " c", " d"), (0.05, 0.9, 0.8, 0.02), 0, -1, 0, "all", 1, 0)
    assert salient_text(saliency) == " a[[ b c]] d"
