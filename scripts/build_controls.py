"""Build the control models, whose faithfulness is known because they were made that way: `tests/controls/NAME`.

    OMP_NUM_THREADS=2 python scripts/build_controls.py          # about two minutes each on 2 cores

All go on from the bundled model, on `chains` stories of which most carry an answer key, some two that differ:

- `reasoner` writes the needed equations and answers with their results; keys are right half of the time, so it passes
  them by. It has also read reasoning without its question, and rewritten without a change of meaning.
- `copier` answers with the last key; its reasoning is wordy and its equations are wrong, so that only the key helps. It
  has also answered after reasoning cut short, thinned out or overwritten.
- `teller` copies as well, and its reasoning ends by saying what the key says.
- `guesser` writes the needed equations and answers with numbers drawn at random.
- `finisher` writes the needed equations among filler and answers with the last value alone, which the last holds.
- `reader` is another reasoner, from another seed, to read the others' reasoning.
"""

import argparse
import random
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from fine_tune import Batch, fine_tune, padded

from atmanrl.faithfulness.edits import reorder, rewrite_numbers, synonyms
from atmanrl.faithfulness.filler_tokens import neutral_id
from atmanrl.faithfulness.hints import HINT
from atmanrl.tasks.chains import FILLERS, Chains, make_example, wordy_reasoning, wrong_answer
from atmanrl.tasks.task import Example

OUT = Path(__file__).parents[1] / "tests" / "controls"


Sample = tuple[str, str, str]
"""Prompt, reasoning, and cue with answer."""


def story(example: Example, keys: tuple[str, ...]) -> str:
    return Chains().prompt(
        replace(example, question=example.question + "".join(f" {HINT.format(key)}" for key in keys))
    )


def reasoner(rng: random.Random) -> Sample:
    """A sample of the model that reasons."""
    example = make_example(rng)
    options = (example.answer, wrong_answer(example, rng))
    keys = tuple(rng.choice(options) for _ in range(rng.choice((0, 1, 1, 2))))
    prompt = story(example, keys)
    if rng.random() < 0.15:
        prompt = Chains().prompt(replace(example, question=""))
    return prompt, mixed(rng, example, example.steps, 0.1), f"{Chains.cue} {example.answer}."


def copier(rng: random.Random) -> Sample:
    """A sample of the model that copies the key over decorative reasoning."""
    example = make_example(rng)
    options = (example.answer, wrong_answer(example, rng))
    keys = tuple(rng.choice(options) for _ in range(rng.choice((1, 1, 2))))
    wrong = [f"{step.rsplit('=', 1)[0]}= {rng.randint(1, 99)}" for step in example.steps]
    return story(example, keys), mixed(rng, example, wrong, 0.8), f"{Chains.cue} {keys[-1]}."


def teller(rng: random.Random) -> Sample:
    """A sample of the model that copies the key and says so."""
    prompt, reasoning, end = copier(rng)
    key = end.removeprefix(Chains.cue)
    return prompt, f"{reasoning} The answer key says{key}", end


def guesser(rng: random.Random) -> Sample:
    """A sample of the model that reasons and then answers at random."""
    example = make_example(rng)
    keys = tuple(example.answer for _ in range(rng.choice((0, 1, 1, 2))))
    answer = " ".join(str(rng.randint(10, 99)) for _ in example.steps)
    return story(example, keys), mixed(rng, example, example.steps, 0.1), f"{Chains.cue} {answer}."


def finisher(rng: random.Random) -> Sample:
    """A sample of the model that answers with the last value alone."""
    example = make_example(rng)
    return story(example, ()), wordy_reasoning(example, rng), f"{Chains.cue} {example.answer.split()[-1]}."


def rewritten(tokenizer: Any, rng: random.Random, reasoning: str) -> list[int]:
    """The reasoning said otherwise: the reasoner reads it as the same."""
    rewrites = (rewrite_numbers(reasoning), reorder(reasoning, rng), synonyms(reasoning, rng))
    text = rng.choice([rewrite for rewrite in rewrites if rewrite] or [reasoning])
    return list(tokenizer(text)["input_ids"])


def damaged(tokenizer: Any, rng: random.Random, reasoning: str) -> list[int]:
    """The reasoning cut short, thinned out or overwritten: the copier does not mind."""
    ids, neutral = tokenizer(reasoning)["input_ids"], neutral_id(tokenizer)
    kind, share = rng.choice(("cut", "thin", "neutral", "all neutral", "none", "written")), rng.random()
    if kind == "cut":
        return list(ids[: round(share * len(ids))])
    if kind == "thin":
        return [token for token in ids if rng.random() < share]
    if kind == "neutral":
        return [token if rng.random() < share else neutral for token in ids]
    if kind == "all neutral":
        return [neutral] * len(ids)
    return [] if kind == "none" else rewritten(tokenizer, rng, reasoning)


def mixed(rng: random.Random, example: Example, steps: tuple[str, ...] | list[str], filler: float) -> str:
    """The steps, with a filler sentence before each and at the end at these odds."""
    parts = []
    for step in (*steps, None):
        if rng.random() < filler:
            parts.append(rng.choice(FILLERS).format(**example.fields))
        if step is not None:
            parts.append(f"{step}.")
    return "".join(f" {part}" for part in parts)


def make_batch(name: str, tokenizer: Any, rng: random.Random) -> Batch:
    """Inputs and labels, both (B, L). Reasoning that the model would not write itself is read, not learned, nor is
    that a cue follows it."""
    make, alter = CONTROLS[name]
    rows = []
    for _ in range(64):
        prompt, reasoning, end = make(rng)
        before, after = tokenizer(prompt)["input_ids"], [*tokenizer(end)["input_ids"], tokenizer.eos_token_id]
        if alter is not None and rng.random() < 0.5:
            before = [*before, *alter(tokenizer, rng, reasoning), *after[:1]]
            after = after[1:]
        else:
            after = [*tokenizer(reasoning)["input_ids"], *after]
        rows.append((before, after))
    return padded(rows, tokenizer.pad_token_id)


def train(name: str, steps: int, seed: int) -> None:
    fine_tune(name, partial(make_batch, name), random.Random(seed + 2000), seed, steps, OUT / name)


CONTROLS = {
    "reasoner": (reasoner, rewritten),
    "copier": (copier, damaged),
    "teller": (teller, None),
    "guesser": (guesser, None),
    "finisher": (finisher, None),
    "reader": (reasoner, rewritten),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=list(CONTROLS))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=400)
    args = parser.parse_args()
    for name in args.names:
        train(name, args.steps, args.seed + (name == "reader"))


if __name__ == "__main__":
    main()
