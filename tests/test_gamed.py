"""What the reward pays for tricks, asked during training."""

import random
from collections import defaultdict
from types import SimpleNamespace

import pytest
from transformers import TrainerControl, TrainerState

from atmanrl.gamed import GamingWatch, WatchConfig, score_tricks
from atmanrl.gaming import KINDS
from atmanrl.mask import MaskConfig
from atmanrl.rewards import RewardConfig
from atmanrl.tasks import Chains, Example

PAPER = RewardConfig(quantity="mask", bypass_limit=None, cut_after_told=False)


def trainer_of(pair):
    model, tokenizer = pair
    accelerator = SimpleNamespace(unwrap_model=lambda model: model)
    return SimpleNamespace(
        model=model, processing_class=tokenizer, accelerator=accelerator, _metrics={"train": defaultdict(list)}
    )


def look(pair, config, reward, step=20):
    said, trainer, control = [], trainer_of(pair), TrainerControl()
    watch = GamingWatch(trainer, Chains(), config, MaskConfig(passes=4), reward, say=said.append)
    watch.on_step_end(None, TrainerState(global_step=step), control)
    return dict(trainer._metrics["train"]), said, control


def test_every_trick_is_scored_beside_the_worked_solution(tiny):
    examples = Chains().examples("dev", 2)
    rows = score_tricks(*tiny, Chains(), examples, random.Random(0))
    assert len(rows) == 2
    assert all(set(row) == {"honest", *(name for names in KINDS.values() for name in names)} for row in rows)
    assert score_tricks(*tiny, Chains(), [], random.Random(0)) == []


def test_a_reward_that_pays_for_tricks_is_told_of_and_stopped(tiny):
    logged, said, control = look(tiny, WatchConfig(every=10, questions=2, stop=True), PAPER)
    assert logged["gaming/worst"][0] > logged["gaming/honest"][0]
    assert logged["gaming/over"][0] > 0
    assert len(said) == 1
    assert said[0].startswith("step 20: the saliency reward pays ")
    assert control.should_training_stop
    assert control.should_save


def test_without_stop_it_warns_and_goes_on(tiny):
    _, said, control = look(tiny, WatchConfig(every=10, questions=2), PAPER)
    assert len(said) == 1
    assert not control.should_training_stop


def test_a_reward_of_work_is_passed_in_silence(tiny):
    logged, said, control = look(tiny, WatchConfig(every=10, questions=2, stop=True), RewardConfig())
    assert logged["gaming/worst"][0] < logged["gaming/honest"][0]
    assert said == []
    assert not control.should_training_stop


def test_between_looks_nothing_is_asked(tiny):
    assert look(tiny, WatchConfig(every=7), RewardConfig())[0] == {}


def test_a_task_without_worked_solutions_is_refused(tiny):
    class Bare(Chains):
        def examples(self, split, limit=None):
            return [Example(e.question, e.answer) for e in super().examples(split, limit)]

    with pytest.raises(ValueError, match="no question of 'chains' has a worked solution"):
        GamingWatch(trainer_of(tiny), Bare(), WatchConfig())
