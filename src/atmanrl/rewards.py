"""Rewards: outcome, saliency, and how they are bound to a GRPO trainer. The formula is in docs/method.md."""

import re
from collections.abc import Callable, Sequence
from typing import Annotated, Any

from accelerate import PartialState
from pydantic import ConfigDict, Field, model_validator
from pydantic.dataclasses import dataclass
from torch import nn

from .generation import before_end, end_ids
from .mask import MaskConfig, learn_mask
from .saliency import Saliency
from .tasks import Task
from .tasks.parsing import same_number
from .text import STOP_WORDS
from .trace import Prompt, Trace, completion_text, prompt_ids

CORRECT, WRONG = 1.0, -1.0

# Words that announce an answer without adding to it; with stop words and the answer itself they make a mere statement.
_ANNOUNCING = frozenset(
    (
        "answer answers result results final correct option choice solution total therefore thus hence equals is "
        "gives okay ok so think"
    ).split()
)


class RewardError(RuntimeError):
    """A reward cannot be computed; it is raised, never turned into a number."""


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class RewardConfig:
    """How outcome and saliency are weighed.

    Attributes:
        outcome_weight, saliency_weight: weights in the sum. A correct completion beats a wrong one whatever the
            saliencies when saliency_weight < 2 x outcome_weight, which is required. A saliency weight of 0 logs
            the saliency without training on it.
        margin: reliance, in nats per answer token, over which the answer counts as resting on the reasoning.
    """

    outcome_weight: Annotated[float, Field(ge=0)] = 1.0
    saliency_weight: Annotated[float, Field(ge=0)] = 0.5
    margin: Annotated[float, Field(gt=0)] = 0.5

    @model_validator(mode="after")
    def _correct_beats_wrong(self) -> "RewardConfig":
        if self.saliency_weight >= 2 * self.outcome_weight and self.saliency_weight > 0:
            raise ValueError(
                f"saliency_weight {self.saliency_weight} must be under twice outcome_weight {self.outcome_weight}, "
                "or a wrong completion could beat a correct one"
            )
        return self


def saliency_reward(reliance: float, density: float, margin: float) -> float:
    r"""The saliency reward of a correct completion, in [-1, 1].

    With reliance r, margin mu (nats per answer token) and density d:

        d                          if r > mu       the answer rests on the reasoning: the denser, the better
        -(1 - max(r, 0) / mu)      otherwise       it does not: from -1 (r <= 0) up to 0 (r = mu)

    Example: `saliency_reward(3.2, 0.6, 0.5)` is 0.6; `saliency_reward(0.1, 0.6, 0.5)` is -0.8.
    """
    if reliance > margin:
        return density
    return -(1.0 - max(reliance, 0.0) / margin)


_MARKUP = re.compile(r"</?\w+>|<\|[^|]*\|>|\\[a-zA-Z]+")
_PIECE = re.compile(r"\d[\d,]*(?:\.\d+)?|[^\W\d_]+|(?<=[\d\s)])[-+*/=×÷^](?=[\d\s($])|^=")


def only_states(reasoning: str, answer: str) -> bool:
    """Whether the reasoning does no more than state the answer.

    True when nothing is left of it without the answer's own numbers (by value: `1,000` is `1000.0`) and words, one word
    after such a number (its unit), stop words, words that announce an answer, markup and punctuation. Empty reasoning
    states nothing and counts too. Operators such as `+` and `=` are not punctuation.
    """
    stated = [piece.casefold() for piece in _PIECE.findall(_MARKUP.sub(" ", answer))]
    after_number = False
    for piece in _PIECE.findall(_MARKUP.sub(" ", reasoning)):
        word = piece.casefold()
        known = any(same_number(word, other) for other in stated) if word[0].isdigit() else word in stated
        is_unit = after_number and word.isalpha()
        if not (known or is_unit or word in STOP_WORDS or word in _ANNOUNCING):
            return False
        after_number = known and word[0].isdigit()
    return True


@dataclass(frozen=True, config=ConfigDict(arbitrary_types_allowed=True))
class Scored:
    """One completion, taken apart and scored.

    Attributes:
        correct: whether its answer is right; `False` when it has none in the asked form.
        saliency: what its answer rests on; `None` when it does not parse or has no reasoning.
        reward: its saliency reward, 0 unless it is correct.
    """

    correct: bool
    saliency: Saliency | None
    reward: float


def text_of(completion: Any) -> str:
    """A completion's text: TRL hands over strings, or chat messages of one turn."""
    return completion if isinstance(completion, str) else str(completion[-1]["content"])


def is_correct(task: Task, completion: str, truth: str) -> bool:
    """Whether a completion holds the right answer in the asked form."""
    parsed = task.parse(completion)
    return parsed is not None and task.check(completion[parsed.answer_start : parsed.answer_end], truth)


def outcome_reward(task: Task) -> Callable[..., list[float]]:
    """A TRL reward function: +1 for a right answer, -1 for a wrong or missing one.

    The dataset needs a column `answer` with the truth. Example: completions `["... The answer is 4.", "4"]` with
    answers `["4", "4"]` get `[1.0, -1.0]`.
    """

    def outcome(
        completions: Sequence[Any],
        answer: Sequence[str],
        log_metric: Callable[[str, float], None] | None = None,
        **_: Any,
    ) -> list[float]:
        if log_metric:
            log_metric("outcome/computed", _over_processes(len(completions)))
        return [
            CORRECT if is_correct(task, text_of(completion), truth) else WRONG
            for completion, truth in zip(completions, answer, strict=True)
        ]

    return outcome


def _over_processes(count: int) -> float:
    """A count as TRL must be told it: TRL logs the mean over processes, and the sum is meant."""
    return float(count * PartialState().num_processes)


def score_completions(
    model: nn.Module,
    tokenizer: Any,
    task: Task,
    prompts: Sequence[Prompt],
    completion_ids: Sequence[Sequence[int]],
    truths: Sequence[str],
    mask: MaskConfig | None = None,
    margin: float | None = None,
    template: dict[str, Any] | None = None,
) -> list[Scored]:
    """Take completions apart, learn a mask for each that parses, and give each its saliency reward.

    Args:
        model: the policy itself, unwrapped.
        prompts: what was asked, one a completion.
        completion_ids: generated ids; what follows the first end-of-sequence is ignored.
        truths: the right answers.
        mask, margin: how masks are learned; see `RewardConfig`.
        template: further arguments of the chat template, as the prompts were rendered with.

    Raises:
        RewardError: a mask cannot be learned; the message names the completion.
    """
    margin = RewardConfig().margin if margin is None else margin
    stops = end_ids(model, tokenizer)
    parsed: list[tuple[bool, str, str, Trace | None]] = []
    for prompt, ids, truth in zip(prompts, completion_ids, truths, strict=True):
        kept = before_end(ids, stops)
        text = completion_text(tokenizer, kept)
        parts = task.parse(text)
        if parts is None:
            parsed.append((False, "", "", None))
            continue
        answer = text[parts.answer_start : parts.answer_end]
        before = prompt_ids(tokenizer, prompt, **(template or {}))
        spans = (parts.reasoning_end, parts.answer_start, parts.answer_end)
        trace = Trace.found_in(tokenizer, before, kept, spans)
        parsed.append((task.check(answer, truth), text[: parts.reasoning_end], answer, trace))
    traces = [trace for *_, trace in parsed if trace is not None]
    try:
        learned = iter(learn_mask(model, traces, mask))
    except ValueError as error:
        raise RewardError(f"saliency reward: {error}") from error
    scored = []
    for correct, reasoning, answer, trace in parsed:
        saliency = next(learned) if trace is not None else None
        if not correct:
            reward = 0.0
        elif saliency is None or only_states(reasoning, answer):
            reward = -1.0
        else:
            reward = saliency_reward(saliency.reliance, saliency.density, margin)
        scored.append(Scored(correct, saliency, reward))
    return scored


class SaliencyReward:
    """The saliency reward as a TRL reward function, bound to the policy that is being trained.

        reward = SaliencyReward(task)
        trainer = GRPOTrainer(model=..., reward_funcs=[outcome_reward(task), reward], ...)
        reward.bind(trainer)

    Masks are learned on the live policy at each call. The trainer is held, not its model, since FSDP rebinds that.
    Logs `saliency/reliance`, `saliency/density` and `saliency/reasoning_tokens` (means over the completions that parse
    and hold reasoning), `saliency/computed` (how many these are in a generation batch, over all processes) and
    `saliency/reward` (mean over the correct ones); adds reliance, density and the salient words of each completion to
    TRL's table of completions; keeps the last batch as plain data in `latest`.

    Args:
        task: parses completions and checks answers; the dataset needs a column `answer`.
        mask: how masks are learned.
        margin: see `RewardConfig`.
    """

    def __init__(self, task: Task, mask: MaskConfig | None = None, margin: float | None = None):
        self.__name__ = "saliency"  # TRL names the logged reward after it
        self.task, self.mask, self.margin = task, mask or MaskConfig(), margin
        self.latest: list[dict[str, Any]] = []  # the last batch, for views
        self._trainer: Any = None

    def bind(self, trainer: Any) -> "SaliencyReward":
        """Use the model and tokenizer of this `trl.GRPOTrainer` from now on."""
        self._trainer = trainer
        return self

    def __call__(
        self,
        prompts: Sequence[Prompt],
        completions: Sequence[Any],
        completion_ids: Sequence[Sequence[int]],
        answer: Sequence[str],
        log_extra: Callable[[str, list[Any]], None] | None = None,
        log_metric: Callable[[str, float], None] | None = None,
        **_: Any,
    ) -> list[float]:
        """One reward a completion, in [-1, 1]; 0 for wrong completions."""
        if self._trainer is None:
            raise RewardError("SaliencyReward is not bound: call reward.bind(trainer) before trainer.train()")
        model = self._trainer.accelerator.unwrap_model(self._trainer.model)
        scored = score_completions(
            model,
            self._trainer.processing_class,
            self.task,
            prompts,
            completion_ids,
            answer,
            self.mask,
            self.margin,
            getattr(self._trainer.args, "chat_template_kwargs", None),
        )
        self.latest = [_sample(text_of(c), t, s) for c, t, s in zip(completions, answer, scored, strict=True)]
        if log_metric:
            _log_metrics(scored, log_metric)
        if log_extra:
            for column in ("reliance", "density", "salient"):
                log_extra(column, [sample[column] for sample in self.latest])
        return [s.reward for s in scored]


def _log_metrics(scored: list[Scored], log_metric: Callable[[str, float], None]) -> None:
    computed = [s for s in scored if s.saliency is not None]
    log_metric("saliency/computed", _over_processes(len(computed)))
    for s in computed:
        assert s.saliency is not None
        log_metric("saliency/reliance", s.saliency.reliance)
        log_metric("saliency/density", s.saliency.density)
        log_metric("saliency/reasoning_tokens", float(len(s.saliency.gates)))
    for s in scored:
        if s.correct:
            log_metric("saliency/reward", s.reward)


def _sample(completion: str, truth: str, scored: Scored) -> dict[str, Any]:
    """One completion as tables and files show it."""
    saliency = scored.saliency
    return {
        "completion": completion,
        "truth": truth,
        "correct": scored.correct,
        "saliency_reward": round(scored.reward, 4),
        "reliance": None if saliency is None else round(saliency.reliance, 4),
        "density": None if saliency is None else round(saliency.density, 4),
        "salient": "" if saliency is None else salient_text(saliency),
    }


def salient_text(saliency: Saliency) -> str:
    """The reasoning with its salient stretches in [[brackets]]."""
    out, inside = [], False
    for token, salient in zip(saliency.tokens, saliency.salient, strict=True):
        if salient != inside:
            out.append("[[" if salient else "]]")
            inside = salient
        out.append(token)
    return "".join(out) + ("]]" if inside else "")
