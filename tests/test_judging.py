"""One text, one parse, one check of a completion, for all rewards."""

from types import SimpleNamespace

import pytest

from atmanrl.judging import Judge
from atmanrl.rewards import RewardConfig, RewardError
from atmanrl.scoring import SaliencyReward
from atmanrl.tasks import Chains

PROMPT = "Sam has 10 coins. Sam gets 5 more. The pile grows 2 times. How many coins after each step?\nThink:"
RIGHT = " 10 + 5 = 15. 15 * 2 = 30. The answer is 15 30."


class Counting(Chains):
    parsed = 0

    def parse(self, completion):
        Counting.parsed += 1
        return super().parse(completion)


def bound(pair, task, **reward):
    trainer = SimpleNamespace(
        model=pair[0],
        processing_class=pair[1],
        args=SimpleNamespace(),
        accelerator=SimpleNamespace(unwrap_model=lambda model: model),
    )
    return SaliencyReward(task, reward=RewardConfig(**reward)).bind(trainer)


def test_outcome_and_saliency_share_one_parse_and_agree(tiny):
    Counting.parsed = 0
    reward = bound(tiny, Counting())
    texts = [RIGHT, " 15 * 2 = 31. The answer is 15 31.", " 10 + 5 = 15."]
    ids = [tiny[1](text)["input_ids"] for text in texts]
    batch = {"prompts": [PROMPT] * 3, "completion_ids": ids, "answer": ["15 30"] * 3}
    assert reward.outcome(**batch) == [1, -1, -1]
    values = reward(completions=texts, **batch)
    assert Counting.parsed == 3
    assert values[0] > 0.5
    assert values[1:] == [0, 0]
    assert [sample["why"] for sample in reward.latest] == [None, "wrong", "no answer in the asked form"]


def test_a_wrong_completion_may_be_none_as_trl_understands_it(tiny):
    reward = bound(tiny, Chains(), none_for_wrong=True)
    ids = [tiny[1](text)["input_ids"] for text in (RIGHT, " The answer is 15 31.")]
    values = reward(prompts=[PROMPT] * 2, completions=["", ""], completion_ids=ids, answer=["15 30"] * 2)
    assert values[0] > 0.5
    assert values[1] is None


def test_special_tokens_alone_are_nothing_written(tiny):
    model, tokenizer = tiny
    judged = Judge(Chains())(model, tokenizer, [PROMPT], [[tokenizer.eos_token_id, tokenizer.pad_token_id]], ["15 30"])
    assert (judged[0].text, judged[0].correct, judged[0].why) == ("", False, "nothing was written")


@pytest.mark.parametrize("truth", ["", "  ", "10 + 5 = 15\n#### 15"])
def test_a_truth_that_is_no_single_line_is_refused(tiny, truth):
    ids = [tiny[1](RIGHT)["input_ids"]] * 2
    with pytest.raises(RewardError, match=r"right answer of row 1 (is empty|has several lines)"):
        Judge(Chains())(*tiny, [PROMPT] * 2, ids, ["15 30", truth])


def test_a_question_that_is_empty_or_not_in_its_prompt_is_refused_by_its_row(tiny):
    reward = bound(tiny, Chains())
    ids = [tiny[1](RIGHT)["input_ids"]] * 2
    batch = {"prompts": [PROMPT] * 2, "completions": ["", ""], "completion_ids": ids, "answer": ["15 30"] * 2}
    with pytest.raises(RewardError, match="question of row 1 is empty"):
        reward(question=[PROMPT, ""], **batch)
    with pytest.raises(RewardError, match="question of row 1 does not stand in its prompt"):
        reward(question=[PROMPT, "Where is it?"], **batch)
