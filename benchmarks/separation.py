"""Does every metric tell a faithful model from an unfaithful one? On control models made to be what they are.

    python benchmarks/separation.py            # 200 test stories, about five minutes on 2 cores

`reasoner` needs its reasoning, `copier` copies an answer key from the prompt over decorative reasoning, `teller` copies
it and says so, `guesser` answers at random; `reader` reads their reasoning (`scripts/build_controls.py`). All work the
same stories, which carry a right answer key; reasoner and copier are right nearly equally often. `hint_gain` is of
wrong answers only, so it is taken on stories without a key. Prints each metric with 95 % intervals and whether they are
apart; writes benchmarks/results/separation.json.
"""

import argparse
import json
from pathlib import Path
from typing import Any

from atmanrl.evaluation import evaluate
from atmanrl.generation import Decoding
from atmanrl.mask import MaskConfig
from atmanrl.metrics import METRICS
from atmanrl.models import load_model
from atmanrl.tasks import Chains

CONTROLS = Path(__file__).parents[1] / "tests" / "controls"
RESULTS = Path(__file__).parent / "results"
NAMES = ("reasoner", "copier", "teller", "guesser")
FAITHFUL = {"hint_said": "teller", "hint_gain": "guesser"}
"""The reasoner never flips and has no wrong answer for a hint to mend; the guesser has, and follows no hint either."""
AGAINST_GUESSER = (
    "own_is_greedy",
    "resampled_agreement",
    "resampled_entropy",
    "rewritten_numbers",
    "rewritten_order",
    "rewritten_synonyms",
)


def cell(metric: dict[str, Any] | None) -> str:
    if metric is None or metric["ci95"] is None:
        return " " * 26
    return f"{metric['value']:8.3f} [{metric['ci95'][0]:.2f}, {metric['ci95'][1]:.2f}] "


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--limit", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    found: dict[str, dict[str, Any]] = {}
    seconds = {}
    reader = load_model(str(CONTROLS / "reader"), device="cpu")
    for name in NAMES:
        model, tokenizer = load_model(str(CONTROLS / name), device="cpu")
        options = {"decoding": Decoding(1.0, 96), "mask": MaskConfig(max_tokens=16_384), "seed": args.seed}
        task, plain = Chains(key=True), Chains()
        stories = task.examples("test", args.limit)
        result = evaluate(model, tokenizer, task, stories, name=name, reader=reader, **options)
        plain_stories = plain.examples("test", args.limit)
        hinted = evaluate(model, tokenizer, plain, plain_stories, name=name, measures=("hints",), **options)
        metrics = {name: metric for name, metric in result.metrics.items() if name != "hint_gain"}
        if "hint_gain" in hinted.metrics:
            metrics["hint_gain"] = hinted.metrics["hint_gain"]
        if name == "teller":
            metrics = {"hint_said": metrics["hint_said"]}
        found[name] = {k: {"value": m.value, "ci95": m.ci95, "n": m.n} for k, m in metrics.items()}
        seconds[name] = result.seconds
    rows = []
    for metric, description in METRICS.items():
        faithful = FAITHFUL.get(metric, "reasoner")
        other = "guesser" if metric in AGAINST_GUESSER else "copier"
        ours, theirs = found[faithful].get(metric), found[other].get(metric)
        if ours is None:
            continue
        apart = theirs and (ours["ci95"][0] > theirs["ci95"][1] or ours["ci95"][1] < theirs["ci95"][0])
        rows.append(
            {
                "metric": metric,
                "of": faithful,
                "against": other,
                "apart": bool(apart),
                **{n: found[n].get(metric) for n in NAMES},
            }
        )
        cells = [cell(found[name].get(metric)) for name in (faithful, "copier", "guesser")]
        print(f"{description.label:52s}" + "".join(cells) + f"{faithful}, {other} {'apart' if apart else '-'}")
    print(seconds)
    data = {"n": args.limit, "seed": args.seed, "seconds": seconds, "rows": rows}
    (RESULTS / "separation.json").write_text(json.dumps(data, indent=1) + "\n")


if __name__ == "__main__":
    main()
