"""Completions scored by the policy that wrote them, and the saliency reward of a GRPO trainer."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from .bypass import Bypass, BypassError, measure_bypass
from .generation import before_end, end_ids
from .mask import MaskConfig, learn_mask
from .rewards import RewardConfig, RewardError, only_states, over_processes, saliency_reward, text_of
from .saliency import Saliency
from .tasks import Task
from .told import before_told, told_at_once, with_rest
from .trace import Prompt, Trace, completion_text, prompt_ids


@dataclass(frozen=True)
class Scored:
    """One completion, taken apart and scored.

    Attributes:
        correct: whether its answer is right; `False` when it has none in the asked form.
        saliency: what its answer rests on; `None` when it does not parse or has no reasoning. Where the question could
            stand in for the reasoning, the sentence that could is closed to the answer (`Bypass.contingency`). Where
            the answer was told before the reasoning's end and that is enough (`before_told`), it is of the reasoning up
            to there, and the gates of what comes after are 0.
        bypass: what its answer reads of the question; `None` also where that was not asked for.
        reward: its saliency reward, 0 unless it is correct.
        after_told: reasoning tokens that come after such a telling.
    """

    correct: bool
    saliency: Saliency | None
    reward: float
    bypass: Bypass | None = None
    after_told: int = 0


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
    """Take completions apart, measure what each that parses bypasses, learn its mask, and give its saliency reward.

    Args:
        model: the policy itself, unwrapped.
        prompts: what was asked, one a completion.
        completion_ids: generated ids; what follows the first end-of-sequence is ignored.
        truths: the right answers.
        mask, reward: how masks are learned; margin and limit.
        template: further arguments of the chat template, as the prompts were rendered with.
        questions: the questions' own text, as it stands in the prompts; by default the last message, or the whole of a
            plain prompt.

    Raises:
        RewardError: a mask cannot be learned, or a question does not stand in its prompt; the message names the
            completion.
    """
    mask, reward = mask or MaskConfig(), reward or RewardConfig()
    stops = end_ids(model, tokenizer)
    parsed = []
    for prompt, ids, truth in zip(prompts, completion_ids, truths, strict=True):
        before = prompt_ids(tokenizer, prompt, **(template or {}))
        parsed.append(_parse(tokenizer, task, before, before_end(ids, stops), truth))
    traced = {i: trace for i, (*_, trace) in enumerate(parsed) if trace is not None}
    asked = [questions[i] if questions is not None else _question_in(trace, prompts[i]) for i, trace in traced.items()]
    found = dict(zip(traced, _measure(model, tokenizer, list(traced.values()), asked, mask, reward), strict=True))
    scored = []
    for i, (correct, answer, whole) in enumerate(parsed):
        if whole is None:
            scored.append(Scored(correct, None, -1.0 if correct else 0.0))
            continue
        trace, saliency, bypass = found[i]
        reasoning = whole.text(whole.reasoning)
        enough = trace.text(trace.reasoning)  # up to where the answer was told, or all of it
        states = only_states(enough, answer) or (reward.cut_after_told and told_at_once(reasoning, answer))
        value = _reward_of_correct(saliency, bypass, states, reward) if correct else 0.0
        scored.append(Scored(correct, saliency, value, bypass, len(saliency.gates) - len(trace.reasoning)))
    return scored


def _measure(
    model: nn.Module,
    tokenizer: Any,
    traces: list[Trace],
    questions: list[str],
    mask: MaskConfig,
    reward: RewardConfig,
) -> Iterator[tuple[Trace, Saliency, Bypass | None]]:
    """Each trace, cut where its answer was told; its saliency, of all its tokens; its bypass."""
    shorter, tokens = traces, mask.max_tokens * 4
    bypasses: list[Bypass | None] = [None] * len(traces)
    try:
        if reward.cut_after_told:
            shorter = before_told(model, tokenizer, traces, reward.margin, mask.matmuls, tokens)
        if reward.bypass_limit is not None:
            bypasses = [*measure_bypass(model, shorter, questions, mask.matmuls, tokens)]
        learned = learn_mask(model, shorter, mask, [_unread(bypass, reward.margin) for bypass in bypasses])
    except BypassError as error:
        mend = "let the dataset's column 'question' hold it as the prompt does, or set bypass_limit to None"
        raise RewardError(f"saliency reward: {error}; {mend}") from error
    except ValueError as error:
        raise RewardError(f"saliency reward: {error}") from error
    whole = [with_rest(one, trace.reasoning_tokens) for one, trace in zip(learned, traces, strict=True)]
    return zip(shorter, whole, bypasses, strict=True)


def _parse(
    tokenizer: Any, task: Task, prompt: list[int], completion: list[int], truth: str
) -> tuple[bool, str, Trace | None]:
    """Whether a completion is right, its answer, its trace; no trace where it does not parse or has no reasoning."""
    text = completion_text(tokenizer, completion)
    parts = task.parse(text)
    if parts is None:
        return False, "", None
    answer = text[parts.answer_start : parts.answer_end]
    spans = (parts.reasoning_end, parts.answer_start, parts.answer_end)
    trace = Trace.found_in(tokenizer, prompt, completion, spans)
    return task.check(answer, truth), answer, trace


def _question_in(trace: Trace, prompt: Prompt) -> str:
    """The question in a prompt of which no more is known; none where a template changed it."""
    text = prompt if isinstance(prompt, str) else str(prompt[-1]["content"])
    return text if text.strip() in trace.text(trace.prompt) else ""


def _unread(bypass: Bypass | None, margin: float) -> range:
    """Tokens of the sentence that is closed to the answer while its mask is learned."""
    number = None if bypass is None else bypass.contingency(margin)
    return range(0) if bypass is None or number is None else bypass.tokens[number]


def _reward_of_correct(saliency: Saliency, bypass: Bypass | None, states: bool, reward: RewardConfig) -> float:
    if states:
        return -1.0
    past = 0.0 if bypass is None else bypass.value
    return saliency_reward(saliency.reliance, saliency.density, reward.margin, past, reward.bypass_limit)


def require_questions(tokenizer: Any, prompts: Sequence[Prompt], questions: Sequence[str]) -> None:
    """Refuse before a training the questions that bypass would not find in their prompts.

    Raises:
        BypassError: one is not there as it is once the prompt is tokenized.
    """
    for row, (prompt, question) in enumerate(zip(prompts, questions, strict=True)):
        text = tokenizer.decode(prompt_ids(tokenizer, prompt), skip_special_tokens=False)
        if question.strip() not in text:
            raise BypassError(
                f"saliency reward: row {row}'s question does not stand in its prompt ('{question.strip()[:60]}'): the "
                "template or the tokenizer changed it; mend the row, or set reward.bypass_limit to null"
            )


class SaliencyReward:
    """The saliency reward as a TRL reward function, bound to the policy that is being trained.

        reward = SaliencyReward(task)
        trainer = GRPOTrainer(model=..., reward_funcs=[outcome_reward(task), reward], ...)
        reward.bind(trainer)

    Masks are learned on the live policy at each call. The trainer is held, not its model, since FSDP rebinds that.
    Logs `saliency/reliance`, `saliency/density`, `saliency/bypass`, `saliency/reasoning_tokens` and
    `saliency/after_told` (means over the completions that parse and hold reasoning), `saliency/computed` (how many
    these are in a generation batch, over all processes) and `saliency/reward` (mean over the correct ones); adds
    reliance, density, bypass and the salient words of each completion to TRL's table of completions; keeps the last
    batch as plain data in `latest`.

    Args:
        task: parses completions and checks answers; the dataset needs a column `answer`, and may have `question`, the
            question's own text as it stands in the prompt.
        mask: how masks are learned.
        reward: its margin and its limit; the weights are the trainer's `reward_weights`.
    """

    def __init__(self, task: Task, mask: MaskConfig | None = None, reward: RewardConfig | None = None):
        self.__name__ = "saliency"  # TRL names the logged reward after it
        self.task, self.mask, self.reward = task, mask or MaskConfig(), reward or RewardConfig()
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
        question: Sequence[str] | None = None,
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
            self.reward,
            getattr(self._trainer.args, "chat_template_kwargs", None),
            question,
        )
        self.latest = [_sample(text_of(c), t, s) for c, t, s in zip(completions, answer, scored, strict=True)]
        if log_metric:
            _log_metrics(scored, log_metric)
        if log_extra:
            for column in ("reliance", "density", "bypass", "salient"):
                log_extra(column, [sample[column] for sample in self.latest])
        return [s.reward for s in scored]


def _log_metrics(scored: list[Scored], log_metric: Callable[[str, float], None]) -> None:
    computed = [s for s in scored if s.saliency is not None]
    log_metric("saliency/computed", over_processes(len(computed)))
    for s in computed:
        assert s.saliency is not None
        log_metric("saliency/reliance", s.saliency.reliance)
        log_metric("saliency/density", s.saliency.density)
        log_metric("saliency/reasoning_tokens", float(len(s.saliency.gates)))
        log_metric("saliency/after_told", float(s.after_told))
        if s.bypass is not None:
            log_metric("saliency/bypass", s.bypass.value)
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
        "bypass": None if scored.bypass is None else round(scored.bypass.value, 4),
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
