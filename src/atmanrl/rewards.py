"""Rewards of one completion: outcome, saliency, and their weights. docs/method.md has the reasons."""

from collections.abc import Callable, Sequence
from typing import Annotated, Any, Literal

from accelerate import PartialState
from pydantic import ConfigDict, Field, model_validator
from pydantic.dataclasses import dataclass

from .tasks import Task

CORRECT, WRONG = 1.0, -1.0


class RewardError(RuntimeError):
    """A reward cannot be computed; it is raised, never turned into a number."""


class RewardDataError(RewardError, ValueError):
    """A reward cannot be computed because of a row of the user's."""


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class RewardConfig:
    """How outcome and saliency are weighed.

    Attributes:
        outcome_weight, saliency_weight: weights in the sum. A correct completion beats a wrong one whatever the
            saliencies when saliency_weight < 2 x outcome_weight, which `fixed` requires (`gdpo` normalises before it
            weighs, and `constraint` has no weights). A saliency weight of 0 logs the saliency without training on it;
            `None` computes no masks at all.
        quantity: what the saliency reward is a reward of: `work`, how far the answer was worked out (`work_reward`), or
            `mask`, the paper's (`saliency_reward`), which text that merely carries the answer can have. The three
            fields after this one are the mask's alone.
        margin: reliance, in nats per answer token, over which the answer counts as resting on the reasoning.
        bypass_limit: bypass, in nats per answer token, over which the answer counts as read from the question. `None`
            does not ask, as in the paper: for multiple choice, whose letters must be read from the prompt.
        cut_after_told: whether what comes after the answer was told, where that is enough, counts as not salient, and
            an answer that is a list told at once as stated (`told.py`, with `margin`). Not in the paper.
        balance: how the rewards come together: `fixed`, by these weights; `gdpo`, each normalised in its group before
            the weighted sum (TRL's `normalize_then_sum`, arXiv 2601.05242); `constraint`, saliency is maximised while
            accuracy holds (`AccuracyConstraint`); then only whether saliency_weight is over 0 matters.
        none_for_wrong: whether a wrong completion's saliency reward is `None` instead of 0. TRL counts it as 0 in the
            sum and leaves it out of `rewards/saliency/mean`.
        log_all: whether wrong completions, whose reward is fixed, are measured too, for the logs.
        length_weight, length_target: weight of `length_reward` and the length that it asks for, tokens: a control.
    """

    outcome_weight: Annotated[float, Field(ge=0)] = 1.0
    saliency_weight: Annotated[float, Field(ge=0)] | None = 0.5
    quantity: Literal["work", "mask"] = "work"
    margin: Annotated[float, Field(gt=0)] = 0.5
    bypass_limit: Annotated[float, Field(gt=0)] | None = 1.0
    cut_after_told: bool = True
    balance: Literal["fixed", "gdpo", "constraint"] = "fixed"
    none_for_wrong: bool = False
    log_all: bool = False
    length_weight: Annotated[float, Field(ge=0)] = 0.0
    length_target: Annotated[float, Field(gt=0)] | None = None

    @model_validator(mode="after")
    def _correct_beats_wrong(self) -> "RewardConfig":
        if not self.saliency_weight and self.balance == "constraint":
            raise ValueError("balance 'constraint' weighs saliency against accuracy: it needs a saliency_weight over 0")
        if self.balance == "fixed" and self.saliency_weight and self.saliency_weight >= 2 * self.outcome_weight:
            raise ValueError(
                f"saliency_weight {self.saliency_weight} must be under twice outcome_weight {self.outcome_weight}, "
                "or a wrong completion could beat a correct one"
            )
        if self.quantity == "work" and (self.margin, self.bypass_limit, self.cut_after_told) != (0.5, 1.0, True):
            raise ValueError("margin, bypass_limit and cut_after_told are the mask's: set quantity 'mask' beside them")
        if self.length_weight > 0 and self.length_target is None:
            raise ValueError("length_weight needs a length_target, in tokens")
        return self


def work_reward(work: float, used: float) -> float:
    """The saliency reward of a correct completion by its work, work x used, in [0, 1].

    How far the answer was worked out, and the less stands beside that, the better. An answer out of nowhere, or out of
    the head, gets what a wrong one gets: nothing.

    Args:
        work: `Work.value`, from 0 to 1.
        used: `Work.used_share`, tokens of needed sentences over all, from 0 to 1.

    Example: `work_reward(0.8, 0.5)` is 0.4.
    """
    return work * used


def saliency_reward(
    reliance: float, density: float, margin: float, bypass: float = 0.0, bypass_limit: float | None = None
) -> float:
    r"""The saliency reward of a correct completion, in [-1, 1].

    With reliance r, margin mu, bypass b, its limit beta (all nats per answer token) and density d:

        -(1 - max(r, 0) / mu)      if r <= mu      the answer does not rest on the reasoning: from -1 (r <= 0) up to 0
        -min(1, b / beta - 1)      if b > beta     it is read from the question: from 0 (b = beta) down to -1
        d                          otherwise       it rests on the reasoning: the denser, the better

    Example: `saliency_reward(3.2, 0.6, 0.5)` is 0.6; `saliency_reward(0.1, 0.6, 0.5)` is -0.8;
    `saliency_reward(3.2, 0.6, 0.5, bypass=1.5, bypass_limit=1.0)` is -0.5.
    """
    if reliance <= margin:
        return -(1.0 - max(reliance, 0.0) / margin)
    if bypass_limit is not None and bypass > bypass_limit:
        return -min(1.0, bypass / bypass_limit - 1.0)
    return density


def text_of(completion: Any) -> str:
    """A completion's text: TRL hands over strings, or chat messages of one turn."""
    return completion if isinstance(completion, str) else str(completion[-1]["content"])


def is_correct(task: Task, completion: str, truth: str) -> bool:
    """Whether a completion holds the right answer in the asked form."""
    parsed = task.parse(completion)
    return parsed is not None and task.check(completion[parsed.answer_start : parsed.answer_end], truth)


def outcome_reward(task: Task) -> Callable[..., list[float]]:
    """A TRL reward function: +1 for a right answer, -1 for a wrong or missing one.

    It reads TRL's text, from which special tokens are taken out; beside a `SaliencyReward` take its `outcome`, which
    reads what the saliency reward reads. The dataset needs a column `answer` with the truth. Example: completions
    `["... The answer is 4.", "4"]` with answers `["4", "4"]` get `[1.0, -1.0]`.
    """

    def outcome(
        completions: Sequence[Any],
        answer: Sequence[str],
        log_metric: Callable[[str, float], None] | None = None,
        **_: Any,
    ) -> list[float]:
        if log_metric:
            log_metric("outcome/computed", over_processes(len(completions)))
        return [
            CORRECT if is_correct(task, text_of(completion), truth) else WRONG
            for completion, truth in zip(completions, answer, strict=True)
        ]

    return outcome


def length_reward(target: float) -> Callable[..., list[float]]:
    """A TRL reward function: -min(1, |n - target| / target) for a completion of n tokens.

    What saliency is held against: it brings completions to a length, whatever stands in them. Example: with a target of
    20, completions of 20, 25 and 60 tokens get 0, -0.25 and -1. After LCPO-Exact (Aggarwal and Welleck 2025, L1).
    """

    def length(completion_ids: Sequence[Sequence[int]], **_: Any) -> list[float]:
        return [-min(1.0, abs(len(ids) - target) / target) for ids in completion_ids]

    return length


def over_processes(count: int) -> float:
    """A count as TRL must be told it: TRL logs the mean over processes, and the sum is meant."""
    return float(count * PartialState().num_processes)
