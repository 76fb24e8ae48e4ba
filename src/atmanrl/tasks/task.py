"""What a task is: examples, a prompt, a way to find the parts of a completion, a check."""

from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from ..trace import Prompt


@dataclass(frozen=True)
class Example:
    """One question of a task.

    Attributes:
        question: the question as text.
        answer: the true answer, in the form that `Task.check` compares with.
        reasoning: a worked solution without the answer's announcement, where the data has one.
        steps: the needed steps in order, where the task knows them (`chains`).
        fields: whatever else the task's prompt needs (`choices`, `subject`).
    """

    question: str
    answer: str
    reasoning: str | None = None
    steps: tuple[str, ...] = ()
    fields: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Parsed:
    """Where the parts of a completion lie, in characters.

    The reasoning is `[0, reasoning_end)`, the cue `[reasoning_end, answer_start)`, the answer
    `[answer_start, answer_end)`; what follows is ignored.
    """

    reasoning_end: int
    answer_start: int
    answer_end: int

    def __post_init__(self) -> None:
        if not 0 <= self.reasoning_end < self.answer_start < self.answer_end:
            raise ValueError(
                f"parts of a completion must be in order with a cue and an answer, not {self.reasoning_end}, "
                f"{self.answer_start}, {self.answer_end}"
            )


@runtime_checkable
class Task(Protocol):
    """A task is one small object: a name, a cue, a decoding temperature, and these methods."""

    @property
    def name(self) -> str:
        """What the task is called in results."""
        ...

    @property
    def cue(self) -> str:
        """The text that announces an answer, which `explain` forces where a model does not write one."""
        ...

    @property
    def temperature(self) -> float:
        """At which the task's figures are reported: 0 is greedy."""
        ...

    def examples(self, split: str, limit: int | None = None) -> list[Example]:
        """The first `limit` examples of a split (`train`, `dev` or `test`); all when `None`."""
        ...

    def prompt(self, example: Example) -> Prompt:
        """The prompt: a string, or chat messages."""
        ...

    def parse(self, completion: str) -> Parsed | None:
        """The parts of a completion, or `None` when it does not hold an answer in the asked form."""
        ...

    def answer_text(self, example: Example) -> str:
        """The true answer as the model would write it after the cue, leading space included."""
        ...

    def check(self, answer: str, truth: str) -> bool:
        """Whether the text of an answer is right."""
        ...
