"""Recipes: what is bundled loads, what is wrong is named."""

import dataclasses

import pytest

from atmanrl.recipe import RecipeError, find_recipe, load_recipe, set_field
from atmanrl.train_config import grpo_config, sft_config

BUNDLED = ("tiny-chains", "smollm2-gsm8k", "llama3.2-3b-gsm8k", "llama3.2-3b-mmlu")


@pytest.mark.parametrize("name", BUNDLED)
def test_bundled_recipes_load_by_name_and_by_path(name):
    recipe = load_recipe(name)
    assert recipe == load_recipe(f"recipes/{name}.yaml")
    assert recipe.output_dir == f"runs/{name}"
    assert recipe.reward.saliency_weight > 0


@pytest.mark.parametrize("name", BUNDLED)
def test_bundled_recipes_make_a_grpo_config(name, tmp_path):
    on_cpu = {"device": "cpu", "output_dir": str(tmp_path), "grpo.bf16": False}
    args = grpo_config(load_recipe(name, on_cpu))
    assert args.save_steps % (args.steps_per_generation // args.gradient_accumulation_steps or 1) == 0
    assert args.scale_rewards == "group"


def test_the_bundled_warm_up_makes_an_sft_config(tmp_path):
    recipe = load_recipe("smollm2-gsm8k-warmup", {"device": "cpu", "output_dir": str(tmp_path)})
    assert sft_config(recipe).completion_only_loss
    assert recipe.output_dir == str(tmp_path)


def test_overrides_reach_any_field(tmp_path):
    recipe = load_recipe("tiny-chains", {"grpo.max_steps": 2, "mask.scope": "answer", "seed": 5, "lora.r": 4})
    assert (recipe.grpo["max_steps"], recipe.mask.scope, recipe.seed, recipe.lora) == (2, "answer", 5, {"r": 4})
    assert dataclasses.replace(recipe, seed=0).grpo["num_generations"] == 8


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("modle", "tiny", "modle: unknown key"),
        ("mask.stepz", 3, "mask.stepz: unknown key"),
        ("mask.steps", "many", "mask.steps: "),
        ("mask.steps", 0, "mask.steps: "),
        ("grpo.learning_rat", 1, "GRPOConfig has no field 'learning_rat'"),
        ("lora.rank", 1, "LoraConfig has no field 'rank'"),
        ("reward.saliency_weight", 2.5, "must be under twice"),
        ("grpo.seed", 1, "'seed' is set as 'seed' at the top"),
        ("model.name", 1, "'model' holds no keys"),
    ],
)
def test_unknown_keys_and_wrong_values_are_named_in_one_line(key, value, said):
    with pytest.raises(RecipeError, match=said) as caught:
        load_recipe("tiny-chains", {key: value})
    assert "\n" not in str(caught.value)


def test_numbers_without_a_point_are_numbers():
    assert load_recipe("tiny-chains", {"grpo.learning_rate": "2e-5"}).grpo["learning_rate"] == 2e-5


def test_unknown_recipe_lists_the_known():
    with pytest.raises(RecipeError, match=r"no recipe 'nope': .*tiny-chains"):
        find_recipe("nope")


def test_a_mistyped_path_never_runs_a_bundled_recipe():
    with pytest.raises(RecipeError, match=r"no recipe 'my/tiny-chains\.yaml'"):
        find_recipe("my/tiny-chains.yaml")


@pytest.mark.parametrize("text", ["a: [", "- 1\n- 2\n", "", "\tmodel: x"])
def test_files_that_are_no_recipe(tmp_path, text):
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    with pytest.raises(RecipeError, match=r"bad\.yaml") as caught:
        load_recipe(str(path))
    assert "\n" not in str(caught.value)


def test_a_section_given_as_a_whole_leaves_its_other_fields_as_they_are():
    values = {"grpo": {"max_steps": 60, "beta": 0.0}, "lora": None}
    set_field(values, "grpo", {"max_steps": 2})
    set_field(values, "lora", {"r": 4})
    assert values == {"grpo": {"max_steps": 2, "beta": 0.0}, "lora": {"r": 4}}
