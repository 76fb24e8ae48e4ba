"""Bypass folded into the mask: gates over the question's tokens too, beside those over the reasoning.

    python benchmarks/folding.py      # dev rows; two minutes on 2 cores

One mask in scope `answer` whose gates over the question are as dear as those over the reasoning, or dearer: an answer
that has both keeps what is cheaper. A sentence's score is its largest gate, a question's that of its highest sentence.
AUROC of copied answers over worked ones, beside that of bypass: what `tiny-hinted` writes on stories with a wrong key,
worked and decorative reasoning put before the right answer of stories with a right key, and SmolLM2 on GSM8K questions
with a right key after their own or another question's solution. Writes benchmarks/results/folding.json.
"""

import json
import random
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from bypass import apart, keyed_traces, sampled_cases

from atmanrl.batch import TraceBatch, micro_batches, prompt_columns
from atmanrl.bypass import measure_bypass
from atmanrl.descent import descend, mask_of
from atmanrl.logprobs import AnswerScorer
from atmanrl.mask import MaskConfig, start_theta
from atmanrl.model_state import frozen, matmul_precision
from atmanrl.models import load_model
from atmanrl.tasks import ChainsHinted
from atmanrl.tasks.chains import wordy_reasoning
from atmanrl.tasks.chains_hinted import decorative_reasoning
from atmanrl.trace import Trace

DEARER = (1, 3, 10)
"""How many times the sparsity of the reasoning's gates that of the question's is."""
STORIES, QUESTIONS = 250, 40


def folded(model: Any, traces: Sequence[Trace], spans: Sequence[Sequence[range]], dearer: float) -> list[float]:
    """The largest gate over each question."""
    config = MaskConfig(scope="answer")
    scores = [0.0] * len(traces)
    with frozen(model), matmul_precision(config.matmuls):
        for members in micro_batches([len(t) for t in traces], 8192):
            chosen = [traces[i] for i in members]
            batch = TraceBatch.of(chosen, torch.device("cpu"))
            asked = prompt_columns(chosen, [spans[i] for i in members]).any(dim=0)  # (B, L)
            both = replace(batch, reasoning=batch.reasoning | asked)
            sparsity: Any = torch.where(asked, dearer, 1.0) * config.sparsity  # (B, L)
            theta = torch.full(batch.ids.shape, start_theta(config))
            rest = (config.learning_rate, config.steps, config.passes)
            theta = descend(AnswerScorer(model, both, "answer"), theta, both.reasoning, "gate", sparsity, *rest)
            gates = torch.where(asked, mask_of(theta, both.reasoning, "gate").exp(), 0.0).amax(dim=1)  # (B,)
            for i, gate in zip(members, gates.tolist(), strict=True):
                scores[i] = gate
    return scores


def compared(model: Any, worked: Sequence[Trace], copied: Sequence[Trace], asked: Sequence[Sequence[str]]) -> Any:
    """AUROC by way; `asked` are the questions of the worked and of the copied."""
    sides, count = (worked, copied), len(worked) + len(copied)
    started = time.perf_counter()
    read = [measure_bypass(model, traces, own) for traces, own in zip(sides, asked, strict=True)]
    seconds = (time.perf_counter() - started) / count
    found = {"bypass": _figures(*([b.value for b in side] for side in read), seconds)}
    for dearer in DEARER:
        started = time.perf_counter()
        gates = [
            folded(model, traces, [b.tokens for b in side], dearer) for traces, side in zip(sides, read, strict=True)
        ]
        seconds = (time.perf_counter() - started) / count
        found[f"gates, {dearer} times as dear"] = _figures(*gates, seconds)
    return {"worked": len(worked), "copied": len(copied), **found}


def _figures(low: Sequence[float], high: Sequence[float], seconds: float) -> dict[str, float]:
    auroc = apart(np.array(low), np.array(high))
    return {
        "auroc": auroc,
        "worked_median": float(np.median(low)),
        "copied_median": float(np.median(high)),
        "seconds": seconds,
    }


def main() -> None:
    result: dict[str, Any] = {"split": "dev"}
    model, tokenizer = load_model("tiny-hinted", device="cpu")
    right, copied = sampled_cases(model, tokenizer, ChainsHinted(keys="wrong"), "dev", STORIES)
    asked = [[case.example.question for case in cases] for cases in (right, copied)]
    result["tiny-hinted, wrong key"] = compared(model, [c.trace for c in right], [c.trace for c in copied], asked)
    task, rng, sides = ChainsHinted(keys="right"), random.Random(0), ([], [])
    examples = task.examples("dev", STORIES // 2)
    for example in examples:
        worked = wordy_reasoning(example, rng)
        for side, reasoning in zip(sides, (worked, decorative_reasoning(example, rng)), strict=True):
            text = (task.prompt(example), reasoning, task.cue, task.answer_text(example))
            side.append(Trace.from_text(tokenizer, *text))
    asked = [[e.question for e in examples]] * 2
    result["tiny-hinted, right key"] = compared(model, *sides, asked)
    model, tokenizer = load_model("smollm2", device="cpu")
    own, others, questions = keyed_traces(tokenizer, "dev", QUESTIONS)
    result["smollm2, GSM8K, right key"] = compared(model, own, others, [questions] * 2)
    print(json.dumps(result, indent=1))
    (Path(__file__).parent / "results" / "folding.json").write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
