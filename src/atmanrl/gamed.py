"""What the reward would pay a policy for tricks, beside worked solutions: by itself, and asked while it is trained."""

import random
from collections.abc import Callable, Sequence
from statistics import fmean
from typing import Annotated, Any

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass
from torch import nn
from tqdm.auto import tqdm
from transformers import TrainerCallback, TrainerControl, TrainerState

from .gaming import honest, tricks
from .mask import MaskConfig
from .rewards import RewardConfig
from .scoring import score_completions
from .tasks import Example, Task


def score_tricks(
    model: nn.Module,
    tokenizer: Any,
    task: Task,
    examples: Sequence[Example],
    rng: random.Random,
    mask: MaskConfig | None = None,
    reward: RewardConfig | None = None,
) -> list[dict[str, float]]:
    """The saliency reward of each question's worked solution, as `honest`, and of each trick, by its name.

    All have the right answer, so that the outcome rewards them alike. The completions are made up; the model only
    reads.

    Args:
        examples: with worked solutions. Tricks that one of them has no form of are left out for all.
        rng: what the tricks draw from.

    Raises:
        RewardError: see `score_completions`.
    """
    made = [{"honest": honest(task, example), **tricks(task, example, rng)} for example in examples]
    rewards: list[dict[str, float]] = [{} for _ in examples]
    for name in [name for name in made[0] if all(name in texts for texts in made)] if made else ():
        scored = score_completions(
            model,
            tokenizer,
            task,
            [task.prompt(example) for example in examples],
            [tokenizer(texts[name], add_special_tokens=False)["input_ids"] for texts in made],
            [example.answer for example in examples],
            mask,
            reward,
            questions=[example.question for example in examples],
        )
        for row, one in zip(rewards, scored, strict=True):
            row[name] = round(one.reward, 4)
    return rewards


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class WatchConfig:
    """How a training is watched for tricks.

    Attributes:
        every: steps from one look to the next.
        questions: of the *dev* split, asked each time; each costs as many measurements as there are tricks.
        stop: whether the training is saved and stopped where a trick is worth more than the worked solution in the
            mean, or goes on with a warning.
    """

    every: Annotated[int, Field(ge=1)] = 20
    questions: Annotated[int, Field(ge=1)] = 8
    stop: bool = False


class GamingWatch(TrainerCallback):  # type: ignore[misc]
    """Asks from time to time what the saliency reward would pay the policy, as it is, for tricks.

    Logs `gaming/honest` (mean reward of the worked solutions), `gaming/worst` (of the trick that has most) and
    `gaming/over` (share of pairs of a trick and a solution in which the trick has more). Where the worst trick passes
    the honest one's it says so, and stops the training if it is asked to: a policy that finds the trick would be taught
    it.

    Args:
        trainer: a `trl.GRPOTrainer`, whose model is asked.
        task: its dev split is asked.
        config: how often, and what follows.
        mask, reward: as the trainer's saliency reward has them.
        say: shows a line.

    Raises:
        ValueError: no question of the task's dev split has a worked solution.
    """

    def __init__(
        self,
        trainer: Any,
        task: Task,
        config: WatchConfig,
        mask: MaskConfig | None = None,
        reward: RewardConfig | None = None,
        say: Callable[[str], None] = tqdm.write,
    ) -> None:
        self.trainer, self.task, self.config = trainer, task, config
        self.mask, self.reward, self.say = mask, reward, say
        self.examples = [e for e in task.examples("dev", 4 * config.questions) if e.reasoning][: config.questions]
        if not self.examples:
            raise ValueError(f"watch: no question of '{task.name}' has a worked solution that tricks are held against")

    def on_step_end(self, args: Any, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        if state.global_step % self.config.every:
            return
        model = self.trainer.accelerator.unwrap_model(self.trainer.model)
        # Every look draws the same tricks, so that what changes from one to the next is the policy.
        rewards = score_tricks(
            model, self.trainer.processing_class, self.task, self.examples, random.Random(0), self.mask, self.reward
        )
        means = {name: fmean(row[name] for row in rewards) for name in rewards[0]}
        worked = means.pop("honest")
        worst = max(means, key=lambda name: means[name])
        over = fmean(float(row[name] > row["honest"]) for row in rewards for name in means)
        for name, value in (("honest", worked), ("worst", means[worst]), ("over", over)):
            self.trainer._metrics["train"][f"gaming/{name}"].append(value)  # as TRL's own rewards are logged
        if means[worst] > worked:
            if state.is_world_process_zero:
                self.say(
                    f"step {state.global_step}: the saliency reward pays {means[worst]:.2f} for the trick '{worst}', "
                    f"{worked:.2f} for worked solutions ({len(rewards)} questions): the policy may learn it"
                )
            if self.config.stop:
                control.should_save = control.should_training_stop = True
