"""AtManGRPOTrainer and runs of recipes: rewards reach TRL, a killed run goes on to the same losses."""

import json
import os
import shlex
import signal
import subprocess
import sys
import time

import pandas as pd
import pytest
import torch

from atmanrl.callbacks import read_metrics
from atmanrl.checkpoints import CheckpointError
from atmanrl.recipe import RecipeError, load_recipe
from atmanrl.rewards import RewardConfig
from atmanrl.train_config import grpo_config
from atmanrl.training import AtManGRPOTrainer, _finished_model, train

SMALL = {
    "device": "cpu",
    "train_examples": 64,
    "mask.steps": 3,
    "grpo.per_device_train_batch_size": 8,
    "grpo.num_generations": 4,
    "grpo.max_completion_length": 64,
    "grpo.save_steps": 2,
    "grpo.report_to": "none",
    "grpo.logging_steps": 1,
    "grpo.learning_rate": 1e-3,
    "grpo.save_total_limit": 10,
}


def recipe(tmp_path, **changes):
    return load_recipe("tiny-chains", {**SMALL, "output_dir": str(tmp_path), "grpo.max_steps": 2, **changes})


def rows(path):
    return [r for r in read_metrics(path / "metrics.jsonl") if "loss" in r]


def comparable(row):
    return {k: v for k, v in row.items() if not any(word in k for word in ("time", "runtime", "per_second"))}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run") / "run"
    config = load_recipe(
        "tiny-chains",
        {**SMALL, "output_dir": str(folder), "grpo.max_steps": 8, "grpo.report_to": "tensorboard",
         "grpo.log_completions": True},
    )  # fmt: skip
    assert train(config) == folder / "model"
    return folder


def test_a_run_logs_every_component_apart(finished):
    logged = rows(finished)
    assert [r["step"] for r in logged] == list(range(1, 9))
    for key in ("rewards/outcome/mean", "rewards/saliency/mean", "saliency/work", "saliency/used",
                "saliency/computed", "completions/mean_length"):  # fmt: skip
        assert all(key in r for r in logged), key
    assert all(0 < r["saliency/computed"] <= 8 for r in logged)
    for r in logged:
        expected = r["rewards/outcome/mean"] + 0.5 * r["rewards/saliency/mean"]
        assert r["reward"] == pytest.approx(expected, abs=1e-5)
    assert list(finished.glob("**/events.out.tfevents*"))


def test_a_watched_run_logs_what_tricks_would_be_paid(tmp_path):
    assert train(recipe(tmp_path / "run", **{"watch.every": 2, "watch.questions": 1})) is not None
    logged = rows(tmp_path / "run")
    assert [r["step"] for r in logged if "gaming/over" in r] == [2]
    assert {"gaming/honest", "gaming/worst"} <= set(logged[1])
    with pytest.raises(RecipeError, match="'watch' asks what the saliency reward pays"):
        recipe(tmp_path, **{"watch.every": 2, "reward.saliency_weight": None})


def test_a_run_keeps_completions_with_their_saliency(finished):
    import pandas as pd

    samples = read_metrics(finished / "completions.jsonl")
    assert [s["step"] for s in samples[::4]] == list(range(1, 9))
    assert any("[[" in s["salient"] for s in samples)
    assert all(s["salient"].replace("[[", "").replace("]]", "") in s["completion"] for s in samples)
    table = pd.read_parquet(sorted((finished / "completions").glob("*.parquet"))[0])  # TRL's own, where asked for
    assert {"prompt", "completion", "outcome", "saliency", "work", "used", "salient"} <= set(table.columns)


def test_the_trained_model_loads_and_differs(finished, tiny):
    from atmanrl.models import load_model

    model, _ = load_model(str(finished / "model"), device="cpu")
    pairs = list(zip(model.parameters(), tiny[0].parameters(), strict=True))
    assert any(not torch.equal(a, b) for a, b in pairs)


def test_a_killed_run_goes_on_to_the_same_losses(finished, tmp_path):
    """kill -9 in the middle, a checkpoint cut short on top, then --resume: the same metrics as the run left alone."""
    folder = tmp_path / "run"
    overrides = {**SMALL, "grpo.max_steps": 8, "grpo.report_to": "tensorboard", "grpo.log_completions": True}
    arguments = [part for key, value in overrides.items() for part in (f"--{key}", str(value))]
    command = [sys.executable, "-m", "atmanrl.cli", "train", "tiny-chains", *arguments, "--output-dir", str(folder)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 300
    while not (folder / "checkpoint-4" / "trainer_state.json").exists():
        assert process.poll() is None, "the run ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    for whole in folder.glob("checkpoint-[68]"):  # whatever came after the fourth step is cut short
        (whole / "trainer_state.json").unlink(missing_ok=True)
    cut = folder / "checkpoint-6"
    cut.mkdir(exist_ok=True)
    (cut / "model.safetensors").write_bytes(b"half")
    subprocess.run([*command, "--resume"], check=True, capture_output=True)
    assert read_metrics(folder / "completions.jsonl") == read_metrics(finished / "completions.jsonl")
    resumed, whole = rows(folder), rows(finished)
    assert [r["step"] for r in resumed] == [r["step"] for r in whole]
    for a, b in zip(resumed, whole, strict=True):
        assert comparable(a) == pytest.approx(comparable(b), rel=1e-4, abs=1e-5, nan_ok=True)


def test_interrupt_saves_and_says_how_to_resume(tmp_path):
    folder = tmp_path / "run"
    arguments = [part for key, value in SMALL.items() for part in (f"--{key}", str(value))]
    command = [sys.executable, "-m", "atmanrl.cli", "train", "tiny-chains", *arguments, "--max-steps", "500",
               "--grpo.save_steps", "500", "--output-dir", str(folder)]  # fmt: skip
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    deadline = time.monotonic() + 300
    while not (folder / "metrics.jsonl").exists():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=120)
    assert process.returncode == 130
    assert len(list(folder.glob("checkpoint-*/trainer_state.json"))) == 1
    said = shlex.split(out.strip().splitlines()[-1].split("go on with: ")[1])
    assert said == ["atmanrl", *command[3:], "--resume"]


def test_lora_trains_an_adapter_that_loads(tmp_path):
    from atmanrl.models import load_model

    config = recipe(tmp_path / "run", **{"lora.r": 2, "lora.target_modules": "all-linear", "grpo.save_steps": 4})
    folder = train(config)
    assert (folder / "adapter_config.json").exists()
    assert json.loads((folder / "adapter_config.json").read_text())["base_model_name_or_path"] == "tiny"
    assert load_model(str(folder), device="cpu")[0].num_parameters() < 1.5e6


def test_weight_zero_logs_saliency_without_training_on_it(tmp_path):
    train(recipe(tmp_path / "run", **{"reward.saliency_weight": 0}))
    for row in rows(tmp_path / "run"):
        assert row["reward"] == pytest.approx(row["rewards/outcome/mean"])
        assert row["saliency/computed"] > 0


def rewards_and_advantages(folder, step):
    """Of the completions of a step, by group of four, as TRL wrote them down: all (2, 4)."""
    table = pd.read_parquet(folder / "completions" / f"completions_{step:05d}.parquet")
    return (torch.tensor(table[name].to_numpy()).view(2, 4).double() for name in ("outcome", "saliency", "advantage"))


def test_gdpo_normalises_each_reward_in_its_group_and_then_sums(tmp_path):
    changes = {"reward.balance": "gdpo", "reward.saliency_weight": 0.1, "grpo.log_completions": True}
    train(recipe(tmp_path / "run", **changes))
    told = 0
    for step in (1, 2):
        outcome, saliency, advantage = rewards_and_advantages(tmp_path / "run", step)
        each = [(r - r.mean(1, keepdim=True)) / (r.std(1, keepdim=True) + 1e-4) for r in (outcome, saliency)]
        total = each[0] + 0.1 * each[1]
        assert torch.allclose(advantage, (total - total.mean()) / (total.std() + 1e-4), atol=1e-3)
        told += bool(saliency.std() > 0)
    assert told


def test_the_constraint_weighs_the_outcome_anew_after_each_step(tmp_path, monkeypatch):
    monkeypatch.setattr("atmanrl.balance.WARM_UP", 8)  # one step's
    changes = {"reward.balance": "constraint", "grpo.log_completions": True, "grpo.max_steps": 3}
    train(recipe(tmp_path / "run", **changes))
    multipliers = [2.0, *(row["multiplier"] for row in read_metrics(tmp_path / "run" / "balance.jsonl"))]
    assert len(set(multipliers)) > 2
    told = 0
    for step, multiplier in enumerate(multipliers[:3], start=1):
        outcome, saliency, advantage = rewards_and_advantages(tmp_path / "run", step)
        total = 0.5 * multiplier * outcome + 0.5 * saliency
        deviation = total - total.mean(1, keepdim=True)
        assert torch.allclose(advantage, deviation / (total.std(1, keepdim=True) + 1e-4), atol=1e-3)
        assert rows(tmp_path / "run")[step - 1]["reward"] == pytest.approx(float(total.mean()), abs=1e-5)
        told += bool((outcome.std(1) > 0).any())
    assert told  # else the weight would show nowhere


def test_without_a_saliency_weight_no_mask_is_learned(tmp_path, monkeypatch):
    monkeypatch.setattr("atmanrl.scoring.learn_mask", lambda *_: pytest.fail("a mask is learned"))
    changes = {"reward.saliency_weight": None, "reward.length_weight": 0.5, "reward.length_target": 20.0}
    assert train(recipe(tmp_path / "run", **changes)) is not None
    logged = read_metrics(tmp_path / "run" / "metrics.jsonl")
    assert any("rewards/length/mean" in row for row in logged)
    assert not any("saliency" in key for row in logged for key in row)
    with pytest.raises(ValueError, match="needs a saliency_weight"):
        RewardConfig(saliency_weight=None, balance="constraint")


def test_names_are_enough_for_the_trainer(tmp_path):
    args = grpo_config(recipe(tmp_path))
    trainer = AtManGRPOTrainer(model="tiny", task="chains", args=args)
    assert trainer.saliency_reward in trainer.reward_funcs
    assert args.reward_weights == [1.0, 0.5]


def test_a_model_without_its_tokenizer_is_refused(tiny):
    with pytest.raises(ValueError, match="processing_class"):
        AtManGRPOTrainer(model=tiny[0], task="chains")


def test_no_private_method_of_trl_is_overridden():
    assert {name for name in vars(AtManGRPOTrainer) if callable(getattr(AtManGRPOTrainer, name))} == {"__init__"}


def test_a_users_own_trainer_takes_the_reward(tmp_path):
    from trl import GRPOTrainer

    from atmanrl.models import load_model
    from atmanrl.scoring import SaliencyReward
    from atmanrl.tasks import Chains
    from atmanrl.training import make_dataset

    task, (model, tokenizer) = Chains(), load_model("tiny", device="cpu")
    reward = SaliencyReward(task)
    args = grpo_config(recipe(tmp_path, **{"grpo.max_steps": 1}))
    args.reward_weights = [1.0, 0.5]
    trainer = GRPOTrainer(
        model=model,
        reward_funcs=[reward.outcome, reward],
        args=args,
        train_dataset=make_dataset(task, task.examples("train", 16), tokenizer),
        processing_class=tokenizer,
    )
    reward.bind(trainer)
    trainer.train()
    assert any("saliency/work" in entry and "rewards/outcome/mean" in entry for entry in trainer.state.log_history)


def test_further_rewards_come_with_their_weights(tmp_path):
    from atmanrl.models import load_model
    from atmanrl.tasks import Chains
    from atmanrl.training import make_dataset

    def brevity(completion_ids, **_):
        return [-len(ids) / 100 for ids in completion_ids]

    task, (model, tokenizer) = Chains(), load_model("tiny", device="cpu")
    trainer = AtManGRPOTrainer(
        model,
        task,
        grpo_config(recipe(tmp_path, **{"grpo.max_steps": 1})),
        train_dataset=make_dataset(task, task.examples("train", 16), tokenizer),
        processing_class=tokenizer,
        further_rewards=[(brevity, 0.25)],
    )
    assert trainer.reward_weights.tolist() == [1.0, 0.5, 0.25]
    trainer.train()
    logged = trainer.state.log_history[0]
    parts = [logged[f"rewards/{name}/mean"] for name in ("outcome", "saliency", "brevity")]
    assert logged["reward"] == pytest.approx(parts[0] + 0.5 * parts[1] + 0.25 * parts[2], abs=1e-4)


def test_saves_that_would_lose_half_a_batch_are_refused(tmp_path):
    config = recipe(tmp_path / "run", **{"grpo.steps_per_generation": 4, "grpo.save_steps": 2})
    with pytest.raises(CheckpointError, match="multiple of 4"):
        train(config)


def test_the_recipe_that_a_run_keeps_is_one(finished):
    kept = load_recipe(str(finished / "recipe.yaml"))
    assert (kept.output_dir, kept.grpo["max_steps"], kept.sft) == (str(finished), 8, None)


def test_a_finished_run_is_not_trained_further(finished):
    def state():
        return sorted((str(p), p.stat().st_mtime_ns) for p in finished.rglob("*"))

    before = state()
    overrides = {**SMALL, "output_dir": str(finished), "grpo.max_steps": 8, "grpo.report_to": "tensorboard"}
    assert (
        train(load_recipe("tiny-chains", {**overrides, "grpo.log_completions": True}), resume=True)
        == finished / "model"
    )
    assert state() == before


def test_a_run_killed_before_it_saved_its_model_gets_it_from_the_last_checkpoint(finished, tmp_path):
    from safetensors.torch import load_file

    target = _finished_model(finished / "checkpoint-8", tmp_path / "model")
    saved, rescued = (load_file(folder / "model.safetensors") for folder in (finished / "model", target))
    assert all(torch.equal(saved[name], rescued[name]) for name in saved)
    assert not list(target.glob("optimizer*"))


def test_resume_with_another_recipe_is_refused(finished):
    config = load_recipe("tiny-chains", {**SMALL, "output_dir": str(finished), "grpo.max_steps": 9})
    with pytest.raises(CheckpointError, match="another 'grpo'"):
        train(config, resume=True)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stop_on_interrupt_restores_the_handlers(number):
    from atmanrl.callbacks import StopAtSave, stop_on_interrupt

    before = [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)]
    stop = StopAtSave(1)
    with pytest.raises(KeyboardInterrupt), stop_on_interrupt(stop):
        os.kill(os.getpid(), number)
        time.sleep(0.01)
        assert stop.asked
        os.kill(os.getpid(), number)
        time.sleep(0.5)
    assert [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)] == before
