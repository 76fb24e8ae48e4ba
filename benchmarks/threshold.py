"""Choose the gate over which a token is salient, on completions of the untrained bundled model.

    python benchmarks/threshold.py       # 48 dev stories, 8 samples each, a minute

For each threshold: share of equation and of filler tokens over it, and the correlation, within a story, of density with
the filler share, which is what the reward needs. Writes benchmarks/results/threshold.json.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

from atmanrl.generation import generate
from atmanrl.mask import MaskConfig, learn_mask
from atmanrl.models import load_model
from atmanrl.saliency import tokens_by_span
from atmanrl.tasks import Chains
from atmanrl.trace import Trace, completion_text, prompt_ids

THRESHOLDS = (0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9)


def samples(model: Any, tokenizer: Any, stories: int, each: int, seed: int) -> tuple[list[Trace], list[Any], Any]:
    """Correct completions as traces, which of their tokens are needed, and the story that each belongs to."""
    task = Chains()
    examples = [e for e in task.examples("dev", stories) for _ in range(each)]
    prompts = [prompt_ids(tokenizer, task.prompt(e)) for e in examples]
    traces, needed, story = [], [], []
    for i, ids in enumerate(generate(model, tokenizer, prompts, 96, 1.0, seed)):
        text = completion_text(tokenizer, ids)
        parts = task.parse(text)
        if parts is None or not task.check(text[parts.answer_start : parts.answer_end], examples[i].answer):
            continue
        span = (parts.reasoning_end, parts.answer_start, parts.answer_end)
        trace = Trace.from_ids(tokenizer, prompts[i], ids, span)
        filler = tokens_by_span(trace.reasoning_tokens, task.filler_spans(examples[i], trace.text(trace.reasoning)))
        inside = {j for members in filler for j in members}
        traces.append(trace)
        needed.append(np.array([j not in inside for j in range(len(trace.reasoning))]))
        story.append(i // each)
    return traces, needed, np.array(story)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    model, tokenizer = load_model("tiny", device="cpu")
    traces, needed, story = samples(model, tokenizer, 48, 8, args.seed)
    gates = [np.array(s.gates) for s in learn_mask(model, traces, MaskConfig(max_tokens=16384))]

    def within(values: list[float]) -> Any:
        data = np.array(values)
        return data - np.array([data[story == k].mean() for k in story])

    filler = within([1 - n.mean() for n in needed])
    rows = []
    for threshold in THRESHOLDS:
        density = [float((g > threshold).mean()) for g in gates]
        over, equation = np.concatenate(gates) > threshold, np.concatenate(needed)
        row = {
            "threshold": threshold,
            "equation_tokens": float(over[equation].mean()),
            "filler_tokens": float(over[~equation].mean()),
            "density": float(np.mean(density)),
            "correlation": float(np.corrcoef(within(density), filler)[0, 1]),
        }
        rows.append(row)
        print("  ".join(f"{k} {v:.2f}" for k, v in row.items()), flush=True)
    out = Path(__file__).parent / "results" / "threshold.json"
    out.write_text(json.dumps({"seed": args.seed, "traces": len(traces), "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
