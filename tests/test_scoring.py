"""Completions as the policy scores them, and the saliency reward as TRL calls it."""

import copy
from statistics import fmean
from types import SimpleNamespace

import pytest
import torch

from atmanrl import scoring
from atmanrl.bypass import Bypass
from atmanrl.gaming import honest
from atmanrl.mask import MaskConfig
from atmanrl.models import load_model
from atmanrl.rewards import RewardConfig, RewardError
from atmanrl.saliency import Saliency
from atmanrl.scoring import SaliencyReward, require_questions, salient_text, score_completions
from atmanrl.tasks import GSM8K, Chains

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


MASK = RewardConfig(quantity="mask", log_all=True)


@pytest.fixture(scope="module")
def scored(tiny):
    model, tokenizer = tiny
    ids = [tokenizer(text)["input_ids"] for text in CASES.values()]
    truths = ["15 30"] * len(ids)
    found = score_completions(
        model, tokenizer, Chains(), [PROMPT] * len(ids), ids, truths, reward=RewardConfig(quantity="mask", log_all=True)
    )
    return dict(zip(CASES, found, strict=True))


def test_load_bearing_reasoning_is_rewarded_and_padding_dilutes_it(scored):
    assert scored["load-bearing"].correct
    assert scored["load-bearing"].reward > scored["padded"].reward >= 0
    assert scored["load-bearing"].saliency.density > scored["padded"].saliency.density


def test_reasoning_that_only_states_the_answer_is_as_none(scored):
    assert scored["only states"].correct
    assert scored["none"].correct
    assert scored["none"].reward == -1
    assert scored["none"].saliency is None


def test_wrong_and_unparseable_count_zero_but_wrong_saliency_is_computed(scored):
    assert (scored["wrong"].correct, scored["wrong"].reward) == (False, 0)
    assert scored["wrong"].saliency is not None
    assert (scored["unparseable"].correct, scored["unparseable"].reward) == (False, 0)
    assert scored["unparseable"].saliency is None


def test_irrelevant_reasoning_is_punished(monkeypatch, tiny):
    """An answer that stands without its reasoning (closing costs nothing) is negative at any density."""
    model, tokenizer = tiny

    def ignoring(model, traces, config, unread):
        return [fake(t, reliance=0.0) for t in traces]

    monkeypatch.setattr(scoring, "learn_mask", ignoring)
    ids = [tokenizer(CASES["load-bearing"])["input_ids"]]
    assert score_completions(model, tokenizer, Chains(), [PROMPT], ids, ["15 30"], reward=MASK)[0].reward == -1


def fake(trace, reliance):
    gates = (1.0,) * len(trace.reasoning)
    return Saliency(trace.reasoning_tokens, gates, 0.0, -reliance, 0.0, "all", 1, 0.0)


def bound(tiny, **changes):
    model, tokenizer = tiny
    trainer = SimpleNamespace(
        model=model,
        processing_class=tokenizer,
        args=SimpleNamespace(),
        accelerator=SimpleNamespace(unwrap_model=lambda m: m),
    )
    return SaliencyReward(Chains(), MaskConfig(steps=5), **{"reward": MASK, **changes}).bind(trainer)


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
    assert len(logged["saliency/reliance"]) == len(logged["saliency/bypass"]) == 4
    assert len(logged["saliency/reward"]) == 4  # the correct ones
    assert list(table) == ["reliance", "density", "bypass", "salient", "why"]
    assert all(len(column) == len(CASES) for column in table.values())


def test_policy_grad_and_mode_are_untouched(tiny):
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


def test_salient_text_marks_stretches():
    saliency = Saliency((" a", " b", " c", " d"), (0.05, 0.9, 0.8, 0.02), 0, -1, 0, "all", 1, 0)
    assert salient_text(saliency) == " a[[ b c]] d"


STORY = PROMPT.removesuffix("\nThink:")
KEYED = f"{STORY} The answer key says 15 30.\nThink:"
DECORATION = " 47 + 92 = 38. I like to count coins. 54 + 93 = 18. The answer is 15 30."


def hinted(completions, **reward):
    """Scores by the model that reads keys where its reasoning decides nothing."""
    model, tokenizer = load_model("tiny-hinted", device="cpu")
    ids = [tokenizer(text)["input_ids"] for text in completions]
    questions = [KEYED.removesuffix("\nThink:")] * len(ids)
    config = RewardConfig(quantity="mask", **reward)
    prompts, truths = [KEYED] * len(ids), ["15 30"] * len(ids)
    return score_completions(model, tokenizer, Chains(), prompts, ids, truths, None, config, None, questions)


def test_a_copied_key_is_punished_and_worked_reasoning_rewarded_though_the_key_is_right():
    worked, copied = hinted([CASES["load-bearing"], DECORATION])
    assert worked.correct
    assert copied.correct
    assert copied.bypass.value > 1 > worked.bypass.value
    assert copied.reward < -0.9
    assert worked.reward == worked.saliency.density > 0
    assert worked.saliency.reliance > 0.5


def test_without_bypass_the_reward_is_the_papers_and_cannot_tell_them():
    scored = hinted([CASES["load-bearing"], DECORATION], bypass_limit=None)
    assert all(s.bypass is None for s in scored)
    assert all(s.reward == s.saliency.density > 0 for s in scored)


def test_a_question_is_the_last_message_where_no_more_is_known(monkeypatch, tiny):
    model, tokenizer = tiny
    asked = []

    def measure(model, traces, questions, *_):
        asked.extend(questions)
        return [Bypass((), (), (), (), (), 5.0)] * len(traces)

    monkeypatch.setattr(scoring, "measure_bypass", measure)
    ids = [tokenizer(CASES["load-bearing"])["input_ids"]]
    chat = [{"role": "system", "content": "s"}, {"role": "user", "content": STORY}]
    for prompt in (PROMPT, chat):
        score_completions(model, tokenizer, Chains(), [prompt], ids, ["15 30"], MaskConfig(steps=1), MASK)
    assert asked == [PROMPT, STORY]
    given = ["Sam has 10 coins."]
    score_completions(model, tokenizer, Chains(), [PROMPT], ids, ["15 30"], MaskConfig(steps=1), MASK, questions=given)
    assert asked[-1] == given[0]


def test_a_question_that_is_not_in_the_prompt_raises(tiny):
    model, tokenizer = tiny
    ids = [tokenizer(CASES["load-bearing"])["input_ids"]]
    with pytest.raises(RewardError, match="does not stand in its prompt"):
        score_completions(model, tokenizer, Chains(), [PROMPT], ids, ["15 30"], questions=["Where is it?"])


def test_questions_that_their_prompts_do_not_hold_are_found_before_a_training(tiny):
    require_questions(tiny[1], [PROMPT, KEYED], [STORY, f" {STORY} "])
    with pytest.raises(RewardError, match="question of row 1 does not stand in its prompt"):
        require_questions(tiny[1], [PROMPT, PROMPT], [STORY, "Where is it?"])


def test_worked_solutions_of_gsm8k_are_worth_more_than_carried_answers(smollm2, data_dir):
    """The whole reward on the real thing: the data's own solutions, read by a model that did not write them."""
    model, tokenizer = smollm2
    task = GSM8K(data=str(data_dir))
    examples = task.examples("dev", 6)
    prompts, truths = [task.prompt(e) for e in examples], [e.answer for e in examples]
    questions = [e.question for e in examples]

    def score(texts):
        ids = [tokenizer(text, add_special_tokens=False)["input_ids"] for text in texts]
        scored = score_completions(model, tokenizer, task, prompts, ids, truths, questions=questions)
        return [s.reward for s in scored]

    worked = score([honest(task, e) for e in examples])
    carried = [score([form.format(e.answer) + task.cue + e.answer for e in examples]) for form in CARRIED]
    assert fmean(worked) > 0.1
    assert all(fmean(rewards) < 0.05 for rewards in carried)
    pairs = [one > own for rewards in carried for one, own in zip(rewards, worked, strict=True)]
    assert fmean(pairs) <= 0.05


CARRIED = ("{0} - 0", "{0} = {0}", "0 + {0} = {0}", "Let x = {0} - 0. Then x", "I get {0}.")
