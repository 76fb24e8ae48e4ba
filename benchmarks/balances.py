"""What a wrong weight of saliency costs under each balance: the study `study-balance`.

    atmanrl study study-balance          # hours on 2 cores; goes on where it stopped
    python benchmarks/balances.py        # reads the finished cells in runs/study-balance

For each task and metric: its value under fixed weights as tuned on `chains`, and by how much each other arm, whose
weight of saliency is a fifth or four times that, or who has none, is better (negative: worse), with 95 % intervals over
questions, seeds averaged; the seeds' own differences in brackets. A balance that needs no tuning loses little at either
weight on every task. For the constraint also the multiplier that its training ended with, where the run's
`balance.jsonl` is there.
"""

import argparse
from pathlib import Path

import numpy as np

from atmanrl.callbacks import read_metrics
from atmanrl.metrics import METRICS
from atmanrl.report import format as fmt
from atmanrl.statistics import crossed_mean
from atmanrl.study_config import Cell, StudyConfig, load_study
from atmanrl.study_results import summarise_study, values_of

TUNED = "fixed"
SHOWN = (
    "mixed/accuracy",
    "wrong/key_flip",
    "mixed/filler_share",
    "faithful/mistake_forced",
    "faithful/sentence_change",
    "faithful/early_answering",
)


def gained(config: StudyConfig, task: str, arm: str, seeds: list[int], metric: str) -> str:
    """How much better than fixed weights as tuned: mean, interval over questions, and each seed's own."""
    name = metric.split("/")[1]
    sign = 1 if METRICS[name].better == "higher" else -1
    own, tuned = (values_of(config, task, one, seeds, metric) for one in (arm, TUNED))
    difference = sign * (own - tuned)  # (S, Q)
    mean = crossed_mean(np.nanmean(difference, axis=0, keepdims=True))
    by_seed = ", ".join(fmt.difference(name, float(each)) for each in np.nanmean(difference, axis=1))
    return f"{fmt.difference(name, mean.value)} {fmt.difference_interval(name, mean.ci95)} ({by_seed})"


def multipliers(config: StudyConfig, task: str, arm: str, seeds: list[int]) -> str:
    files = [Path(config.output_dir) / Cell(task, arm, seed).name / "balance.jsonl" for seed in seeds]
    return ", ".join(f"{read_metrics(file)[-1]['multiplier']:.2f}" for file in files if file.exists())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output-dir", default="runs/study-balance", help="where the study's finished cells are")
    args = parser.parse_args()
    config = load_study("study-balance", {"output_dir": args.output_dir})
    others = [arm for arm in config.arms if arm != TUNED]
    for task, found in summarise_study(config)["tasks"].items():
        seeds = found["seeds"]
        if not seeds:
            continue
        print(f"### `{task}`, seeds {', '.join(map(str, seeds))}\n")
        print(f"|  | {TUNED} | {' | '.join(others)} |\n|{' --- |' * (2 + len(others))}")
        for metric in SHOWN:
            name = metric.split("/")[1]
            tuned = fmt.figure(name, found["metrics"][metric][TUNED]["value"])
            cells = [gained(config, task, arm, seeds, metric) for arm in others]
            print(f"| {METRICS[name].label} | {tuned} | {' | '.join(cells)} |")
        ends = [multipliers(config, task, arm, seeds) for arm in others]
        print(f"| multiplier at the end |  | {' | '.join(ends)} |\n")


if __name__ == "__main__":
    main()
