"""Completions taken apart and judged, once for all rewards: one text, one parse, one check."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from .generation import before_end, end_ids
from .rewards import RewardDataError
from .tasks import Task
from .trace import Prompt, Trace, completion_text, prompt_ids


@dataclass(frozen=True)
class Judged:
    """One completion, taken apart and judged.

    Attributes:
        text: what it says, special tokens kept: a `</think>` that a tokenizer counts as special ends a thought here.
        answer: its answer; `None` where it has none in the asked form.
        correct: whether that is right; `False` where there is none.
        trace: of a completion that parses and holds reasoning, else `None`.
        why: why there is no trace, in words; `None` where there is one.
    """

    text: str
    answer: str | None
    correct: bool
    trace: Trace | None
    why: str | None = None


class Judge:
    """Judges a batch once, however many rewards ask for it: the last batch is kept.

    Args:
        task: parses completions and checks answers.
    """

    def __init__(self, task: Task):
        self.task = task
        self._kept: dict[tuple[str, tuple[int, ...], str], Judged] = {}

    def __call__(
        self,
        model: nn.Module,
        tokenizer: Any,
        prompts: Sequence[Prompt],
        completion_ids: Sequence[Sequence[int]],
        truths: Sequence[str],
        template: dict[str, Any] | None = None,
    ) -> list[Judged]:
        """One judgement a completion.

        Args:
            completion_ids: generated ids; what follows the first end-of-sequence is ignored.
            truths: the right answers, each in one line.
            template: further arguments of the chat template, as the prompts were rendered with.

        Raises:
            RewardDataError: a right answer is empty or has several lines; the message names the row.
        """
        stops = end_ids(model, tokenizer)
        before: dict[str, list[int]] = {}
        found: dict[tuple[str, tuple[int, ...], str], Judged] = {}
        judged = []
        for row, (prompt, ids, truth) in enumerate(zip(prompts, completion_ids, truths, strict=True)):
            _require_one_line(truth, row)
            asked = repr(prompt)
            key = (asked, tuple(int(i) for i in ids), truth)
            one = found.get(key) or self._kept.get(key)
            if one is None:
                if asked not in before:
                    before[asked] = prompt_ids(tokenizer, prompt, **(template or {}))
                one = self._judge(tokenizer, before[asked], before_end(ids, stops), truth)
            found[key] = one
            judged.append(one)
        self._kept = found
        return judged

    def _judge(self, tokenizer: Any, prompt: list[int], completion: list[int], truth: str) -> Judged:
        text = completion_text(tokenizer, completion)
        parts = self.task.parse(text)
        if parts is None:
            return Judged(
                text, None, False, None, "no answer in the asked form" if text.strip() else "nothing was written"
            )
        answer = text[parts.answer_start : parts.answer_end]
        spans = (parts.reasoning_end, parts.answer_start, parts.answer_end)
        trace = Trace.found_in(tokenizer, prompt, completion, spans)
        return Judged(text, answer, self.task.check(answer, truth), trace, None if trace else "no reasoning")


def _require_one_line(truth: str, row: int) -> None:
    if not truth.strip() or len(truth.strip().splitlines()) > 1:
        shown = "is empty" if not truth.strip() else f"has several lines ('{truth.strip().splitlines()[0][:40]} ...')"
        raise RewardDataError(
            f"the right answer of row {row} {shown}: let the dataset's column 'answer' hold the final answer alone"
        )
