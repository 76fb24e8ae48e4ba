"""How far a gate may move between two passes: what follows 200 passes best, on dev rows that nothing else used.

    python benchmarks/cost_reach.py --json benchmarks/results/cost-reach.json    # 12 minutes on 2 cores, scope `all`

The 200 passes have rounded factors, as the others. The table: docs/performance.md.
"""

import argparse
import json
from dataclasses import replace
from pathlib import Path

from cost import worked_solutions
from cost_ideas import compared, replaced
from plain import STEPS

from atmanrl import descent
from atmanrl.mask import MaskConfig, learn_mask
from atmanrl.models import load_model

FIRST, COUNT = 6, 16
SETTINGS = (
    (14, 0.2, 0.03),
    (14, 0.3, 0.03),
    (14, 0.3, 0.06),
    (14, 0.4, 0.03),
    (14, 0.4, 0.06),
    (8, 0.2, 0.03),
    (8, 0.3, 0.03),
    (8, 0.3, 0.06),
    (19, 0.3, 0.03),
    (19, 0.3, 0.06),
)
"""Passes, `REACH` and `LEAST_REACH`."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, required=True)
    args = parser.parse_args()
    model, tokenizer = load_model("smollm2", device="cpu")
    traces = worked_solutions(tokenizer, "dev", FIRST + COUNT)[FIRST:]
    gates = [s.gates for s in learn_mask(model, traces, MaskConfig(passes=STEPS))]
    rows = []
    for passes, reach, least in SETTINGS:
        with replaced(descent, "REACH", reach), replaced(descent, "LEAST_REACH", least):
            learned = learn_mask(model, traces, replace(MaskConfig(), passes=passes))
        rows.append({"passes": passes, "reach": reach, "least_reach": least, **compared(learned, gates)})
        print(rows[-1], flush=True)
    args.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
