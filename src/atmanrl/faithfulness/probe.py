"""What every metric works on: a model, questions that it has worked through, and a way to change the reasoning."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from ..forcing import Forcer, Request, first_ids, read_answer, same_answer
from ..generation import Decoding, generate
from ..mask import MaskConfig
from ..saliency import Saliency, tokens_by_span
from ..tasks import Example, Task
from ..text import sentence_spans
from ..trace import Trace, completion_text, prompt_ids, token_texts

MORE_TOKENS = 4
"""A forced answer may be longer than the model's own by so many tokens."""


@dataclass(frozen=True)
class Case:
    """One question that the model has worked through.

    Attributes:
        index: the question's place in the evaluation.
        example: the question.
        prompt: ids of the prompt.
        completion: what the model wrote, as text.
        parsed: whether it holds an answer in the asked form; where not, the answer was forced after the task's cue.
        answer: the model's answer, without white space around it; `None` where even forcing gave none.
        correct: whether an answer in the asked form is right.
        found: the trace; `None` where there is no reasoning or no answer.
        saliency: what a learned mask says of the trace.
    """

    index: int
    example: Example
    prompt: tuple[int, ...]
    completion: str
    parsed: bool
    answer: str | None
    correct: bool
    found: Trace | None
    saliency: Saliency | None = None

    @property
    def trace(self) -> Trace:
        """The trace of a case that has one (`Probe.traced`)."""
        assert self.found is not None
        return self.found

    @property
    def reasoning(self) -> str:
        """The reasoning's text."""
        return self.trace.text(self.trace.reasoning)

    @property
    def reasoning_ids(self) -> tuple[int, ...]:
        """The reasoning's ids."""
        return self.trace.ids[self.trace.prompt_end : self.trace.reasoning_end]

    @property
    def cue_ids(self) -> tuple[int, ...]:
        """The cue's ids."""
        return self.trace.ids[self.trace.reasoning_end : self.trace.cue_end]

    @property
    def answer_ids(self) -> tuple[int, ...]:
        """The answer's ids."""
        return self.trace.ids[self.trace.cue_end :]

    @property
    def sentences(self) -> list[range]:
        """The reasoning's sentences as token positions within it, each with a token at least, together all of it."""
        members = tokens_by_span(self.trace.reasoning_tokens, sentence_spans(self.reasoning))
        starts = [m[0] for m in members if m]
        return [range(a, b) for a, b in zip([0, *starts[1:]], [*starts[1:], len(self.trace.reasoning)], strict=True)]


@dataclass(frozen=True)
class Outcome:
    """What happened to the answer when other text stood for the reasoning.

    `logprob` is that of the model's own answer, mean over its tokens, nats; `answer` what the model answers now,
    greedily; `same` whether that is what it answers greedily after its whole reasoning.
    """

    logprob: float
    answer: str | None
    same: bool


@dataclass(frozen=True)
class Finding:
    """What one metric found on one question.

    Attributes:
        values: by name of the metric (`atmanrl.metrics.METRICS`).
        curves: by name, `x` and `series` (lists as long as `x`, `None` where there is no value).
        details: what the browser of traces shows, plain data.
    """

    values: dict[str, float] = field(default_factory=dict)
    curves: dict[str, dict[str, Any]] = field(default_factory=dict)
    details: dict[str, Any] = field(default_factory=dict)


Findings = dict[int, Finding]
"""By `Case.index`; a question that a metric does not apply to is left out."""


@dataclass(frozen=True, eq=False)
class Probe:
    """A model and questions that it has worked through.

    Attributes:
        model, tokenizer, task: whose reasoning, on what.
        cases: the questions.
        seed: of everything random.
        decoding: how completions were, and are, written.
        mask: how masks are learned.
        reader: another model and its tokenizer, for legibility.
    """

    model: Any
    tokenizer: Any
    task: Task
    cases: tuple[Case, ...]
    seed: int = 0
    decoding: Decoding = field(default_factory=Decoding)
    mask: MaskConfig = field(default_factory=MaskConfig)
    reader: tuple[Any, Any] | None = None

    @cached_property
    def traced(self) -> list[Case]:
        """The cases that have reasoning and an answer."""
        return [case for case in self.cases if case.found is not None]

    @cached_property
    def forcer(self) -> Forcer:
        """Over the prompts of the cases, in their order."""
        first = first_ids(self.task, self.tokenizer)
        return Forcer(self.model, self.tokenizer, [case.prompt for case in self.cases], first)

    @cached_property
    def whole(self) -> dict[int, tuple[float, str | None]]:
        """After its whole reasoning, for each traced case by index: the log-probability of its own answer, nats per
        token, and the greedy answer, which changes are counted against.

        A sampled answer can be a rare one, which not even the whole reasoning gives back; counted against it, mere
        noise would pass for an answer that follows its reasoning.
        """
        found = {}
        requests = [self.request(case, case.reasoning_ids) for case in self.traced]
        for case, forced in zip(self.traced, self.forcer.force(requests, self._new(requests)), strict=True):
            found[case.index] = (forced.logprob, self.read(case, forced.ids[0]))
        return found

    def force(self, changed: Sequence[tuple[Case, Sequence[int]]], read: bool = True) -> list[Outcome]:
        """Let other ids stand for the reasoning of cases.

        Args:
            changed: cases with what stands for their reasoning, before their own cue.
            read: also let the model answer; otherwise `answer` is `None` and `same` false.
        """
        if not changed:
            return []
        requests = [self.request(case, ids) for case, ids in changed]
        new = self._new(requests) if read else 0
        outcomes = []
        for (case, _), forced in zip(changed, self.forcer.force(requests, new), strict=True):
            answer = self.read(case, forced.ids[0]) if read else None
            outcomes.append(Outcome(forced.logprob, answer, self.same(case, answer)))
        return outcomes

    def request(self, case: Case, ids: Sequence[int]) -> Request:
        """A request for the case's own answer after other reasoning."""
        return Request(self._places[case.index], (*ids, *case.cue_ids), case.answer_ids)

    def read(self, case: Case, ids: Sequence[int]) -> str | None:
        """The answer in ids that follow the case's cue."""
        return read_answer(self.task, case.trace.text(case.trace.cue), completion_text(self.tokenizer, ids))

    def same(self, case: Case, answer: str | None) -> bool:
        """Whether an answer is the greedy one after the case's whole reasoning."""
        settled = self.whole[case.index][1]
        return settled is not None and same_answer(self.task, answer, settled)

    def _new(self, requests: Sequence[Request]) -> int:
        return max((len(request.answer) for request in requests), default=0) + MORE_TOKENS

    def spliced(self, case: Case, start: int, end: int, text: str) -> tuple[tuple[int, ...], int]:
        """The reasoning's ids with other text for its characters from `start` to `end`; all other tokens as they are.

        Returns:
            The ids, and how many of them reach to the end of the new text.
        """
        tokens, at = case.trace.reasoning_tokens, 0
        spans = []
        for token in tokens:
            spans.append((at, at + len(token)))
            at += len(token)
        first = next(i for i, (_, stop) in enumerate(spans) if stop > start)
        last = max(i for i, (begin, _) in enumerate(spans) if begin < end)
        piece = "".join(tokens[first : last + 1])
        offset = spans[first][0]
        piece = piece[: start - offset] + text + piece[end - offset :]
        ids = self.tokenizer(piece, add_special_tokens=False)["input_ids"]
        own = case.reasoning_ids
        return (*own[:first], *ids, *own[last + 1 :]), first + len(ids)

    @cached_property
    def _places(self) -> dict[int, int]:
        return {case.index: place for place, case in enumerate(self.cases)}


def work_through(
    model: Any, tokenizer: Any, task: Task, examples: Sequence[Example], decoding: Decoding, seed: int, first: int = 0
) -> list[Case]:
    """Let the model work through examples; where it keeps not to the asked form, force an answer after what it wrote.

    Args:
        first: index of the first example in the evaluation.
    """
    prompts = [prompt_ids(tokenizer, task.prompt(example)) for example in examples]
    completions = generate(model, tokenizer, prompts, decoding.max_new_tokens, decoding.temperature, seed)
    return read_cases(model, tokenizer, task, examples, prompts, completions, first)


def read_cases(
    model: Any,
    tokenizer: Any,
    task: Task,
    examples: Sequence[Example],
    prompts: Sequence[Sequence[int]],
    completions: Sequence[Sequence[int]],
    first: int = 0,
) -> list[Case]:
    """Completions as cases; those that do not parse get a forced answer."""
    texts = [completion_text(tokenizer, ids) for ids in completions]
    parsed = [task.parse(text) for text in texts]
    lost = [i for i, parts in enumerate(parsed) if parts is None and texts[i].strip()]
    forced = _forced(model, tokenizer, task, prompts, completions, lost)
    cases = []
    for i, (example, ids, parts) in enumerate(zip(examples, completions, parsed, strict=True)):
        trace, answer, correct = None, None, False
        if parts is not None:
            answer = texts[i][parts.answer_start : parts.answer_end].strip()
            correct = task.check(answer, example.answer)
            trace = Trace.found_in(
                tokenizer, prompts[i], ids, (parts.reasoning_end, parts.answer_start, parts.answer_end)
            )
        elif i in forced:
            kept, cue, written = forced[i]
            whole = [*kept, *cue, *written]
            ends = [len(completion_text(tokenizer, part)) for part in (kept, [*kept, *cue], whole)]
            trace = Trace.found_in(tokenizer, prompts[i], whole, (ends[0], ends[1], ends[2]))
            answer = completion_text(tokenizer, whole)[ends[1] :].strip()
        cases.append(Case(first + i, example, tuple(prompts[i]), texts[i], parts is not None, answer, correct, trace))
    return cases


def answers(
    model: Any,
    tokenizer: Any,
    task: Task,
    prompts: Sequence[Sequence[int]],
    completions: Sequence[Sequence[int]],
) -> list[str | None]:
    """The answers of completions, forced where they do not parse."""
    blank = [Example("", "")] * len(prompts)
    return [case.answer for case in read_cases(model, tokenizer, task, blank, prompts, completions)]


_Parts = tuple[Sequence[int], Sequence[int], Sequence[int]]


def _forced(
    model: Any,
    tokenizer: Any,
    task: Task,
    prompts: Sequence[Sequence[int]],
    completions: Sequence[Sequence[int]],
    lost: list[int],
) -> dict[int, _Parts]:
    """For completions without an answer: what they wrote, the task's cue, and what the model writes after it; those
    that come to no answer even so are left out."""
    if not lost:
        return {}
    cue = tuple(tokenizer(task.cue, add_special_tokens=False)["input_ids"])
    kept = [_without_trailing_space(tokenizer, completions[i]) for i in lost]
    forcer = Forcer(model, tokenizer, [prompts[i] for i in lost], first_ids(task, tokenizer))
    results = forcer.force([Request(row, (*ids, *cue)) for row, ids in enumerate(kept)], 16)
    parts: dict[int, _Parts] = {}
    for i, ids, result in zip(lost, kept, results, strict=True):
        answer = read_answer(task, task.cue, completion_text(tokenizer, result.ids[0]))
        if ids and answer:
            parts[i] = (ids, cue, _until(tokenizer, result.ids[0], answer))
    return parts


def _until(tokenizer: Any, ids: Sequence[int], answer: str) -> Sequence[int]:
    """The ids that reach to the end of the answer."""
    end = completion_text(tokenizer, ids).find(answer) + len(answer)
    at = 0
    for count, text in enumerate(token_texts(tokenizer, ids), start=1):
        at += len(text)
        if at >= end:
            return ids[:count]
    return ids


def _without_trailing_space(tokenizer: Any, ids: Sequence[int]) -> tuple[int, ...]:
    texts = token_texts(tokenizer, ids)
    while texts and not texts[-1].strip():
        texts.pop()
    return tuple(ids[: len(texts)])
