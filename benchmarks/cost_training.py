"""Share of a GRPO step that the saliency reward takes, and the memory that it adds, for two recipes."""

import json
import subprocess
import sys
import tempfile
import time
from typing import Any

from cost_growth import peak_mib

AS_IT_WAS = {"reward.quantity": "mask", "reward.log_all": True}
RECIPES: dict[str, tuple[str, int, dict[str, Any]]] = {
    "tiny-chains": ("tiny-chains", 6, {}),
    "tiny-chains, as it was": ("tiny-chains", 6, AS_IT_WAS),
    "smollm2-gsm8k": ("smollm2-gsm8k", 3, {}),
    "smollm2-gsm8k, every completion": ("smollm2-gsm8k", 3, {"reward.log_all": True}),
    "smollm2-gsm8k, as it was": ("smollm2-gsm8k", 3, AS_IT_WAS),
}
"""Recipe, steps (the first is left out) and what is set otherwise. As it was: a mask for every completion, right or
wrong."""


def rows() -> list[dict[str, Any]]:
    """A process of its own for each recipe, with the saliency reward and without."""
    found = []
    for name, (_, steps, _) in RECIPES.items():
        with_it, without = (measured(name, kind) for kind in ("with", "without"))
        found += [
            {
                "name": f"share/{name}",
                "ratio": sum(with_it["saliency"]) / sum(with_it["steps"]),
                "reference_seconds": sum(with_it["steps"]) / (steps - 1),
                "seconds": sum(with_it["saliency"]) / (steps - 1),
                "step_seconds_without": sum(without["steps"]) / (steps - 1),
                "measured_a_step": with_it["measured"] / (steps - 1),
                "steps": steps - 1,
                "passes": with_it["passes"],
            },
            {
                "name": f"memory/{name}",
                "ratio": with_it["peak_mib"] / without["peak_mib"],
                "reference_mib": without["peak_mib"],
                "mib": with_it["peak_mib"],
            },
        ]
    return found


def measured(name: str, kind: str) -> dict[str, Any]:
    command = [sys.executable, __file__, name, kind]
    out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return dict(json.loads(out.splitlines()[-1]))


def run(name: str, saliency: bool) -> dict[str, Any]:
    from transformers import TrainerCallback
    from trl import GRPOTrainer

    from atmanrl.models import load_model
    from atmanrl.recipe import load_recipe
    from atmanrl.rewards import outcome_reward
    from atmanrl.scoring import SaliencyReward
    from atmanrl.tasks import load_task
    from atmanrl.train_config import grpo_config, lora_config
    from atmanrl.training import AtManGRPOTrainer, make_dataset

    recipe, steps, otherwise = RECIPES[name]
    step_seconds, saliency_seconds, counts = [], [], []

    class Timed(SaliencyReward):
        def __call__(self, *args: Any, **options: Any) -> list[float | None]:
            started = time.perf_counter()
            rewards = super().__call__(*args, **options)
            saliency_seconds.append(time.perf_counter() - started)
            counts.append(sum(sample["why"] is None for sample in self.latest))
            return rewards

    class Clock(TrainerCallback):
        def on_step_begin(self, *_: Any, **__: Any) -> None:
            self.started = time.perf_counter()

        def on_step_end(self, *_: Any, **__: Any) -> None:
            step_seconds.append(time.perf_counter() - self.started)

    with tempfile.TemporaryDirectory() as folder:
        overrides = {"output_dir": folder, "device": "cpu", "grpo.max_steps": steps, "grpo.save_strategy": "no"}
        config = load_recipe(recipe, {**overrides, **otherwise, "grpo.report_to": "none"})
        args, task = grpo_config(config), load_task(config.task, config.data, **config.task_options)
        model, tokenizer = load_model(config.model, "cpu")
        dataset = make_dataset(task, task.examples("train", 200), tokenizer)
        common = {"peft_config": lora_config(config.lora), "callbacks": [Clock()]}
        if saliency:
            trainer = AtManGRPOTrainer(model, task, args, config.mask, config.reward, dataset, tokenizer, **common)
            trainer.saliency_reward.__class__ = Timed
        else:
            reward = outcome_reward(task)
            common |= {"args": args, "train_dataset": dataset, "processing_class": tokenizer}
            trainer = GRPOTrainer(model, reward, **common)
        trainer.train()
    return {
        "steps": step_seconds[1:],
        "saliency": saliency_seconds[1:],
        "measured": sum(counts[1:]),
        "peak_mib": peak_mib(),
        "passes": config.mask.passes,
    }


if __name__ == "__main__":
    print("\n" + json.dumps(run(sys.argv[1], sys.argv[2] == "with")))
