"""Completions scored by the policy that wrote them, and the saliency reward of a GRPO trainer."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from torch import nn

from .bypass import Bypass, measure_bypass
from .judging import Judge, Judged
from .ledger import Work
from .mask import MaskConfig, learn_mask
from .rewards import (
    CORRECT,
    WRONG,
    RewardConfig,
    RewardDataError,
    RewardError,
    over_processes,
    saliency_reward,
    text_of,
    work_reward,
)
from .saliency import Saliency
from .tasks import Task
from .told import before_told, told_at_once, with_rest
from .trace import Prompt, Trace, prompt_ids
from .work import measure_work


@dataclass(frozen=True)
class Scored:
    """One completion, taken apart and scored.

    Attributes:
        correct: whether its answer is right; `False` when it has none in the asked form.
        saliency: what its answer rests on, where that is measured by a mask. Where the question could stand in for the
            reasoning, the sentence that could is closed to the answer (`Bypass.contingency`). Where the answer was told
            before the reasoning's end and that is enough (`before_told`), it is of the reasoning up to there, and the
            gates of what comes after are 0.
        bypass: what its answer reads of the question; `None` also where that was not asked for.
        reward: its saliency reward, 0 unless it is correct.
        after_told: reasoning tokens that come after such a telling.
        work: how far its answer was worked out, where that is measured.
        why: why nothing was measured, in words; `None` where something was.
    """

    correct: bool
    saliency: Saliency | None
    reward: float
    bypass: Bypass | None = None
    after_told: int = 0
    work: Work | None = None
    why: str | None = None


def score_completions(
    model: nn.Module,
    tokenizer: Any,
    task: Task,
    prompts: Sequence[Prompt],
    completion_ids: Sequence[Sequence[int]],
    truths: Sequence[str],
    mask: MaskConfig | None = None,
    reward: RewardConfig | None = None,
    template: dict[str, Any] | None = None,
    questions: Sequence[str] | None = None,
) -> list[Scored]:
    """Take completions apart, measure what the reward of each depends on, and give its saliency reward.

    A wrong completion's reward is 0, and a right one's without reasoning 0 (by a mask -1), whatever could be measured:
    so nothing is, unless `reward.log_all` asks for it.

    Args:
        model: the policy itself, unwrapped.
        prompts: what was asked, one a completion.
        completion_ids: generated ids; what follows the first end-of-sequence is ignored.
        truths: the right answers, each in one line.
        mask: how masks are learned, where the reward is by a mask; its `matmuls` and `max_tokens` serve both.
        reward: what is measured, and how it counts.
        template: further arguments of the chat template, as the prompts were rendered with.
        questions: the questions' own text, as it stands in the prompts; by default the last message, or the whole of a
            plain prompt.

    Raises:
        RewardError: nothing can be measured, a question is empty or does not stand in its prompt, a right answer has
            several lines; the message names the row.
    """
    judged = Judge(task)(model, tokenizer, prompts, completion_ids, truths, template)
    return _score(model, tokenizer, judged, prompts, mask or MaskConfig(), reward or RewardConfig(), questions)


def _score(
    model: nn.Module,
    tokenizer: Any,
    judged: Sequence[Judged],
    prompts: Sequence[Prompt],
    mask: MaskConfig,
    reward: RewardConfig,
    questions: Sequence[str] | None,
) -> list[Scored]:
    rows = [i for i, one in enumerate(judged) if one.trace is not None and (one.correct or reward.log_all)]
    traces = [trace for i in rows if (trace := judged[i].trace) is not None]
    asked = [
        _question(trace, prompts[i], None if questions is None else questions[i], i)
        for i, trace in zip(rows, traces, strict=True)
    ]
    try:
        if reward.quantity == "work":
            found = _by_work(model, tokenizer, traces, asked, mask)
        else:
            found = _by_mask(model, tokenizer, traces, asked, mask, reward)
    except ValueError as error:
        raise RewardError(f"saliency reward: {error}") from error
    scored = [_unmeasured(one, reward) for one in judged]
    for i, one in zip(rows, found, strict=True):
        scored[i] = one if judged[i].correct else replace(one, correct=False, reward=0.0)
    return scored


def _unmeasured(judged: Judged, reward: RewardConfig) -> Scored:
    without = -1.0 if judged.correct and reward.quantity == "mask" else 0.0
    return Scored(judged.correct, None, without, why=judged.why or "wrong")


def _question(trace: Trace, prompt: Prompt, question: str | None, row: int) -> str:
    """The question as it stands in the prompt.

    Raises:
        RewardError: it is empty, or is not there.
    """
    text = question if question is not None else prompt if isinstance(prompt, str) else str(prompt[-1]["content"])
    _require_question(trace.text(trace.prompt), text, row)
    return text


def _by_work(
    model: nn.Module, tokenizer: Any, traces: list[Trace], questions: list[str], mask: MaskConfig
) -> list[Scored]:
    """Traces of right answers."""
    works = measure_work(model, tokenizer, traces, questions, mask.matmuls, mask.max_tokens)
    return [Scored(True, None, work_reward(work.value, work.used_share), work=work) for work in works]


def _by_mask(
    model: nn.Module,
    tokenizer: Any,
    traces: list[Trace],
    questions: list[str],
    mask: MaskConfig,
    reward: RewardConfig,
) -> list[Scored]:
    """The same; each is cut where its answer was told, and its saliency is of all its tokens."""
    shorter, tokens = traces, mask.max_tokens * 4
    bypasses: list[Bypass | None] = [None] * len(traces)
    if reward.cut_after_told:
        shorter = before_told(model, tokenizer, traces, reward.margin, mask.matmuls, tokens)
    if reward.bypass_limit is not None:
        bypasses = [*measure_bypass(model, shorter, questions, mask.matmuls, tokens)]
    learned = learn_mask(model, shorter, mask, [_unread(bypass, reward.margin) for bypass in bypasses])
    scored = []
    for trace, cut, one, bypass in zip(traces, shorter, learned, bypasses, strict=True):
        saliency = with_rest(one, trace.reasoning_tokens)
        at_once = reward.cut_after_told and told_at_once(trace.text(trace.reasoning), trace.text(trace.answer))
        value = -1.0 if at_once else _mask_reward(saliency, bypass, reward)
        scored.append(Scored(True, saliency, value, bypass, len(saliency.gates) - len(cut.reasoning)))
    return scored


def _mask_reward(saliency: Saliency, bypass: Bypass | None, reward: RewardConfig) -> float:
    past = 0.0 if bypass is None else bypass.value
    return saliency_reward(saliency.reliance, saliency.density, reward.margin, past, reward.bypass_limit)


def _unread(bypass: Bypass | None, margin: float) -> range:
    """Tokens of the sentence that is closed to the answer while its mask is learned."""
    number = None if bypass is None else bypass.contingency(margin)
    return range(0) if bypass is None or number is None else bypass.tokens[number]


def require_questions(tokenizer: Any, prompts: Sequence[Prompt], questions: Sequence[str]) -> None:
    """Refuse before a training the questions that the reward would not find in their prompts.

    Raises:
        RewardDataError: one is empty, or is not there as it is once the prompt is tokenized.
    """
    for row, (prompt, question) in enumerate(zip(prompts, questions, strict=True)):
        _require_question(tokenizer.decode(prompt_ids(tokenizer, prompt), skip_special_tokens=False), question, row)


def _require_question(prompt: str, question: str, row: int) -> None:
    mend = "let the dataset's column 'question' hold it as the prompt does"
    if not question.strip():
        raise RewardDataError(f"saliency reward: the question of row {row} is empty: {mend}")
    if question.strip() not in prompt:
        raise RewardDataError(
            f"saliency reward: the question of row {row} does not stand in its prompt ('{question.strip()[:60]}'): "
            f"the template or the tokenizer changed it, or it is another; {mend}"
        )


class SaliencyReward:
    """The saliency reward as a TRL reward function, bound to the policy that is being trained.

        reward = SaliencyReward(task)
        trainer = GRPOTrainer(model=..., reward_funcs=[reward.outcome, reward], ...)
        reward.bind(trainer)

    It is measured on the live policy at each call. The trainer is held, not its model, since FSDP rebinds that.
    Logs `saliency/computed` (how many completions of a generation batch were measured, over all processes) and
    `saliency/reward` (mean over the correct ones); of those measured, by work `saliency/work` and `saliency/used`, by a
    mask `saliency/reliance`, `saliency/density`, `saliency/bypass` and `saliency/after_told`, and
    `saliency/reasoning_tokens`. Adds what it found of each completion to TRL's table of completions; keeps the last
    batch as plain data in `latest`.

    Args:
        task: parses completions and checks answers; the dataset needs a column `answer`, and one `question` with the
            question's own text as it stands in the prompt, unless that is the last message, or the whole prompt.
        mask: how masks are learned, where the reward is by a mask.
        reward: what is measured; the weights are the trainer's `reward_weights`.
    """

    def __init__(self, task: Task, mask: MaskConfig | None = None, reward: RewardConfig | None = None):
        self.__name__ = "saliency"  # TRL names the logged reward after it
        self.task, self.mask, self.reward = task, mask or MaskConfig(), reward or RewardConfig()
        self.latest: list[dict[str, Any]] = []  # the last batch, for views
        self.judge = Judge(task)
        self._trainer: Any = None

    def bind(self, trainer: Any) -> "SaliencyReward":
        """Use the model and tokenizer of this `trl.GRPOTrainer` from now on."""
        self._trainer = trainer
        return self

    @property
    def outcome(self) -> Callable[..., list[float]]:
        """The outcome as a TRL reward function: +1 for a right answer, -1 for a wrong or missing one.

        It shares one parse and one check of each completion with the saliency reward, and reads the same text.
        """

        def outcome(
            prompts: Sequence[Prompt],
            completion_ids: Sequence[Sequence[int]],
            answer: Sequence[str],
            log_metric: Callable[[str, float], None] | None = None,
            **_: Any,
        ) -> list[float]:
            if log_metric:
                log_metric("outcome/computed", over_processes(len(completion_ids)))
            return [CORRECT if one.correct else WRONG for one in self._judged(prompts, completion_ids, answer)]

        return outcome

    def _judged(
        self, prompts: Sequence[Prompt], completion_ids: Sequence[Sequence[int]], answer: Sequence[str]
    ) -> list[Judged]:
        if self._trainer is None:
            raise RewardError("SaliencyReward is not bound: call reward.bind(trainer) before trainer.train()")
        template = getattr(self._trainer.args, "chat_template_kwargs", None)
        return self.judge(self._model, self._trainer.processing_class, prompts, completion_ids, answer, template)

    @property
    def _model(self) -> nn.Module:
        model: nn.Module = self._trainer.accelerator.unwrap_model(self._trainer.model)
        return model

    def __call__(
        self,
        prompts: Sequence[Prompt],
        completions: Sequence[Any],
        completion_ids: Sequence[Sequence[int]],
        answer: Sequence[str],
        question: Sequence[str] | None = None,
        log_extra: Callable[[str, list[Any]], None] | None = None,
        log_metric: Callable[[str, float], None] | None = None,
        **_: Any,
    ) -> list[float | None]:
        """One reward a completion, in [0, 1] by work, in [-1, 1] by a mask; 0 for wrong ones, or `None` with
        `none_for_wrong`."""
        judged = self._judged(prompts, completion_ids, answer)
        tokenizer = self._trainer.processing_class
        scored = _score(self._model, tokenizer, judged, prompts, self.mask, self.reward, question)
        self.latest = [_sample(text_of(c), t, s) for c, t, s in zip(completions, answer, scored, strict=True)]
        if log_metric:
            _log_metrics(scored, log_metric)
        if log_extra:
            for column in (*COLUMNS[self.reward.quantity], "salient", "why"):
                log_extra(column, [sample[column] for sample in self.latest])
        return [None if self.reward.none_for_wrong and not s.correct else s.reward for s in scored]


COLUMNS = {"work": ("work", "used"), "mask": ("reliance", "density", "bypass")}
"""What TRL's table of completions shows, by what is measured."""


def _log_metrics(scored: list[Scored], log_metric: Callable[[str, float], None]) -> None:
    log_metric("saliency/computed", over_processes(sum(s.why is None for s in scored)))
    for s in scored:
        if s.work is not None:
            log_metric("saliency/work", s.work.value)
            log_metric("saliency/used", s.work.used_share)
            log_metric("saliency/reasoning_tokens", float(len(s.work.tokens)))
        if s.saliency is not None:
            log_metric("saliency/reliance", s.saliency.reliance)
            log_metric("saliency/density", s.saliency.density)
            log_metric("saliency/reasoning_tokens", float(len(s.saliency.gates)))
            log_metric("saliency/after_told", float(s.after_told))
        if s.bypass is not None:
            log_metric("saliency/bypass", s.bypass.value)
        if s.correct:
            log_metric("saliency/reward", s.reward)


def _sample(completion: str, truth: str, scored: Scored) -> dict[str, Any]:
    """One completion as tables and files show it."""
    saliency, work = scored.saliency, scored.work
    return {
        "completion": completion,
        "truth": truth,
        "correct": scored.correct,
        "saliency_reward": round(scored.reward, 4),
        "work": None if work is None else round(work.value, 4),
        "used": None if work is None else round(work.used_share, 4),
        "reliance": None if saliency is None else round(saliency.reliance, 4),
        "density": None if saliency is None else round(saliency.density, 4),
        "bypass": None if scored.bypass is None else round(scored.bypass.value, 4),
        "salient": salient_text(saliency) if saliency else _marked(work.tokens, work.used) if work else "",
        "why": scored.why,
    }


def salient_text(saliency: Saliency) -> str:
    """The reasoning with its salient stretches in [[brackets]]."""
    return _marked(saliency.tokens, saliency.salient)


def _marked(tokens: Sequence[str], marks: Sequence[bool]) -> str:
    out, inside = [], False
    for token, marked in zip(tokens, marks, strict=True):
        if marked != inside:
            out.append("[[" if marked else "]]")
            inside = marked
        out.append(token)
    return "".join(out) + ("]]" if inside else "")
