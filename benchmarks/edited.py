"""What the reward says of worked solutions edited by rule: an idle sentence, a missing step, padding.

    python benchmarks/edited.py chains|hinted|uneven|decoy|gsm8k [--split dev] [--count 40]

Each edit: mean reward, and in how many questions it is over the worked solution's, and under it. Writes
benchmarks/results/edited-TASK.json, from which it goes on.
"""

import argparse
import random

from scored_texts import RESULTS, SOURCES, score_by_name

from atmanrl.gaming import PADDING
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
    parser.add_argument("--split", default="dev")
    parser.add_argument("--count", type=int, default=40)
    args = parser.parse_args()
    source, task = SOURCES[args.task]
    rng, examples = random.Random(0), task.examples(args.split, args.count)
    made = [
        {name: f"{text}{task.cue}{task.answer_text(e)}" for name, text in edited(e.reasoning or "", rng).items()}
        for e in examples
    ]
    rewards = score_by_name(source, task, examples, made, RESULTS / f"edited-{args.task}.json")
    print(f"{sum((one or 0) > 0 for one in rewards['worked'])} of {len(examples)} worked solutions over 0")


if __name__ == "__main__":
    main()
