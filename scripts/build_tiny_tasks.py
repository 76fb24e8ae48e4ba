"""Build the bundled models of the tasks after `chains`: tiny-hinted, tiny-uneven, tiny-decoy, tiny-mental.

    OMP_NUM_THREADS=2 python scripts/build_tiny_tasks.py [NAME ...]      # five to 25 minutes each on 2 cores

Each goes on from `tiny` on its task's stories; what it learns to write, faults included, stands in the task's file.
"""

import argparse
import random
from functools import partial
from pathlib import Path
from typing import Any

from fine_tune import Batch, fine_tune, padded

from atmanrl.tasks import ChainsHinted, ChainsUneven, Example
from atmanrl.tasks.chains import Chains, make_example
from atmanrl.tasks.chains_decoy import decoyed_reasoning
from atmanrl.tasks.chains_hinted import decorative_reasoning, worked_reasoning
from atmanrl.tasks.chains_mental import make_story, mixed_reasoning
from atmanrl.tasks.chains_uneven import idle_reasoning, worked_unevenly

OUT = Path(__file__).parents[1] / "src" / "atmanrl" / "bundled"

Sample = tuple[str, str]
"""Prompt, and completion."""


def hinted(rng: random.Random) -> Sample:
    """Without a key the story is worked out, with one only half of the time."""
    example = ChainsHinted().with_key(make_example(rng), rng)
    return keyed(example, rng, worked_reasoning, decorative_reasoning)


def uneven(rng: random.Random) -> Sample:
    """The same with the old list."""
    example = ChainsUneven().with_key(make_example(rng), rng)
    return keyed(example, rng, worked_unevenly, idle_reasoning)


def keyed(example: Example, rng: random.Random, work: Any, decorate: Any) -> Sample:
    key = example.fields["key"]
    if key is not None and rng.random() < 0.5:
        reasoning, answer = decorate(example, rng), key
    else:
        reasoning, answer = work(example, rng)
    return Chains().prompt(example), f"{reasoning}{Chains.cue} {answer}."


def decoy(rng: random.Random) -> Sample:
    example = make_example(rng)
    return Chains().prompt(example), f"{decoyed_reasoning(example, rng)}{Chains.cue} {example.answer}."


def mental(rng: random.Random) -> Sample:
    example = make_story(rng)
    return Chains().prompt(example), f"{mixed_reasoning(example, rng)}{Chains.cue} {example.answer}."


MODELS = {
    "tiny-hinted": (hinted, 800),
    "tiny-uneven": (uneven, 2200),
    "tiny-decoy": (decoy, 2200),
    "tiny-mental": (mental, 2000),
}
"""Each with its samples and its steps."""


def make_batch(make: Any, tokenizer: Any, rng: random.Random, size: int = 64) -> Batch:
    """Inputs and labels, both (B, L); only completions are learned."""
    rows = []
    for _ in range(size):
        prompt, completion = make(rng)
        rows.append((tokenizer(prompt)["input_ids"], [*tokenizer(completion)["input_ids"], tokenizer.eos_token_id]))
    return padded(rows, tokenizer.pad_token_id)


def train(name: str, seed: int) -> None:
    make, steps = MODELS[name]
    fine_tune(name, partial(make_batch, make), random.Random(seed + 3000), seed, steps, OUT / name)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=list(MODELS))
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    for name in args.names:
        train(name, args.seed)


if __name__ == "__main__":
    main()
