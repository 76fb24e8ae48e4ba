"""Which balance of correctness and saliency needs no tuning: the study `study-balance`, by balance.

    atmanrl study study-balance          # hours on 2 cores; goes on where it stopped
    python benchmarks/balances.py        # reads runs/study-balance/study.json

For each task and balance every metric at a fifth, at one and at four times the weight that was tuned on `chains`, and
its regret: how far the worst of the three weights is behind the best arm of that task. A balance that needs no tuning
has small regrets on every task. Writes benchmarks/results/balances.json.
"""

import argparse
import json
from pathlib import Path
from typing import Any

from atmanrl.metrics import METRICS

RESULTS = Path(__file__).parent / "results"
BALANCES = ("fixed", "gdpo", "constraint")
WEIGHTS = {"low": "-low", "tuned": "", "high": "-high"}
SHOWN = (
    "mixed/accuracy",
    "wrong/key_flip",
    "mixed/filler_share",
    "faithful/mistake_forced",
    "faithful/sentence_change",
    "faithful/early_answering",
)


def by_balance(study: dict[str, Any]) -> dict[str, Any]:
    """By task, metric and balance the value at each weight, and the regret."""
    found: dict[str, Any] = {}
    for task, results in study["tasks"].items():
        for metric in SHOWN if results["seeds"] else ():
            values = {arm: cell["value"] for arm, cell in results["metrics"][metric].items()}
            sign = 1 if METRICS[metric.split("/")[1]].better == "higher" else -1
            best = max(sign * value for value in values.values())
            found.setdefault(task, {})[metric] = {
                balance: {
                    **{weight: values[balance + end] for weight, end in WEIGHTS.items()},
                    "regret": best - min(sign * values[balance + end] for end in WEIGHTS.values()),
                }
                for balance in BALANCES
            }
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--study", type=Path, default=Path("runs/study-balance/study.json"))
    args = parser.parse_args()
    study = json.loads(args.study.read_text(encoding="utf-8"))
    result = {"seeds": {task: found["seeds"] for task, found in study["tasks"].items()}, "tasks": by_balance(study)}
    for task, metrics in result["tasks"].items():
        print(f"{task}: at a fifth, one and four times the weight; regret")
        for metric, balances in metrics.items():
            for balance, row in balances.items():
                figures = "  ".join(f"{row[name]:.3f}" for name in (*WEIGHTS, "regret"))
                print(f"  {metric:28s} {balance:11s} {figures}")
    (RESULTS / "balances.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
