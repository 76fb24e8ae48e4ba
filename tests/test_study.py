"""A study: its recipe, the order of its cells, resuming, and matching lengths."""

import json
import re
import shutil
from pathlib import Path

import pytest
import yaml

from atmanrl.checkpoints import CheckpointError
from atmanrl.metrics import METRICS, NEAR_TRAINED_ON
from atmanrl.recipe import RecipeError
from atmanrl.study import claim_folder, final_length, run_study
from atmanrl.study_config import Cell, cell_recipe, cells, load_study, shared_recipe
from atmanrl.study_values import write_values
from atmanrl.tasks import Chains, DataError
from atmanrl.training import training_examples

SMALL = {
    "question": "Does it?",
    "seeds": [0],
    "arms": {
        "base": {"what": "Not trained.", "trained": False},
        "saliency": {"what": "Both."},
        "length": {
            "what": "Length.",
            "set": {"reward.saliency_weight": 0.0, "reward.length_weight": 0.5},
            "length_of": "saliency",
        },
    },
    "train": {
        "train_examples": 8,
        "mask": {"steps": 2},
        "grpo": {
            "max_steps": 1,
            "per_device_train_batch_size": 4,
            "num_generations": 2,
            "max_completion_length": 16,
            "logging_steps": 1,
            "save_steps": 1,
            "report_to": "none",
        },
    },
    "tasks": {"chains": {"model": "tiny", "evaluations": {"quick": {"limit": 4, "measures": ["composition"]}}}},
    "rule": {
        "arm": "saliency",
        "controls": ["base", "length"],
        "metrics": ["quick/filler_share"],
        "at_least": 1,
        "accuracy": "quick/accuracy",
        "margin": 0.01,
    },
    "device": "cpu",
}


def written(folder, **changes):
    path = folder / "study-small.yaml"
    path.write_text(yaml.safe_dump({**SMALL, "output_dir": str(folder / "run"), **changes}, sort_keys=False))
    return str(path)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"arms": {**SMALL["arms"], "x": {"what": "w", "length_of": "later"}}}, "'later' is no trained arm before it"),
        ({"train": {"sft": {}}}, "arms are trained by 'grpo'"),
        ({"rule": {**SMALL["rule"], "controls": ["nobody"]}}, "there is no arm 'nobody'"),
        ({"rule": {**SMALL["rule"], "metrics": ["slow/density"]}}, "no evaluation for 'slow/density'"),
        ({"train": {"learning": 1}}, "arm base: learning: unknown key"),
        ({"arms": {**SMALL["arms"], "x": {"what": "w", "set": {"grpo.x": 1}}}}, "GRPOConfig has no field 'x'"),
        ({"arms": {**SMALL["arms"], "x": {"what": "w", "length_of": "base"}}}, "'base' is no trained arm before it"),
        ({"rule": {**SMALL["rule"], "controls": ["saliency"]}}, "'saliency' cannot be its own control"),
        ({"rule": {**SMALL["rule"], "metrics": ["quick/fillershare"]}}, "'quick/fillershare' is no metric"),
        ({"rule": {**SMALL["rule"], "metrics": ["quick/density"]}}, "'quick/density' is what arms are trained on"),
        ({"rule": {**SMALL["rule"], "metrics": ["quick/sufficiency_removed"]}}, "or close to it"),
        ({"rule": {**SMALL["rule"], "metrics": ["quick/question_direct"]}}, "or close to it"),
        ({"rule": {**SMALL["rule"], "at_least": 2}}, "at_least must be 1 to 1"),
        ({"rule": {**SMALL["rule"], "metrics": ["quick/filler_share"] * 2, "at_least": 2}}, "named twice"),
        (
            {"rule": {**SMALL["rule"], "metrics": ["quick/mistake_forced"]}},
            "'quick/mistake_forced' is not measured on chains: add 'mistakes' to its measures",
        ),
        ({"tasks": {"own.jsonl": SMALL["tasks"]["chains"]}}, "'own.jsonl' has no split to keep for testing"),
        ({"surprise": 1}, "surprise"),
    ],
)
def test_what_does_not_fit_is_named_in_one_line(tmp_path, changes, said):
    with pytest.raises(RecipeError) as error:
        load_study(written(tmp_path, **changes))
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_the_bundled_study_loads_and_its_arms_differ_in_what_they_say():
    config = load_study("study-tiny")
    assert len(list(cells(config))) == len(config.seeds) * len(config.tasks) * len(config.arms)
    for task in config.tasks:
        recipes = {arm: cell_recipe(config, Cell(task, arm, 0), 20.0) for arm in config.arms}
        assert recipes["outcome"].reward.saliency_weight == 0
        assert recipes["length"].reward.saliency_weight is None
        assert (recipes["length"].reward.length_weight, recipes["length"].reward.length_target) == (1.0, 20.0)
        paper = recipes["paper"].reward
        assert (paper.bypass_limit, paper.cut_after_told) == (None, False)
        assert recipes["saliency"].reward.bypass_limit is not None
        assert len({r.mask for r in (*recipes.values(), shared_recipe(config, task))}) == 1
        assert len({json.dumps(r.grpo, sort_keys=True) for r in recipes.values()}) == 1


@pytest.mark.parametrize(("name", "arms"), [("study-gsm8k", 5), ("study-balance", 6), ("study-decoy", 5)])
def test_the_other_bundled_studies_load(name, arms):
    config = load_study(name)
    assert len(config.arms) == arms
    assert len(list(cells(config))) == arms * len(config.seeds) * len(config.tasks)


def test_the_study_that_the_docs_show_loads(tmp_path):
    docs = (Path(__file__).parents[1] / "docs" / "study.md").read_text(encoding="utf-8")
    (shown,) = re.findall(r"```yaml\n(.*?)```", docs, re.DOTALL)
    (tmp_path / "my-study.yaml").write_text(shown)
    config = load_study(str(tmp_path / "my-study.yaml"))
    assert config.output_dir == "runs/my-study"
    assert len(list(cells(config))) == 12


def test_eraser_of_the_masks_own_tokens_never_decides():
    assert {n for n in METRICS if n.startswith(("comprehensiveness", "sufficiency"))} < set(NEAR_TRAINED_ON)


def test_seed_by_seed_and_what_a_length_is_taken_from_comes_first(tmp_path):
    config = load_study(written(tmp_path), {"seeds": [3, 4]})
    names = [cell.name for cell in cells(config)]
    assert names[:4] == ["chains/base-3", "chains/saliency-3", "chains/length-3", "chains/base-4"]


def test_a_folder_of_another_study_is_refused(tmp_path):
    path = written(tmp_path)
    claim_folder(load_study(path))
    claim_folder(load_study(path))
    for change in ({"seeds": [0, 1]}, {"rule.margin": 0.5}, {"train.grpo.max_steps": 2}):
        with pytest.raises(CheckpointError, match=f"another '{next(iter(change)).split('.')[0]}'"):
            claim_folder(load_study(path, change))


def test_options_that_a_task_does_not_have_are_found_before_the_work(tmp_path):
    quick = {"limit": 4, "measures": ["composition"], "options": {"x": 1}}
    tasks = {"chains": {"model": "tiny", "evaluations": {"quick": quick}}}
    with pytest.raises(ValueError, match="task chains has no option 'x'"):
        load_study(written(tmp_path, tasks=tasks))


def test_final_length_is_of_the_last_steps(tmp_path):
    rows = [{"step": n, "completions/mean_length": 100.0 if n < 5 else 20.0} for n in range(15)]
    (tmp_path / "m.jsonl").write_text("".join(json.dumps(row) + "\n" for row in [*rows, {"step": 15}]))
    assert final_length(tmp_path / "m.jsonl") == 20.0
    sparse = [{"step": n, "completions/mean_length": 100.0 if n < 28 else 20.0} for n in range(0, 40, 4)]
    (tmp_path / "m.jsonl").write_text("".join(json.dumps(row) + "\n" for row in sparse))
    assert final_length(tmp_path / "m.jsonl") == 20.0  # ten steps, not ten rows


def test_runs_once_and_goes_on_where_it_stopped(tmp_path):
    config = load_study(written(tmp_path))
    claim_folder(config)
    said: list[str] = []
    assert not run_study(config, minutes=0.0, say=said.append)
    assert said == []
    assert run_study(config, say=said.append)
    assert sum("training ..." in text for text in said) == 2
    assert sum("evaluation quick ..." in text for text in said) == 3
    length = yaml.safe_load((tmp_path / "run/chains/length-0/recipe.yaml").read_text())["reward"]["length_target"]
    assert length == final_length(tmp_path / "run/chains/saliency-0/metrics.jsonl")
    said.clear()
    assert run_study(config, say=said.append)
    assert said == []
    (tmp_path / "run/chains/base-0/quick.values.json.gz").unlink()
    assert run_study(config, say=said.append)
    assert [text.split(" took")[0] for text in said] == [
        "chains/base-0: evaluation quick ...",
        "chains/base-0: evaluation quick",
    ]
    length_file = tmp_path / "run/chains/saliency-0/length.json"
    assert json.loads(length_file.read_text())["tokens"] == length
    shutil.rmtree(tmp_path / "run/chains/saliency-0/model")  # only what is to be evaluated needs its model
    assert run_study(config, say=lambda text: pytest.fail(text))


def test_a_folder_carried_on_with_by_its_values_alone_still_matches_lengths(tmp_path):
    config = load_study(written(tmp_path))
    cell = tmp_path / "run/chains/saliency-0"
    for name in ("base-0", "saliency-0"):
        write_values(tmp_path / f"run/chains/{name}/quick.values.json.gz", {"accuracy": [1.0] * 4})
    (cell / "length.json").write_text('{"tokens": 17.5}')
    assert run_study(config, say=lambda _: None)
    recipe = yaml.safe_load((tmp_path / "run/chains/length-0/recipe.yaml").read_text())
    assert recipe["reward"]["length_target"] == 17.5
    assert not (cell / "model").exists()


def test_other_weights_under_the_same_name_are_refused(tmp_path):
    config = load_study(written(tmp_path))
    (tmp_path / "run/chains").mkdir(parents=True)
    (tmp_path / "run/chains/start.json").write_text('{"model": "tiny", "weights": "others"}')
    with pytest.raises(CheckpointError, match="begun with other weights under the name 'tiny'"):
        run_study(config, say=lambda _: None)


def screenings(folder, solved):
    """Rows of two evaluations, of which the first solved these of the first eight training stories, the second none."""
    for number, right in enumerate((solved, ())):
        rows = [{"question": e.question, "correct": i in right} for i, e in enumerate(Chains().examples("train", 8))]
        (folder / f"{number}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_a_screening_leaves_its_questions_and_may_not_change_under_a_study(tmp_path):
    files = [str(tmp_path / f"{number}.jsonl") for number in (0, 1)]
    config = load_study(written(tmp_path), {"train.screened_by": files})
    with pytest.raises(DataError, match="cannot read"):  # before anything is worked on
        run_study(config, say=lambda text: pytest.fail(text))
    screenings(tmp_path, (1, 2, 5))
    examples = Chains().examples("train", 8)
    assert training_examples(shared_recipe(config, "chains")) == [examples[i] for i in (1, 2, 5)]
    assert not run_study(config, minutes=0.0)
    screenings(tmp_path, (1, 2))
    with pytest.raises(CheckpointError, match="begun with other questions under screened_by"):
        run_study(config, say=lambda text: pytest.fail(text))


def test_a_cell_that_was_killed_goes_on(tmp_path):
    config_file = written(tmp_path, train={**SMALL["train"], "grpo": {**SMALL["train"]["grpo"], "max_steps": 2}})
    config = load_study(config_file)
    assert run_study(config, say=lambda _: None)
    cell = tmp_path / "run/chains/saliency-0"
    whole = (cell / "quick.values.json.gz").read_bytes()

    def killed(*gone):
        for name in (*gone, "quick.values.json.gz"):
            shutil.rmtree(cell / name) if (cell / name).is_dir() else (cell / name).unlink()
        first = (cell / "checkpoint-1" / "trainer_state.json").stat().st_mtime_ns
        said: list[str] = []
        assert run_study(config, say=said.append)
        assert (cell / "checkpoint-1" / "trainer_state.json").stat().st_mtime_ns == first  # not begun anew
        assert (cell / "quick.values.json.gz").read_bytes() == whole
        return [text for text in said if "..." in text]

    both = ["chains/saliency-0: training ...", "chains/saliency-0: evaluation quick ..."]
    assert killed("checkpoint-2", "model", "length.json") == both
    assert killed("model", "length.json") == both  # after the last step, before the model was written
    assert killed("length.json") == both
    assert killed() == both[1:]
    config = load_study(config_file, {"device": None})  # what it computes on may be another
    assert killed("model", "length.json") == both


def test_values_without_the_length_that_another_arm_takes_are_named(tmp_path):
    config = load_study(written(tmp_path))
    for name in ("base-0", "saliency-0"):
        write_values(tmp_path / f"run/chains/{name}/quick.values.json.gz", {"accuracy": [1.0] * 4})
    with pytest.raises(CheckpointError, match=r"saliency-0/length\.json' is not there, and chains/length-0 takes"):
        run_study(config, say=lambda _: None)
