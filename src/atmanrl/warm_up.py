"""Supervised warm-up: a model learns a task's worked solutions, and the asked form, before it is rewarded."""

from collections.abc import Sequence
from typing import Any

from datasets import Dataset
from transformers import TrainerCallback
from trl import SFTConfig, SFTTrainer

from .attention import context_length
from .tasks import Example, Task
from .trace import trl_prompt
from .train_config import TrainConfig, lora_config


def warm_up_trainer(
    config: TrainConfig,
    args: SFTConfig,
    task: Task,
    examples: Sequence[Example],
    model: Any,
    tokenizer: Any,
    callbacks: Sequence[TrainerCallback],
) -> SFTTrainer:
    """TRL's `SFTTrainer` on worked solutions.

    Raises:
        ValueError: an example has no worked solution, or is longer than the model's context.
    """
    trainer = SFTTrainer(
        model=model,
        args=args,
        train_dataset=solutions(task, examples, tokenizer),
        processing_class=tokenizer,
        peft_config=lora_config(config.lora),
        callbacks=[*callbacks],
    )
    longest, limit = max(len(ids) for ids in trainer.train_dataset["input_ids"]), context_length(model)
    if limit is not None and longest > limit:
        raise ValueError(f"sft: a solution with its question has {longest} tokens, more than the context of {limit}")
    return trainer


def solutions(task: Task, examples: Sequence[Example], tokenizer: Any) -> Dataset:
    """Columns `prompt` and `completion`, worked solution, cue and answer; text for a tokenizer without chat template.

    Raises:
        ValueError: an example has no worked solution.
    """
    rows: list[dict[str, Any]] = []
    for number, example in enumerate(examples):
        if not example.reasoning:
            raise ValueError(f"sft: {task.name} has no worked solution to learn from (row {number} of its train split)")
        text = f"{example.reasoning}{task.cue}{task.answer_text(example)}"
        prompt = trl_prompt(tokenizer, task.prompt(example))
        completion = text if isinstance(prompt, str) else [{"role": "assistant", "content": text}]
        rows.append({"prompt": prompt, "completion": completion})
    return Dataset.from_list(rows)
