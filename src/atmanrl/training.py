"""AtManGRPOTrainer: GRPO on correctness and saliency together; and the run of a recipe."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from datasets import Dataset
from transformers import PrinterCallback, TrainerCallback
from trl import GRPOConfig, GRPOTrainer, SFTConfig

from .balance import AccuracyConstraint
from .callbacks import MetricsFile, ProgressBar, Samples, StopAtSave, stop_on_interrupt
from .checkpoints import RECIPE_FILE, CheckpointError, has_run, is_finished, last_checkpoint, steps_per_generation_batch
from .files import write_text
from .gamed import GamingWatch
from .generation import sampling_error
from .mask import MaskConfig
from .models import load_model
from .rewards import RewardConfig, length_reward
from .scoring import SaliencyReward, require_questions
from .screening import solved_sometimes
from .tasks import Example, Task, load_task
from .trace import trl_prompt
from .train_config import TrainConfig, grpo_config, grpo_of, lora_config, plain_data, sft_config
from .warm_up import warm_up_trainer

MAY_DIFFER = ("output_dir", "data", "device")
"""What a run may be resumed with another of: where it lies, where its rows are, what it computes on."""


class AtManGRPOTrainer(GRPOTrainer):  # type: ignore[misc]
    """`trl.GRPOTrainer` with the outcome reward and a saliency reward bound to the live policy.

    Args:
        model: a model, or a name for `load_model`.
        task: a task, or a name for `load_task`.
        args: TRL's config; its `reward_weights` are set from `reward`.
        mask: how masks are learned.
        reward: weights, margin and limit.
        train_dataset: columns `prompt` and `answer`; by default the task's training split.
        processing_class: the tokenizer; comes with the model where that is a name.
        further_rewards: TRL reward functions of your own, each with its weight.
        further arguments: as `GRPOTrainer`'s.

    With `args` of your own, state `scale_rewards`: docs/method.md says what it does to the saliency.

    Raises:
        ValueError: a model without its tokenizer.
    """

    def __init__(
        self,
        model: Any,
        task: Task | str,
        args: GRPOConfig | None = None,
        mask: MaskConfig | None = None,
        reward: RewardConfig | None = None,
        train_dataset: Dataset | None = None,
        processing_class: Any = None,
        further_rewards: Sequence[tuple[Any, float]] = (),
        **further: Any,
    ) -> None:
        if isinstance(model, str):
            model, loaded = load_model(model)
            processing_class = processing_class or loaded
        task = load_task(task) if isinstance(task, str) else task
        reward = reward or RewardConfig()
        if processing_class is None:
            raise ValueError("give processing_class, the tokenizer that came with the model: prompts are made with it")
        args = args or grpo_of("runs/atmanrl", {})
        self.saliency_reward = SaliencyReward(task, mask, reward)
        rewards: list[tuple[Any, float]] = [(self.saliency_reward.outcome, reward.outcome_weight)]
        if reward.saliency_weight is not None:
            rewards.append((self.saliency_reward, reward.saliency_weight))
        rewards += [*further_rewards]
        if reward.length_weight > 0 and reward.length_target is not None:
            rewards.append((length_reward(reward.length_target), reward.length_weight))
        args.reward_weights = [weight for _, weight in rewards]
        if reward.balance == "gdpo":
            args.multi_objective_aggregation = "normalize_then_sum"
        self.saliency_reward.bind(self)
        super().__init__(
            model=model,
            reward_funcs=[function for function, _ in rewards],
            args=args,
            train_dataset=train_dataset or make_dataset(task, task.examples("train"), processing_class),
            processing_class=processing_class,
            **further,
        )
        if reward.balance == "constraint":
            file = Path(args.output_dir) / "balance.jsonl"
            self.add_callback(AccuracyConstraint(self, lambda: self.saliency_reward.latest, file))


def make_dataset(task: Task, examples: Sequence[Example], tokenizer: Any) -> Dataset:
    """A TRL dataset: columns `prompt`, `question`, `answer`; prompts are text for a tokenizer without chat template."""
    return Dataset.from_list(
        [
            {"prompt": trl_prompt(tokenizer, task.prompt(e)), "question": e.question, "answer": e.answer}
            for e in examples
        ]
    )


def train(config: TrainConfig, resume: bool = False, show_samples: int = 2) -> Path | None:
    """Run a recipe.

    Writes to `output_dir`: `recipe.yaml`, `metrics.jsonl`, `completions.jsonl`, `checkpoint-N/`, TensorBoard's `runs/`,
    and at the end `model/`. Saves fall only on steps after which no half-used generation batch is left, so that a
    resumed run goes on as if it had not stopped.

    Args:
        resume: go on from the newest complete checkpoint (from the start where there is none).
        show_samples: how many completions are shown with their saliency at every log.

    Returns:
        The folder of the trained model, or `None` when the run was stopped by Ctrl-C, saved.

    Raises:
        CheckpointError: the folder holds another run, or there is none to resume.
    """
    args = grpo_config(config) if config.sft is None else sft_config(config)
    folder = Path(config.output_dir)
    every = _steps_between_saves(args)
    if args.save_strategy == "steps" and args.save_steps % every:
        raise CheckpointError(
            f"grpo.save_steps {args.save_steps} must be a multiple of {every}, the steps that one generation batch "
            "lasts, or a resumed run would lose half of a batch"
        )
    checkpoint = None
    if resume:
        checkpoint = _checkpoint(folder, config, every)
    else:
        _require_free(folder)
    if checkpoint is not None and is_finished(checkpoint):
        return _finished_model(checkpoint, folder / "model")
    task, examples = load_task(config.task, config.data, **config.task_options), training_examples(config)
    model, tokenizer = load_model(config.model, config.device, config.dtype)
    stop, bar = StopAtSave(every), ProgressBar()
    callbacks = [bar, MetricsFile(folder / "metrics.jsonl"), stop]
    if config.sft is None:
        trainer: Any = _grpo_trainer(config, args, task, examples, model, tokenizer, callbacks)
        samples = Samples(lambda: trainer.saliency_reward.latest, folder / "completions.jsonl", show_samples)
        trainer.add_callback(samples)
    else:
        trainer = warm_up_trainer(config, args, task, examples, model, tokenizer, callbacks)
    trainer.remove_callback(PrinterCallback)
    trainer.accelerator.wait_for_everyone()  # every process has found the folder free before one claims it
    if not resume and trainer.accelerator.is_main_process:
        write_text(folder / RECIPE_FILE, yaml.safe_dump(plain_data(config), sort_keys=False))
    try:
        with stop_on_interrupt(stop):
            trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    except RuntimeError as error:
        raise sampling_error(error) from error
    finally:
        bar.close()
    if stop.asked and trainer.state.global_step < trainer.state.max_steps:
        return None
    return _save(trainer, folder / "model")


def training_examples(config: TrainConfig) -> list[Example]:
    """The examples that a recipe trains on.

    Raises:
        DataError: its task's rows, or those that it is screened by, cannot be had.
    """
    examples = load_task(config.task, config.data, **config.task_options).examples("train", config.train_examples)
    return examples if config.screened_by is None else solved_sometimes(examples, config.screened_by)


def _steps_between_saves(args: GRPOConfig | SFTConfig) -> int:
    if isinstance(args, SFTConfig):
        return 1
    return steps_per_generation_batch(args.steps_per_generation, args.num_iterations, args.gradient_accumulation_steps)


def _grpo_trainer(
    config: TrainConfig,
    args: GRPOConfig,
    task: Task,
    examples: Sequence[Example],
    model: Any,
    tokenizer: Any,
    callbacks: Sequence[TrainerCallback],
) -> AtManGRPOTrainer:
    dataset = make_dataset(task, examples, tokenizer)
    if config.reward.saliency_weight is not None:
        require_questions(tokenizer, dataset["prompt"], dataset["question"])
    trainer = AtManGRPOTrainer(
        model,
        task,
        args,
        config.mask,
        config.reward,
        dataset,
        tokenizer,
        peft_config=lora_config(config.lora),
        callbacks=[*callbacks],
    )
    if config.watch is not None:
        trainer.add_callback(GamingWatch(trainer, task, config.watch, config.mask, config.reward))
    return trainer


def _save(trainer: Any, target: Path) -> Path:
    """Write the model beside its place, then rename, so that `model/` is whole or not there."""
    beside = target.with_name("model.partial")
    if trainer.accelerator.is_main_process and beside.exists():
        shutil.rmtree(beside)
    trainer.save_model(str(beside))
    if trainer.accelerator.is_main_process:
        if target.exists():
            shutil.rmtree(target)
        beside.rename(target)
    return target


def _finished_model(checkpoint: Path, target: Path) -> Path:
    """The model of a run that had come to its end; out of its last checkpoint where it was killed before saving it."""
    if not target.is_dir():
        beside = target.with_name("model.partial")
        shutil.rmtree(beside, ignore_errors=True)
        rest = ("optimizer*", "scheduler*", "scaler*", "rng_state*", "trainer_state.json", "training_args.bin")
        shutil.copytree(checkpoint, beside, ignore=shutil.ignore_patterns(*rest))
        beside.rename(target)
    return target


def _require_free(folder: Path) -> None:
    """Refuse to write a new run over another."""
    if folder.exists() and not folder.is_dir():
        raise CheckpointError(f"output folder '{folder}' is a file: choose another --output-dir")
    if has_run(folder):
        raise CheckpointError(f"'{folder}' holds a run already: choose another --output-dir, or --resume it")


def _checkpoint(folder: Path, config: TrainConfig, every: int) -> Path | None:
    """The checkpoint that a run of the same recipe goes on from; `None` where it had not come to one."""
    if not has_run(folder):
        raise CheckpointError(f"nothing to resume in '{folder}': start it without --resume")
    recipe = plain_data(config)
    if (folder / RECIPE_FILE).exists():
        try:
            before = dict(yaml.safe_load((folder / RECIPE_FILE).read_text(encoding="utf-8")))
        except (yaml.YAMLError, TypeError, ValueError) as error:
            raise CheckpointError(
                f"'{folder / RECIPE_FILE}' is not the recipe of a run: it cannot be resumed"
            ) from error
        changed = sorted(key for key in recipe if recipe[key] != before.get(key) and key not in MAY_DIFFER)
        if changed:
            raise CheckpointError(
                f"the run in '{folder}' was started with another '{changed[0]}' ({before.get(changed[0])}): resume it "
                "with the same recipe, or choose another --output-dir"
            )
    return last_checkpoint(folder, every)
