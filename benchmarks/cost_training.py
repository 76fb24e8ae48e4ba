"""Share of a GRPO step that the saliency reward takes, and the memory that it adds, for two recipes."""

import json
import subprocess
import sys
import tempfile
import time
from typing import Any

from cost_growth import peak_mib

RECIPES = {"tiny-chains": 6, "smollm2-gsm8k": 3}
"""Steps of each; the first is left out."""


def rows() -> list[dict[str, Any]]:
    """A process of its own for each recipe, with the saliency reward and without."""
    found = []
    for recipe, steps in RECIPES.items():
        with_it, without = (measured(recipe, steps, kind) for kind in ("with", "without"))
        found += [
            {
                "name": f"share/{recipe}",
                "ratio": sum(with_it["saliency"]) / sum(with_it["steps"]),
                "reference_seconds": sum(with_it["steps"]) / (steps - 1),
                "seconds": sum(with_it["saliency"]) / (steps - 1),
                "step_seconds_without": sum(without["steps"]) / (steps - 1),
                "masks_a_step": with_it["masks"] / (steps - 1),
                "steps": steps - 1,
                "passes": with_it["passes"],
            },
            {
                "name": f"memory/{recipe}",
                "ratio": with_it["peak_mib"] / without["peak_mib"],
                "reference_mib": without["peak_mib"],
                "mib": with_it["peak_mib"],
            },
        ]
    return found


def measured(recipe: str, steps: int, kind: str) -> dict[str, Any]:
    command = [sys.executable, __file__, recipe, str(steps), kind]
    out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return dict(json.loads(out.splitlines()[-1]))


def run(recipe: str, steps: int, saliency: bool) -> dict[str, Any]:
    from transformers import TrainerCallback
    from trl import GRPOTrainer

    from atmanrl.models import load_model
    from atmanrl.recipe import load_recipe
    from atmanrl.rewards import outcome_reward
    from atmanrl.scoring import SaliencyReward
    from atmanrl.tasks import load_task
    from atmanrl.train_config import grpo_config, lora_config
    from atmanrl.training import AtManGRPOTrainer, make_dataset

    step_seconds, saliency_seconds, masks = [], [], []

    class Timed(SaliencyReward):
        def __call__(self, *args: Any, **options: Any) -> list[float]:
            started = time.perf_counter()
            rewards = super().__call__(*args, **options)
            saliency_seconds.append(time.perf_counter() - started)
            masks.append(sum(sample["reliance"] is not None for sample in self.latest))
            return rewards

    class Clock(TrainerCallback):
        def on_step_begin(self, *_: Any, **__: Any) -> None:
            self.started = time.perf_counter()

        def on_step_end(self, *_: Any, **__: Any) -> None:
            step_seconds.append(time.perf_counter() - self.started)

    with tempfile.TemporaryDirectory() as folder:
        overrides = {"output_dir": folder, "device": "cpu", "grpo.max_steps": steps, "grpo.save_strategy": "no"}
        config = load_recipe(recipe, {**overrides, "grpo.report_to": "none"})
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
        "masks": sum(masks[1:]),
        "peak_mib": peak_mib(),
        "passes": config.mask.passes,
    }


if __name__ == "__main__":
    print("\n" + json.dumps(run(sys.argv[1], int(sys.argv[2]), sys.argv[3] == "with")))
