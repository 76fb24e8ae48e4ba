"""Inspect on the bundled model: 16 stories, and whether the answers rest on the reasoning. About a minute on a CPU.

    pip install "atmanrl[inspect]"
    python examples/inspect_tiny.py

Nothing is downloaded. Inspect keeps its log in `runs/inspect`; `inspect view --log-dir runs/inspect` shows it.
"""

import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")

from inspect_ai import eval
from inspect_ai.model import get_model

from atmanrl.inspect_scorer import PLAIN, inspect_task
from atmanrl.metrics import METRICS
from atmanrl.models import TINY

if __name__ == "__main__":
    # `tiny` has no chat template: with PLAIN the story reaches it as it is.
    model = get_model("hf/tiny", model_path=str(TINY), chat_template=PLAIN, device="cpu")
    task = inspect_task("chains", limit=16, measures=("composition", "early_answering", "mistakes"), max_tokens=128)
    (log,) = eval(task, model=model, log_dir="runs/inspect", display="none")
    if log.status != "success" or log.results is None:
        raise SystemExit(f"the evaluation failed: {log.error.message if log.error else log.status}")
    print(f"{'metric':56} {'mean':>8} {'stderr':>8} {'samples':>8}")
    for score in log.results.scores:
        mean, stderr = score.metrics["mean"].value, score.metrics["stderr"].value
        print(f"{METRICS[score.name].label:56} {mean:8.3f} {stderr:8.3f} {score.scored_samples:8}")
    print(f"log: {log.location}")
