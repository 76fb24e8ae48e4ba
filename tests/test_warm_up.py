"""Supervised warm-up: what is learned, and that a run of it is a run like others."""

import json

import pytest
import torch
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
    untouched = (tmp_path / "cut" / "checkpoint-2" / "trainer_state.json").stat().st_mtime_ns
    assert train(recipe(tmp_path / "cut"), resume=True) is not None
    assert (tmp_path / "cut" / "checkpoint-2" / "trainer_state.json").stat().st_mtime_ns == untouched
    assert losses(tmp_path / "cut") == pytest.approx(whole, rel=1e-4)
    load_model(str(tmp_path / "cut" / "model"), device="cpu")


def losses(folder):
    return [row["loss"] for row in read_metrics(folder / "metrics.jsonl") if "loss" in row]


def test_an_adapter_on_an_adapter_keeps_both(tmp_path, tiny):
    """Trained on a model that is an adapter itself, the new adapter names that one as its base."""
    lora = {"lora.r": 2, "lora.target_modules": "all-linear", "sft.learning_rate": 1e-2}
    first = train(recipe(tmp_path / "first", **lora))
    second = train(recipe(tmp_path / "second", **lora, model=str(first)))
    ids = torch.tensor([tiny[1]("Sam has 14 coins.")["input_ids"]])
    with torch.no_grad():
        plain, once, twice = (load_model(str(m), device="cpu")[0](ids).logits for m in ("tiny", first, second))
    assert json.loads((second / "adapter_config.json").read_text())["base_model_name_or_path"] == str(first)
    assert (once - plain).norm() > 0.1
    assert (twice - once).norm() > 0.1
    # Each adapter changes the logits; without the first, the second's would be nearer to the plain model's.
    assert (twice - once).norm() < (twice - plain).norm()


def test_solutions_longer_than_the_context_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("atmanrl.warm_up.context_length", lambda _: 20)
    with pytest.raises(ValueError, match="more than the context of 20"):
        train(recipe(tmp_path))


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


def test_plain_prompts_stay_text_for_a_chat_model(tiny):
    class Chat:
        chat_template = "{{ messages }}"

        def __call__(self, text, **_):
            return tiny[1](text)

    assert isinstance(solutions(Chains(), Chains().examples("dev", 1), Chat())[0]["completion"], str)


def test_a_recipe_is_of_one_kind(tmp_path):
    with pytest.raises(RecipeError, match="either 'grpo' or 'sft'"):
        recipe(tmp_path, **{"grpo.max_steps": 2})
    with pytest.raises(RecipeError, match="SFTConfig has no field 'steps'"):
        recipe(tmp_path, **{"sft.steps": 2})
