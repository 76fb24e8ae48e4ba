"""Supervised warm-up: what is learned, and that a run of it is a run like others."""

import pytest
from datasets import Dataset

from atmanrl.callbacks import read_metrics
from atmanrl.models import load_model
from atmanrl.recipe import RecipeError, recipe_of
from atmanrl.tasks import GSM8K, Chains, Example
from atmanrl.train_config import sft_config
from atmanrl.training import train
from atmanrl.warm_up import solutions, warm_up_trainer

SMALL = {
    "model": "tiny",
    "task": "chains",
    "device": "cpu",
    "train_examples": 32,
    "sft": {
        "max_steps": 6,
        "per_device_train_batch_size": 8,
        "learning_rate": 1e-3,
        "logging_steps": 1,
        "save_steps": 2,
        "save_total_limit": 10,
        "report_to": "none",
    },
}


def recipe(folder, **changes):
    return recipe_of({**SMALL, "output_dir": str(folder)}, changes, "small")


def test_only_completions_are_learned_up_to_their_end(tiny, tmp_path):
    model, tokenizer = load_model("tiny", device="cpu")
    config, task = recipe(tmp_path), Chains()
    examples = task.examples("train", 8)
    trainer = warm_up_trainer(config, sft_config(config), task, examples, model, tokenizer, [])
    batch = next(iter(trainer.get_train_dataloader()))
    learned = {tokenizer.decode(labels[labels != -100], skip_special_tokens=False) for labels in batch["labels"]}
    expected = {f"{e.reasoning}{task.cue}{task.answer_text(e)}{tokenizer.eos_token}" for e in examples}
    assert learned == expected


def test_a_warm_up_lowers_the_loss_and_a_killed_one_goes_on_to_the_same(tmp_path):
    assert train(recipe(tmp_path / "whole")) == tmp_path / "whole" / "model"
    whole = losses(tmp_path / "whole")
    assert whole[-1] < whole[0]
    train(recipe(tmp_path / "cut"))
    for gone in ("checkpoint-4", "checkpoint-6", "model"):
        for file in sorted((tmp_path / "cut" / gone).rglob("*"), reverse=True):
            file.unlink()
        (tmp_path / "cut" / gone).rmdir()
    assert train(recipe(tmp_path / "cut"), resume=True) is not None
    assert losses(tmp_path / "cut") == pytest.approx(whole, rel=1e-4)
    load_model(str(tmp_path / "cut" / "model"), device="cpu")


def losses(folder):
    return [row["loss"] for row in read_metrics(folder / "metrics.jsonl") if "loss" in row]


def test_chat_models_get_messages():
    class Chat:
        chat_template = "{{ messages }}"

    rows = solutions(GSM8K(), [Example("How many?", "4", "2 + 2 = 4")], Chat())
    assert isinstance(rows, Dataset)
    assert rows[0]["completion"] == [{"role": "assistant", "content": "2 + 2 = 4\n#### 4"}]
    assert rows[0]["prompt"][0]["role"] == "user"


def test_a_task_without_solutions_is_refused(tiny):
    with pytest.raises(ValueError, match="no worked solution"):
        solutions(Chains(), [Example("q", "1")], tiny[1])


def test_a_recipe_is_of_one_kind(tmp_path):
    with pytest.raises(RecipeError, match="either 'grpo' or 'sft'"):
        recipe(tmp_path, **{"grpo.max_steps": 2})
    with pytest.raises(RecipeError, match="SFTConfig has no field 'steps'"):
        recipe(tmp_path, **{"sft.steps": 2})
