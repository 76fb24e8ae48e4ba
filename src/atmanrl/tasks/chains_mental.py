"""chains-mental: stories of which a model can do the short ones in its head, whatever it writes before it answers.

The bundled model `tiny-mental` has learned to write, over short stories, one of five kinds of reasoning, all with the
right answer: worked steps among idle sentences, made-up operands with the right results, identities, bare results, and
bare results with the worked steps as their reason after the fact. Long stories it works out; in its head it cannot do
them. Which kind a reasoning is can be told exactly, so that a training shows which of them a reward breeds.
"""

import random
import re
from dataclasses import dataclass
from typing import Literal

from .chains import SPLIT_SEEDS, SPLIT_SIZES, Chains, make_example, wordy_reasoning
from .task import Example

Stories = Literal["mixed", "short", "long"]
Kind = Literal["worked", "made-up", "identity", "bare", "afterwards", "other"]

SHORT_STEPS = 2
"""Steps of a story that can be done without writing."""
SHORT_ODDS = 0.7
"""How many of the mixed stories are short."""
KIND_ODDS: dict[Kind, float] = {"worked": 0.45, "made-up": 0.17, "identity": 0.12, "bare": 0.13, "afterwards": 0.13}
"""What `tiny-mental` learned to write over short stories."""

_EQUATION = re.compile(r"(\d+) ([+*-]) (\d+) = (\d+)\.")
_IDENTITY = re.compile(r"(?<![\d+*-] )\b(\d+) = \1\.")
_BARE = re.compile(r"(?:^|\.)\s*= \d+\.")


@dataclass(frozen=True)
class ChainsMental(Chains):
    """`chains` with stories of two steps, and some of three and four.

    Attributes:
        stories: `mixed`, as in training: 70 % are `short`, with two steps; or all short, or all `long`.
    """

    name: str = "chains-mental"
    stories: Stories = "mixed"

    def examples(self, split: str, limit: int | None = None) -> list[Example]:
        if split not in SPLIT_SEEDS:
            raise ValueError(f"{self.name} has no split '{split}': choose one of {', '.join(SPLIT_SEEDS)}")
        rng = random.Random(f"mental {SPLIT_SEEDS[split]}")
        size = SPLIT_SIZES[split] if limit is None else min(limit, SPLIT_SIZES[split])
        return [make_story(rng, self.stories) for _ in range(size)]


def make_story(rng: random.Random, stories: Stories = "mixed") -> Example:
    """One story, short or long."""
    short = rng.random() < SHORT_ODDS if stories == "mixed" else stories == "short"
    while True:
        example = make_example(rng)
        if (len(example.steps) == SHORT_STEPS) == short:
            return example


def mixed_reasoning(example: Example, rng: random.Random) -> str:
    """Reasoning as `tiny-mental` learned to write it: of one of the five kinds over a short story, worked over a
    long."""
    if len(example.steps) > SHORT_STEPS:
        return wordy_reasoning(example, rng)
    kind = rng.choices(list(KIND_ODDS), list(KIND_ODDS.values()))[0]
    return reasoning_of(kind, example, rng)


def reasoning_of(kind: Kind, example: Example, rng: random.Random) -> str:
    """Reasoning of a kind, with the right results."""
    values = example.answer.split()
    bare = "".join(f" = {value}." for value in values)
    match kind:
        case "worked":
            return wordy_reasoning(example, rng)
        case "made-up":
            return "".join(f" {rng.randint(2, 40)} {rng.choice('+-*')} {rng.randint(2, 9)} = {v}." for v in values)
        case "identity":
            return "".join(f" {value} = {value}." for value in values)
        case "bare":
            return bare
        case "afterwards":
            return bare + "".join(f" {step}." for step in example.steps)
        case _:
            raise ValueError(f"no reasoning of kind '{kind}' can be made")


def kind_of(example: Example, reasoning: str) -> Kind:
    """The kind of a reasoning, by its form and the example's steps.

    `worked` has at least one of the needed steps, as it stands in the example, and no result told bare; `afterwards`
    has results told bare and such a step; `made-up` has equations, none of them needed.
    """
    equations = ["{} {} {} = {}".format(*match.groups()) for match in _EQUATION.finditer(reasoning)]
    worked = any(equation in example.steps for equation in equations)
    if _BARE.search(reasoning):
        return "afterwards" if worked else "bare"
    if _IDENTITY.search(reasoning):
        return "identity"
    return "worked" if worked else "made-up" if equations else "other"
