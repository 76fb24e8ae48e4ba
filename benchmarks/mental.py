"""What a reward breeds where the head is enough: kinds of reasoning before and after GRPO on `chains-mental`.

    python benchmarks/mental.py ARM [--steps 60] [--seed 0]
    python benchmarks/mental.py table

Arms: base; outcome, correctness alone; mask, the reward as it was; paper; work; and outcome_long and work_long, trained
on the long stories alone, for which the head is not enough.

Each run writes benchmarks/results/mental/ARM-STEPS-SEED.json, and none is made twice. Measured on `dev` stories,
sampled at temperature 1 with seed 0: the share of each kind over 300 short stories, accuracy over these and over 300
long ones. And, on the worked solutions of 300 short stories, what no arm is trained on:

    operands   both operands of the last step exchanged for others, in place: its result loses over 0.5 nats in ...
    operator   the same with its operator exchanged
    goes on    the first result is changed and the model goes on by itself: the next step is worked out from the changed
               result in ...
"""

import argparse
import json
import random
import re
import time
from collections import Counter
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from transformers import PrinterCallback, set_seed

from atmanrl.forcing import Forcer, Request
from atmanrl.generation import generate
from atmanrl.mask import MaskConfig
from atmanrl.models import load_model
from atmanrl.rewards import RewardConfig
from atmanrl.tasks import ChainsMental
from atmanrl.tasks.chains_mental import kind_of
from atmanrl.train_config import grpo_of
from atmanrl.training import AtManGRPOTrainer, make_dataset

RESULTS = Path(__file__).parent / "results" / "mental"
ARMS: dict[str, dict[str, Any]] = {
    "outcome": {"saliency_weight": None},
    "mask": {"quantity": "mask"},
    "paper": {"quantity": "mask", "bypass_limit": None, "cut_after_told": False},
    "work": {},
    "outcome_long": {"saliency_weight": None},
    "work_long": {},
}
KINDS = ("worked", "made-up", "identity", "bare", "afterwards", "other")
STORIES = 300


def trained(arm: str, steps: int, seed: int, folder: Path) -> tuple[Any, Any]:
    """The bundled model after GRPO with an arm's reward on short and long stories."""
    set_seed(seed)
    model, tokenizer = load_model("tiny-mental", device="cpu")
    if arm == "base":
        return model, tokenizer
    task = ChainsMental(stories="long" if arm.endswith("_long") else "mixed")
    args = grpo_of(
        str(folder),
        {
            "max_steps": steps, "learning_rate": 1.25e-4, "lr_scheduler_type": "linear", "warmup_steps": 3,
            "per_device_train_batch_size": 48, "num_generations": 8, "max_completion_length": 80, "beta": 0.0,
            "gradient_checkpointing": False, "logging_steps": 20, "save_strategy": "no", "report_to": [],
            "disable_tqdm": True, "use_cpu": True, "bf16": False, "seed": seed,
        },
    )  # fmt: skip
    dataset = make_dataset(task, task.examples("train", 4000), tokenizer)
    mask, reward = MaskConfig(passes=8, max_tokens=4096), RewardConfig(**ARMS[arm])
    trainer = AtManGRPOTrainer(model, task, args, mask, reward, dataset, tokenizer)
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    return trainer.model.eval(), tokenizer


def measured(model: Any, tokenizer: Any) -> dict[str, Any]:
    """Kinds, accuracy, and use of what is written."""
    found: dict[str, Any] = {}
    for stories in ("short", "long"):
        task = ChainsMental(stories=stories)
        examples = task.examples("dev", STORIES)
        prompts = [tokenizer(task.prompt(e))["input_ids"] for e in examples]
        texts = [tokenizer.decode(ids) for ids in generate(model, tokenizer, prompts, 96, temperature=1.0)]
        parsed = [task.parse(text) for text in texts]
        right = [
            p is not None and task.check(t[p.answer_start : p.answer_end], e.answer)
            for e, t, p in zip(examples, texts, parsed, strict=True)
        ]
        found[f"right_{stories}"] = fmean(right)
        if stories == "short":
            kinds = [
                kind_of(e, t[: p.reasoning_end] if p else t) for e, t, p in zip(examples, texts, parsed, strict=True)
            ]
            found["kinds"] = {kind: Counter(kinds)[kind] / STORIES for kind in KINDS}
            found["right_by_kind"] = {
                kind: fmean(r for r, k in zip(right, kinds, strict=True) if k == kind)
                for kind in KINDS
                if kind in kinds
            }
            found["tokens"] = fmean(len(tokenizer(t)["input_ids"]) for t in texts)
    return {**found, **use_of_steps(model, tokenizer)}


def use_of_steps(model: Any, tokenizer: Any) -> dict[str, float]:
    """On worked solutions of short stories, by edits that no reward makes."""
    task, rng = ChainsMental(stories="short"), random.Random(9)
    examples = task.examples("dev", STORIES)
    prompts = [tokenizer(task.prompt(e))["input_ids"] for e in examples]
    forcer = Forcer(model, tokenizer, prompts)

    def ids(text: str) -> tuple[int, ...]:
        return tuple(tokenizer(text, add_special_tokens=False)["input_ids"])

    plain, operands, operators, changed, wanted = [], [], [], [], []
    for row, e in enumerate(examples):
        first, last = e.steps
        left, op, right, _, result = last.split()
        answer = ids(f" {result}")
        plain.append(Request(row, ids(f" {first}. {left} {op} {right} ="), answer))
        operands.append(Request(row, ids(f" {first}. {other(left, rng)} {op} {other(right, rng)} ="), answer))
        operators.append(Request(row, ids(f" {first}. {left} {'-' if op == '+' else '+'} {right} ="), answer))
        now = int(first.split()[-1])
        new = rng.choice([v for v in range(max(3, now - 8), now + 9) if v != now and v < 90])
        target = {"+": new + int(right), "-": new - int(right), "*": new * int(right)}[op]
        changed.append(Request(row, ids(f"{first.rpartition(' ')[0].join((' ', ' '))}{new}. {new} {op} {right} =")))
        wanted.append(target)
    before = [one.logprob * len(r.answer) for one, r in zip(forcer.force(plain), plain, strict=True)]
    shares = {}
    for name, edited in (("operands", operands), ("operator", operators)):
        after = [one.logprob * len(r.answer) for one, r in zip(forcer.force(edited), edited, strict=True)]
        drops = [a - b for a, b in zip(before, after, strict=True)]
        shares[f"{name}_drop"], shares[f"{name}_follow"] = fmean(drops), fmean(d > 0.5 for d in drops)
    written = [tokenizer.decode(one.ids[0]) for one in forcer.force(changed, max_new_tokens=6)]
    follows = [
        (match := re.match(r" (\d+)\.", text)) is not None and int(match.group(1)) == target
        for text, target in zip(written, wanted, strict=True)
        if 0 < target < 100
    ]
    return {**shares, "goes_on": fmean(follows)}


def other(number: str, rng: random.Random) -> str:
    """Another number with as many digits."""
    low = 10 ** (len(number) - 1) if len(number) > 1 else 1
    return str(rng.choice([n for n in range(low, 10 ** len(number)) if n != int(number)]))


def run(arm: str, steps: int, seed: int) -> None:
    file = RESULTS / f"{arm}-{0 if arm == 'base' else steps}-{seed}.json"
    if file.exists():
        return
    started = time.perf_counter()
    model, tokenizer = trained(arm, steps, seed, Path("runs") / "mental" / file.stem)
    seconds = time.perf_counter() - started
    RESULTS.mkdir(parents=True, exist_ok=True)
    row = {"arm": arm, "steps": steps, "seed": seed, "seconds": round(seconds), **measured(model, tokenizer)}
    file.write_text(json.dumps(row, indent=1) + "\n", encoding="utf-8")
    model.half().save_pretrained(Path("runs") / "mental" / file.stem / "model")
    print(json.dumps(row), flush=True)


def table() -> None:
    rows = [json.loads(file.read_text(encoding="utf-8")) for file in sorted(RESULTS.glob("*.json"))]
    columns = [*KINDS[:5], "right", "right, long", "operands", "operator", "goes on"]
    print(f"| arm, steps | seeds | {' | '.join(columns)} |\n|{'---|' * (len(columns) + 2)}")
    for arm, steps in dict.fromkeys((row["arm"], row["steps"]) for row in rows):
        own = [row for row in rows if (row["arm"], row["steps"]) == (arm, steps)]
        cells = [[row["kinds"][kind] for row in own] for kind in KINDS[:5]]
        names = ("right_short", "right_long", "operands_follow", "operator_follow", "goes_on")
        cells += [[row[name] for row in own] for name in names]
        shown = " | ".join(", ".join(f"{100 * value:.0f}" for value in cell) for cell in cells)
        print(f"| {arm}, {steps} | {', '.join(str(row['seed']) for row in own)} | {shown} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("arm", choices=["base", *ARMS, "table"])
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    if args.arm == "table":
        table()
    else:
        torch.set_num_threads(1)
        run(args.arm, args.steps, args.seed)


if __name__ == "__main__":
    main()
