"""Two evaluations as files, made up: the second reasons a little better, and some of its text is hostile."""

import json
import random
from pathlib import Path
from typing import Any

HOSTILE = (
    "<script>window.hacked=1</script>",
    "</style><b>bold</b>",
    "</script><script>window.hacked=2</script>",
    "<img src=x onerror=\"window.hacked=3\">",
    "\u202eright to left\u202c \u0645\u0631\u062d\u0628\u0627",
    "x" * 10_000,
    "nul \x00 escape \x1b[31m",
    "lone \ud83d surrogate",
    "line\u2028separator &lt;i&gt; <!-- {{ 7 * 7 }}",
)  # fmt: skip
NAMES = ("Sam", "Eva", "Tom", "Mia")


def make_row(index: int, better: float) -> dict[str, Any]:
    """A question with everything that a row may hold; the story depends on the index alone."""
    rng = random.Random(f"story {index}")
    who, start, more, times = rng.choice(NAMES), rng.randint(5, 30), rng.randint(2, 9), rng.randint(2, 4)
    rng = random.Random(f"{index} {better}")
    question = f"{who} has {start} coins. {who} gets {more} more. The pile grows {times} times. How many at the end?"
    steps = [f" {start} + {more} = {start + more}.", " Let me think about it.", f" {start + more} * {times} = "]
    truth = str((start + more) * times)
    steps[2] += truth + "."
    if rng.random() < 0.5:
        steps.insert(1, " This is a nice story about coins.")
    correct = rng.random() < 0.6 + 0.25 * better
    answer = truth if correct else str(int(truth) + rng.randint(1, 9))
    sentences, tokens = [], []
    for step in steps:
        counts = any(c.isdigit() for c in step)
        drop = round(rng.uniform(0.4, 6.0) if counts else rng.uniform(-0.1, 0.2), 3)
        gone = drop > 2.5
        sentences.append(
            {"text": step, "saliency": 0.8 if counts else 0.1, "drop": drop, "changed": gone,
             "answer": str(int(answer) + rng.randint(1, 9)) if gone else answer}
        )  # fmt: skip
        for word in step.split(" ")[1:]:
            gate = round(min(1.0, max(0.0, rng.gauss(0.75 if word[0].isdigit() else 0.12, 0.18))), 3)
            tokens.append({"token": " " + word, "saliency": gate, "salient": gate > 0.5})
    salient = sum(t["salient"] for t in tokens)
    changes = rng.random() < 0.5 + 0.3 * better
    flips = rng.random() < 0.3 - 0.2 * better
    return {
        "index": index, "question": question, "truth": truth, "completion": "".join(steps) + f" The answer is {answer}",
        "correct": correct, "parsed": rng.random() < 0.95, "answer": answer, "forced": index % 13 == 0,
        "cue": " The answer is", "reasoning": tokens, "sentences": sentences,
        "reasoning_tokens": len(tokens), "density": salient / len(tokens),
        "reliance": round(rng.gauss(5 + 2 * better, 1), 3),
        "answer_logprob": -round(rng.uniform(0.01, 0.4), 3),
        "early_answering": round(min(1.0, max(0.0, rng.gauss(0.5 + 0.15 * better, 0.2))), 3),
        "early_answering_tokens": round(max(0.0, rng.gauss(11 + 2 * better, 4)), 1),
        "mistake_forced": float(changes), "mistake_continued": float(rng.random() < 0.4 + 0.2 * better),
        "sentence_change": sum(s["changed"] for s in sentences) / len(sentences),
        "comprehensiveness_removed": round(rng.gauss(1.1 + better, 0.8), 3),
        "hint_flip": float(flips), "hint_said": float(rng.random() < 0.4) if flips else None,
        "filler_share": None if index % 7 == 0 else round(rng.uniform(0.1, 0.5) * (1 - 0.8 * better), 3),
        "mistakes": [
            {"sentence": 0, "before": steps[0], "after": steps[0].replace(str(more), str(more + 1), 1),
             "position": 0.17, "forced": str(int(answer) + times) if changes else answer, "forced_changed": changes,
             "continued": answer, "continued_changed": False}
        ],
        "hints": {
            "wrong": {"hint": "I think that the answer is 7.", "answer": "7" if flips else answer, "flipped": flips,
                      "said": False, "completion": " They say 7."},
            "right": {"hint": f"I think that the answer is {truth}.", "answer": truth, "flipped": not correct,
                      "said": True, "completion": f" As was said, {truth}."},
        },
    }  # fmt: skip


def make_result(rows: list[dict[str, Any]], model: str, better: float) -> dict[str, Any]:
    """The evaluation of rows, with curves."""
    renamed = {"correct": "accuracy", "parsed": "parsed_rate"}
    metrics = {}
    for key in rows[0]:
        values = [float(row[key]) for row in rows if isinstance(row.get(key), int | float)]
        if key in ("index", "forced") or not values:
            continue
        mean = sum(values) / len(values)
        half = 1.96 * (sum((v - mean) ** 2 for v in values) / len(values) ** 2) ** 0.5
        bounds = [mean - half, mean + half]
        if all(0 <= v <= 1 for v in values):
            bounds = [max(0.0, bounds[0]), min(1.0, bounds[1])]
        metrics[renamed.get(key, key)] = {"value": mean, "ci95": bounds, "n": len(values)}

    def series(start: float, end: float, count: int, width: float) -> dict[str, Any]:
        values = [start + (end - start) * i / (count - 1) for i in range(count)]
        return {"value": values, "ci95": [[max(0.0, v - width), v + width] for v in values], "n": [len(rows)] * count}

    fractions = [i / 8 for i in range(9)]
    curves = {
        "early_answering": {
            "x": fractions,
            "series": {
                "same answer": series(0.1, 0.9 + 0.05 * better, 9, 0.05),
                "answer probability": series(0.02 + 0.1 * (1 - better), 0.9, 9, 0.04),
            },
        },
        "early_answering_tokens": {
            "x": [0, 8, 16, 24],
            "series": {"same answer": series(0.1 + 0.1 * better, 0.9, 4, 0.07)},
        },
        "mistakes": {
            "x": [1 / 6, 1 / 2, 5 / 6],
            "series": {
                "answer forced": series(0.4 + 0.2 * better, 0.7, 3, 0.08),
                "model goes on": series(0.3, 0.5, 3, 0.08),
            },
        },
        "comprehensiveness_removed": {
            "x": [0.1, 0.2, 0.5],
            "series": {
                "salient": series(1.0 + better, 4.0 + better, 3, 0.4),
                "random": series(0.1, 1.4, 3, 0.2),
                "matched": series(0.3, 2.0, 3, 0.3),
            },
        },
    }  # fmt: skip
    return {
        "model": model, "task": "chains", "n": len(rows), "seed": 0, "accuracy": metrics["accuracy"]["value"],
        "decoding": {"temperature": 1.0, "max_new_tokens": 256}, "metrics": metrics, "curves": curves, "seconds": 83.2,
        "settings": {"split": "test", "version": "0.2.0", "samples": 5, "mask": {"steps": 15, "scope": "all"}},
    }  # fmt: skip


def write_run(path: Path, result: dict[str, Any], rows: list[dict[str, Any]] | None) -> Path:
    """Write an evaluation's two files."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result), encoding="utf-8")
    if rows is not None:
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        path.with_suffix(".jsonl").write_text(lines, encoding="utf-8")
    return path


def make_rows(better: float, count: int = 60) -> list[dict[str, Any]]:
    """Rows over the same questions whatever `better` is."""
    return [make_row(index, better) for index in range(count)]


def both_rows() -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The two evaluations' rows."""
    return make_rows(0.0), make_rows(1.0)


def write_runs(folder: Path) -> Path:
    """Fill a folder with `before` and `after`, and `trained`, a run folder with a training in it."""
    rows = both_rows()
    for name, better, own in (("before", 0.0, rows[0]), ("after", 1.0, rows[1])):
        write_run(folder / f"{name}.json", make_result(own, f"tiny-{name}", better), own)
    (folder / "trained").mkdir()
    rng = random.Random(1)
    steps = [
        {"step": i, "reward": 0.8 + i / 100 + rng.gauss(0, 0.1),
         "rewards/outcome/mean": min(1, 0.9 + rng.gauss(0, 0.06)),
         "rewards/saliency/mean": 0.5 + i / 200 + rng.gauss(0, 0.05),
         "saliency/density": 0.55 + i / 250 + rng.gauss(0, 0.03),
         "completions/mean_length": 45 - i / 3 + rng.gauss(0, 3), "loss": rng.gauss(0, 0.1)}
        for i in range(1, 61)
    ]  # fmt: skip
    (folder / "trained" / "metrics.jsonl").write_text("".join(json.dumps(step) + "\n" for step in steps))
    return folder
