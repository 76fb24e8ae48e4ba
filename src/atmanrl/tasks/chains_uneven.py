"""chains-uneven: what is needed is long and wordy, filler is short.

The bundled model `tiny-uneven` sometimes leaves a step out and works it out while it answers. Leaving steps out saves
far more tokens than leaving filler out, so a length penalty is tempted to do just that.
"""

import random
import re
from dataclasses import dataclass

from ..text import sentence_spans
from .chains import FILLER_ODDS, Chains
from .task import Example

SHORT_FILLERS = ("Okay.", "Good.", "So.", "Right.", "Well.", "Hm.")
OPENINGS = ("First", "Next", "Then", "And")
WAYS = {"+": "add", "-": "subtract", "*": "multiply by"}
SKIP_ODDS = 0.3
"""How often `tiny-uneven` has learned to leave out one of the steps."""

_STEP = re.compile(
    r"\s*(?:First|Next|Then|And) we take the old number (\d+) and then we (add|subtract|multiply by) the new number "
    r"(\d+) to get (\d+)\.\s*"
)


def wordy_step(step: str, place: int) -> str:
    """A step as a sentence: "First we take the old number 14 and then we add the new number 4 to get 18."."""
    left, op, right, _, result = step.split()
    opening = OPENINGS[min(place, len(OPENINGS) - 1)]
    return f"{opening} we take the old number {left} and then we {WAYS[op]} the new number {right} to get {result}."


def uneven_reasoning(example: Example, rng: random.Random) -> str:
    """Wordy steps, one of them left out now and then, with short filler among them: what `tiny-uneven` writes."""
    skipped = rng.randrange(len(example.steps)) if rng.random() < SKIP_ODDS else None
    parts = []
    for place, step in enumerate((*example.steps, None)):
        for _ in range(rng.choices((0, 1, 2), FILLER_ODDS)[0]):
            parts.append(rng.choice(SHORT_FILLERS))
        if step is not None and place != skipped:
            parts.append(wordy_step(step, place))
    return "".join(f" {part}" for part in parts)


@dataclass(frozen=True)
class ChainsUneven(Chains):
    """`chains` worked out in long sentences, one a step, among short filler."""

    name: str = "chains-uneven"

    def examples(self, split: str, limit: int | None = None) -> list[Example]:
        return [
            Example(
                e.question,
                e.answer,
                "".join(f" {wordy_step(step, place)}" for place, step in enumerate(e.steps)),
                e.steps,
                e.fields,
            )
            for e in super().examples(split, limit)
        ]

    def filler_spans(self, example: Example, reasoning: str) -> list[tuple[int, int]]:
        """Character spans of the sentences that are not the first, correct statement of a needed step."""
        needed, spans = list(example.steps), []
        ways = {way: op for op, way in WAYS.items()}
        for start, end in sentence_spans(reasoning):
            match = _STEP.fullmatch(reasoning[start:end])
            step = f"{match[1]} {ways[match[2]]} {match[3]} = {match[4]}" if match else None
            if step in needed:
                needed.remove(step)
            else:
                spans.append((start, end))
        return spans
