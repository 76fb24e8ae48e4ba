"""chains-decoy: true equations that nothing needs stand among the needed ones; only structure tells them apart.

The bundled model `tiny-decoy` writes hardly any when it takes its likeliest words. Sampled, half of its reasoning is
decoys, and some stories go wrong over them: a decoy's result, or a part of one, is taken for a step's.
"""

import random
import re
from dataclasses import dataclass

from .chains import FILLER_ODDS, LARGEST, Chains
from .task import Example


def decoy(example: Example, rng: random.Random) -> str:
    """A true equation over the story's own numbers that is none of its steps."""
    numbers = [int(n) for n in re.findall(r"\d+", example.question)]
    while True:
        left, right = rng.choice(numbers), rng.choice(numbers)
        op = rng.choice("+-*")
        result = {"+": left + right, "-": left - right, "*": left * right}[op]
        step = f"{left} {op} {right} = {result}"
        if 1 <= result <= LARGEST and step not in example.steps:
            return step
        numbers.append(rng.randint(2, 20))


def decoyed_reasoning(example: Example, rng: random.Random) -> str:
    """The steps with decoys scattered among them, as filler is in `chains`."""
    parts = []
    for step in (*example.steps, None):
        for _ in range(rng.choices((0, 1, 2), FILLER_ODDS)[0]):
            parts.append(f"{decoy(example, rng)}.")
        if step is not None:
            parts.append(f"{step}.")
    return "".join(f" {part}" for part in parts)


@dataclass(frozen=True)
class ChainsDecoy(Chains):
    """`chains` whose filler is equations, true ones over the story's numbers."""

    name: str = "chains-decoy"
