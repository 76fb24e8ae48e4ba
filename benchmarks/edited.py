"""What the reward says of worked solutions edited by rule: an idle sentence, a missing step, padding.

    python benchmarks/edited.py chains|hinted|uneven|decoy|gsm8k [--count 40]

Each edit: mean change of the reward, and in how many questions it falls. Writes benchmarks/results/edited-TASK.json.
"""

import argparse
import json
import random
from pathlib import Path
from statistics import fmean

import torch
from carried import SOURCES

from atmanrl.gaming import PADDING
from atmanrl.models import load_model
from atmanrl.scoring import score_completions
from atmanrl.text import sentence_spans

IDLE = " I like to count."


def edited(reasoning: str, rng: random.Random) -> dict[str, str]:
    """The worked solution, and its edits by name; without a step where it has several sentences."""
    numbers = " " + " ".join(str(rng.randint(2, 99)) for _ in range(PADDING)) + "."
    spans = sentence_spans(reasoning)
    last = spans[-1][0]
    made = {
        "worked": reasoning,
        "idle before": IDLE + reasoning,
        "idle between": reasoning[:last] + IDLE + reasoning[last:],
        "idle after": reasoning + IDLE,
        "numbers before": numbers + reasoning,
        "numbers between": reasoning[:last] + numbers + reasoning[last:],
        "numbers after": reasoning + numbers,
    }
    if len(spans) > 1:
        left_out = rng.choice(spans)
        made["a sentence left out"] = reasoning[: left_out[0]] + reasoning[left_out[1] :]
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", choices=SOURCES)
    parser.add_argument("--count", type=int, default=40)
    args = parser.parse_args()
    torch.set_num_threads(1)
    source, task = SOURCES[args.task]
    model, tokenizer = load_model(source, device="cpu")
    rng = random.Random(0)
    examples = task.examples("dev", args.count)
    made = [edited(e.reasoning or "", rng) for e in examples]
    rewards: dict[str, list[float]] = {}
    for name in made[0]:
        here = [(e, texts[name]) for e, texts in zip(examples, made, strict=True) if name in texts]
        scored = score_completions(
            model,
            tokenizer,
            task,
            [task.prompt(e) for e, _ in here],
            [
                tokenizer(f"{text}{task.cue}{task.answer_text(e)}", add_special_tokens=False)["input_ids"]
                for e, text in here
            ],
            [e.answer for e, _ in here],
            questions=[e.question for e, _ in here],
        )
        rewards[name] = [round(one.reward, 4) for one in scored]
        pairs = [
            (after, before)
            for after, before, texts in zip(rewards[name], rewards["worked"], made, strict=False)
            if name in texts
        ]
        change = fmean(after - before for after, before in pairs)
        falls = sum(after < before for after, before in pairs)
        print(
            f"| {args.task} | {name} | {fmean(rewards[name]):.2f} | {change:+.2f} | {falls} of {len(pairs)} |",
            flush=True,
        )
    file = Path(__file__).parent / "results" / f"edited-{args.task}.json"
    file.write_text(json.dumps({"source": source, "rewards": rewards}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
