"""explain: one question, its reasoning, and what the answer rests on."""

from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Any, Literal

from .generation import generate
from .mask import MaskConfig, learn_mask
from .saliency import SALIENT_GATE, Saliency
from .tasks import Example, Task
from .trace import Trace, completion_text, prompt_ids, token_texts

ReasoningFrom = Literal["model", "reference"]


class ExplainError(ValueError):
    """A question cannot be explained as asked."""


@dataclass(frozen=True)
class Explanation:
    """A trace's texts and its saliency.

    `correct` is the verdict on the model's own answer: `None` where the answer was given, or the truth is not known.
    `source` says where reasoning and answer come from: `model`, `reference`, or `given`.
    """

    model: str
    question: str
    cue: str
    answer: str
    saliency: Saliency
    correct: bool | None = None
    truth: str | None = None
    task: str = ""
    source: str = "model"

    def to_json(self) -> dict[str, Any]:
        """What `explain --json` writes; the reasoning's tokens join to its text."""
        s = self.saliency
        return {
            "model": self.model,
            "task": self.task,
            "source": self.source,
            "question": self.question,
            "reasoning": [
                {"token": token, "saliency": gate, "salient": salient}
                for token, gate, salient in zip(s.tokens, s.gates, s.salient, strict=True)
            ],
            "cue": self.cue,
            "answer": self.answer,
            "correct": self.correct,
            "truth": self.truth,
            "answer_logprob": {"open": s.open, "closed": s.closed, "learned": s.learned},
            "reliance": s.reliance,
            "density": s.density,
            "threshold": SALIENT_GATE,
            "kinds": s.by_kind(),
            "sentences": [{"text": part.text, "saliency": part.saliency} for part in s.by_sentence()],
            "scope": s.scope,
            "steps": s.steps,
            "seconds": s.seconds,
        }


def explain(
    model: Any,
    tokenizer: Any,
    task: Task,
    example: Example,
    *,
    name: str = "",
    reasoning_from: ReasoningFrom = "model",
    reasoning: str | None = None,
    answer: str | None = None,
    mask: MaskConfig | None = None,
    max_new_tokens: int = 256,
) -> Explanation:
    """Explain one example.

    Args:
        reasoning_from: `reference` takes the example's worked solution and its true answer; `model` lets the model
            reason greedily, and where it does not come to an answer in the asked form, forces the task's cue after
            what it wrote and lets it answer.
        reasoning: reasoning to use instead of either; with an empty `example.answer` the model answers after it.
        answer: the answer to explain, instead of the model's own after its own reasoning.

    Raises:
        ExplainError: there is no worked solution, or the model wrote no reasoning or no answer.
    """
    prompt = task.prompt(example)
    if reasoning is None and reasoning_from == "model":
        trace = _generated_trace(model, tokenizer, task, prompt_ids(tokenizer, prompt), max_new_tokens)
    else:
        text = example.reasoning if reasoning is None else reasoning
        if text is None:
            raise ExplainError("this example has no worked solution: use --reasoning-from model or give --reasoning")
        if example.answer:
            target = task.answer_text(example)
        else:
            before = Trace.from_text(tokenizer, prompt, text, task.cue, "?")
            target = _answer_after(model, tokenizer, task, list(before.ids[: before.cue_end]))
        trace = Trace.from_text(tokenizer, prompt, text, task.cue, target)
    own = (reasoning is None and reasoning_from == "model") or not example.answer
    if answer is not None:
        own = False
        trace = _with_answer(tokenizer, trace, task.answer_text(Example(example.question, answer)))
    answer = trace.text(trace.answer)
    return Explanation(
        model=name,
        question=example.question,
        cue=trace.text(trace.cue),
        answer=answer,
        saliency=learn_mask(model, trace, mask),
        correct=task.check(answer, example.answer) if own and example.answer else None,
        truth=example.answer or None,
        task=task.name,
        source="given" if reasoning is not None else reasoning_from,
    )


def _with_answer(tokenizer: Any, trace: Trace, answer: str) -> Trace:
    """The trace with another answer after its cue."""
    ids = tokenizer(answer, add_special_tokens=False)["input_ids"]
    texts = (*trace.texts[: trace.cue_end], *token_texts(tokenizer, ids))
    return replace(trace, ids=(*trace.ids[: trace.cue_end], *ids), texts=texts)


def _generated_trace(model: Any, tokenizer: Any, task: Task, prompt: list[int], max_new_tokens: int) -> Trace:
    ids = generate(model, tokenizer, [prompt], max_new_tokens)[0]
    text = completion_text(tokenizer, ids)
    parts = task.parse(text)
    if parts is None:
        ends = list(accumulate(len(piece) for piece in token_texts(tokenizer, ids)))
        ids = ids[: sum(end <= len(text.rstrip()) for end in ends)]
        if not ids:
            raise ExplainError("the model wrote no reasoning: give it with --reasoning")
        reasoning_end = len(completion_text(tokenizer, ids))
        ids = ids + tokenizer(task.cue, add_special_tokens=False)["input_ids"]
        answer = _answer_after(model, tokenizer, task, prompt + ids)
        ids = ids + tokenizer(answer, add_special_tokens=False)["input_ids"]
        answer_start = reasoning_end + len(task.cue)
        span = (reasoning_end, answer_start, answer_start + len(answer))
    else:
        span = (parts.reasoning_end, parts.answer_start, parts.answer_end)
        if not text[: parts.reasoning_end].strip():
            raise ExplainError("the model answered without reasoning: give it with --reasoning")
    return Trace.from_ids(tokenizer, prompt, ids, span)


def _answer_after(model: Any, tokenizer: Any, task: Task, ids: list[int]) -> str:
    """The first line that the model writes after the cue, greedily; what the task can parse of it where it can."""
    text = completion_text(tokenizer, generate(model, tokenizer, [ids], 16)[0])
    parts = task.parse("." + task.cue + text)
    if parts is not None:
        shift = 1 + len(task.cue)
        return text[max(0, parts.answer_start - shift) : parts.answer_end - shift]
    line = text.split("\n")[0]
    if not line.strip():
        raise ExplainError("the model gives no answer after the cue: give it with --answer")
    return line
