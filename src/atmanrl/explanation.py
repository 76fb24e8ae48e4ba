"""explain: one question, its reasoning, and what the answer rests on."""

from dataclasses import dataclass, replace
from typing import Any, Literal

from .attribution import Method, attribute
from .bypass import Bypass, measure_bypass, tokens_of
from .evaluation import Row
from .faithfulness import read_cases
from .forcing import Forcer, Request, first_ids, read_answer
from .generation import generate
from .mask import MaskConfig, learn_mask
from .saliency import SALIENT_GATE, Saliency, tokens_by_span
from .tasks import Chains, Example, Task
from .trace import Trace, completion_text, prompt_ids, token_texts

ReasoningFrom = Literal["model", "reference"]


class ExplainError(ValueError):
    """A question cannot be explained as asked."""


@dataclass(frozen=True)
class Explanation:
    """A trace's texts and its saliency.

    `correct` is the verdict on the model's own answer: `None` where the answer was given, or the truth is not known.
    `source` says where reasoning and answer come from: `model`, `reference`, or `given`. `method` says what its
    saliency is: learned gates (`mask`), or another method's scores as shares of the largest. `bypass` is `None` where
    the question does not stand in the prompt as it is.
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
    method: Method | Literal["mask"] = "mask"
    bypass: Bypass | None = None

    def to_json(self) -> dict[str, Any]:
        """What `explain --json` writes; the reasoning's tokens join to its text."""
        s, learned = self.saliency, self.method == "mask"
        return {
            "model": self.model,
            "task": self.task,
            "source": self.source,
            "method": self.method,
            "question": self.question,
            "reasoning": [
                {"token": token, "saliency": gate, "salient": salient}
                for token, gate, salient in zip(s.tokens, s.gates, s.salient, strict=True)
            ],
            "cue": self.cue,
            "answer": self.answer,
            "correct": self.correct,
            "truth": self.truth,
            "answer_logprob": {"open": s.open, "closed": s.closed, "learned": s.learned if learned else None},
            "reliance": s.reliance,
            "density": s.density if learned else None,
            "bypass": _bypass_json(self.bypass),
            "threshold": SALIENT_GATE,
            "kinds": s.by_kind(),
            "sentences": [{"text": part.text, "saliency": part.saliency} for part in s.by_sentence()],
            "scope": s.scope,
            "steps": s.steps,
            "seconds": s.seconds,
        }


def _bypass_json(found: Bypass | None) -> dict[str, Any] | None:
    if found is None:
        return None
    each = zip(found.sentences, found.drops, found.closed, found.blended, found.reliances, strict=True)
    names = ("text", "drop", "closed", "blended", "reliance")
    sentences = [dict(zip(names, values, strict=True)) for values in each]
    return {"value": found.value, "sentence": found.sentence, "sentences": sentences}


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
    method: Method | Literal["mask"] = "mask",
    max_new_tokens: int = 256,
) -> Explanation:
    """Explain one example.

    Args:
        reasoning_from: `reference` takes the example's worked solution and its true answer; `model` lets the model
            reason greedily, and where it does not come to an answer in the asked form, forces the task's cue after
            what it wrote and lets it answer.
        reasoning: reasoning to use instead of either; with an empty `example.answer` the model answers after it.
        answer: the answer to explain, instead of the model's own after its own reasoning.
        method: the learned mask, or another method that it is compared with (`attribution.METHODS`), whose scores are
            shown as shares of the largest.

    Raises:
        AttributionError: no such method, or it needs a package that is not installed.
        ExplainError: there is no worked solution, or the model wrote no reasoning or no answer.
    """
    prompt = task.prompt(example)
    if reasoning is None and reasoning_from == "model":
        trace = _generated_trace(model, tokenizer, task, example, prompt_ids(tokenizer, prompt), max_new_tokens)
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
        saliency=learn_mask(model, trace, mask) if method == "mask" else _by_other_means(model, trace, method),
        correct=task.check(answer, example.answer) if own and example.answer else None,
        truth=example.answer or None,
        task=task.name,
        source="given" if reasoning is not None else reasoning_from,
        method=method,
        bypass=_bypass(model, trace, example.question, mask or MaskConfig()),
    )


def _bypass(model: Any, trace: Trace, question: str, mask: MaskConfig) -> Bypass | None:
    """`None` where a template changed the question, so that it does not stand in the prompt."""
    if not tokens_of(trace, question.strip()):
        return None
    return measure_bypass(model, [trace], [question], mask.matmuls)[0]


def _with_answer(tokenizer: Any, trace: Trace, answer: str) -> Trace:
    """The trace with another answer after its cue."""
    ids = tokenizer(answer, add_special_tokens=False)["input_ids"]
    texts = (*trace.texts[: trace.cue_end], *token_texts(tokenizer, ids))
    return replace(trace, ids=(*trace.ids[: trace.cue_end], *ids), texts=texts)


def _generated_trace(
    model: Any, tokenizer: Any, task: Task, example: Example, prompt: list[int], max_new_tokens: int
) -> Trace:
    """The model's own trace, its answer forced where it comes to none in the asked form."""
    ids = generate(model, tokenizer, [prompt], max_new_tokens)
    case = read_cases(model, tokenizer, task, [example], [prompt], ids)[0]
    if case.found is None:
        if case.answer is None and case.completion.strip():
            raise ExplainError("the model gives no answer after the cue: give it with --answer")
        wrote = "answered without reasoning" if case.parsed else "wrote no reasoning"
        raise ExplainError(f"the model {wrote}: give it with --reasoning")
    return case.found


def _answer_after(model: Any, tokenizer: Any, task: Task, ids: list[int]) -> str:
    """What the model writes after the cue, greedily, to the end of the answer in it."""
    forcer = Forcer(model, tokenizer, [ids[:-1]], first_ids(task, tokenizer))
    text = completion_text(tokenizer, forcer.force([Request(0, (ids[-1],))], 16)[0].ids[0])
    answer = read_answer(task, task.cue, text)
    if answer is None:
        raise ExplainError("the model gives no answer after the cue: give it with --answer")
    return text[: text.find(answer) + len(answer)]


def _by_other_means(model: Any, trace: Trace, method: Method) -> Saliency:
    """Scores of another method in the place of gates, as shares of the largest; nothing was learned."""
    found = attribute(model, [trace], method)[0]
    nothing = float("nan")
    return Saliency(found.tokens, found.shares, found.open, found.closed, nothing, "all", 0, found.seconds)


def traced(
    task: Chains, example: Example, model: str, row: Row, saliency: Saliency | None, bypass: Bypass | None = None
) -> dict[str, Any]:
    """One evaluated completion as the demo's report shows it: an explanation, and which tokens are filler.

    Raises:
        ValueError: it has no saliency.
    """
    parts = task.parse(row.completion)
    if saliency is None or parts is None:
        raise ValueError(f"question {row.index} has no reasoning to show")
    answer = row.completion[parts.answer_start : parts.answer_end]
    cue = row.completion[parts.reasoning_end : parts.answer_start]
    filler = tokens_by_span(saliency.tokens, task.filler_spans(example, saliency.text))
    inside = {i for members in filler for i in members}
    return {
        **Explanation(model, example.question, cue, answer, saliency, row.correct, bypass=bypass).to_json(),
        "filler": [i in inside for i in range(len(saliency.tokens))],
    }
