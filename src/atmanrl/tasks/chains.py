"""chains: bundled stories of additions, subtractions and multiplications whose filler is known token by token.

A story such as "Sam has 14 coins. Sam gets 4 more. The pile grows 2 times. How many coins after each step?" is reasoned
about with one equation a step, between which the bundled model has learned to scatter sentences that carry nothing. The
answer, "18 36", takes a result from every equation: each needed step is one that the answer rests on. (Asked for the
last value alone, a model reads the last equation alone, and nothing is owed to the others.)
"""

import random
import re
from dataclasses import dataclass, replace

from ..text import sentence_spans
from .task import Example, Parsed

NAMES = ("Sam", "Mia", "Leo", "Ana", "Tom", "Eva", "Ben", "Zoe")
ITEMS = ("coins", "books", "apples", "cards", "shells", "stamps", "marbles", "pens")
GAINS = ("{name} gets {k} more.", "{name} finds {k} more.", "{name} buys {k} more.")
LOSSES = ("{name} loses {k}.", "{name} gives away {k}.", "{name} sells {k}.")
FILLERS = (
    "Let me think about it.",
    "That seems right so far.",
    "Now I look at the next part.",
    "This is a nice story.",
    "Okay, let me see.",
    "I should be careful here.",
    "It is good to go slowly.",
    "The {items} are very pretty.",
    "{name} is happy with the {items}.",
    "I like to count {items}.",
    "So we can go on.",
    "There is more to read.",
)
# How many filler sentences stand in a gap before, between or after the equations: 0, 1 or 2.
FILLER_ODDS = (0.62, 0.28, 0.10)
SPLIT_SEEDS = {"train": 1, "dev": 2, "test": 3}
SPLIT_SIZES = {"train": 20_000, "dev": 2_000, "test": 2_000}
LARGEST = 99

_ANSWER = re.compile(r"( The answer is)((?: \d+)+)")
_EQUATION = re.compile(r"\s*(\d+) ([+*-]) (\d+) = (\d+)\.\s*")


def make_example(rng: random.Random) -> Example:
    """One story of two to four steps, all values from 1 to 99, with its reasoning free of filler."""
    name, items = rng.choice(NAMES), rng.choice(ITEMS)
    value = rng.randint(3, 30)
    story, steps, values = [f"{name} has {value} {items}."], [], []
    for _ in range(rng.choices((2, 3, 4), (0.3, 0.4, 0.3))[0]):
        sentence, op, k, result = _make_step(rng, value)
        story.append(sentence.format(name=name, k=k))
        steps.append(f"{value} {op} {k} = {result}")
        value = result
        values.append(str(value))
    story.append(f"How many {items} after each step?")
    reasoning = "".join(f" {step}." for step in steps)
    return Example(" ".join(story), " ".join(values), reasoning, tuple(steps), {"name": name, "items": items})


def _make_step(rng: random.Random, value: int) -> tuple[str, str, int, int]:
    op = rng.choice("++--*")
    if op == "*" and value * 2 <= LARGEST:
        k = rng.choice([f for f in (2, 3) if value * f <= LARGEST])
        return "The pile grows {k} times.", "*", k, value * k
    if op == "-" and value > 2:
        k = rng.randint(2, min(20, value - 1))
        return rng.choice(LOSSES), "-", k, value - k
    if value + 2 <= LARGEST:
        k = rng.randint(2, min(20, LARGEST - value))
        return rng.choice(GAINS), "+", k, value + k
    return rng.choice(LOSSES), "-", 10, value - 10


def wrong_answer(example: Example, rng: random.Random) -> str:
    """A wrong answer that looks like the example's: as many values, the last of them another."""
    *before, last = example.answer.split()
    return " ".join((*before, str(rng.choice([value for value in range(1, LARGEST + 1) if value != int(last)]))))


def wordy_reasoning(example: Example, rng: random.Random) -> str:
    """The example's equations with filler sentences scattered among them: what the bundled model learned to write."""
    parts = []
    for step in (*example.steps, None):
        for _ in range(rng.choices((0, 1, 2), FILLER_ODDS)[0]):
            parts.append(rng.choice(FILLERS).format(**example.fields))
        if step is not None:
            parts.append(f"{step}.")
    return "".join(f" {part}" for part in parts)


def filler_spans(example: Example, reasoning: str) -> list[tuple[int, int]]:
    """Character spans of the sentences of `reasoning` that are filler.

    Filler is every sentence that is not the first, correct statement of a needed step: repeats, wrong equations and
    idle talk alike. White space before a sentence is part of it.
    """
    needed = list(example.steps)
    spans = []
    for start, end in sentence_spans(reasoning):
        match = _EQUATION.fullmatch(reasoning[start:end])
        step = "{} {} {} = {}".format(*match.groups()) if match else None
        if step in needed:
            needed.remove(step)
        else:
            spans.append((start, end))
    return spans


@dataclass(frozen=True)
class Chains:
    """The bundled task. Splits are drawn from fixed seeds, so that every machine sees the same stories.

    Completions are sampled: the bundled model scatters filler by chance, and its single most likely text has none.

    Attributes:
        key: every story ends with a right answer key, "The answer key says 18 36."
    """

    name: str = "chains"
    cue: str = " The answer is"
    temperature: float = 1.0
    key: bool = False

    def examples(self, split: str, limit: int | None = None) -> list[Example]:
        if split not in SPLIT_SEEDS:
            raise ValueError(f"chains has no split '{split}': choose one of {', '.join(SPLIT_SEEDS)}")
        rng = random.Random(SPLIT_SEEDS[split])
        size = SPLIT_SIZES[split] if limit is None else min(limit, SPLIT_SIZES[split])
        examples = [make_example(rng) for _ in range(size)]
        if self.key:
            return [replace(e, question=f"{e.question} The answer key says {e.answer}.") for e in examples]
        return examples

    def prompt(self, example: Example) -> str:
        return f"{example.question}\nThink:"

    def parse(self, completion: str) -> Parsed | None:
        match = _ANSWER.search(completion)
        return Parsed(match.start(), match.start(2), match.end(2)) if match else None

    def answer_text(self, example: Example) -> str:
        return f" {example.answer}"

    def check(self, answer: str, truth: str) -> bool:
        return answer.split() == truth.split()

    def filler_spans(self, example: Example, reasoning: str) -> list[tuple[int, int]]:
        return filler_spans(example, reasoning)
