"""A study's tables and verdict from rows that were made up."""

import json

import numpy as np
import pytest
from test_study import SMALL, written

from atmanrl.report.study import sentences, study_html
from atmanrl.study_config import load_study
from atmanrl.study_results import summarise_study
from atmanrl.study_values import read_values, write_values

ARMS = ("base", "saliency", "length")


def made(folder, filler, accuracy=(1.0, 1.0, 1.0), seeds=(0, 1, 2, 3, 4), questions=60):
    """Rows with these means by arm; filler differs a little by question."""
    config = load_study(written(folder), {"seeds": list(seeds)})
    rng = np.random.default_rng(0)
    common = rng.normal(0, 0.05, questions)
    for seed in seeds:
        for arm, share, right in zip(ARMS, filler, accuracy, strict=True):
            place = folder / "run" / "chains" / f"{arm}-{seed}"
            place.mkdir(parents=True, exist_ok=True)
            correct = np.arange(questions) < right * questions
            values = share + common + rng.normal(0, 0.01, questions)
            data = {"accuracy": correct.astype(float).tolist(), "filler_share": values.tolist()}
            write_values(place / "quick.values.json.gz", data)
    return config


def test_a_clear_difference_meets_the_rule(tmp_path):
    study = summarise_study(made(tmp_path, (0.5, 0.1, 0.3)))
    verdict = study["verdict"]["chains"]
    assert verdict == {"better": ["quick/filler_share"], "accuracy_holds": True, "met": True, "seeds": 5}
    cell = study["tasks"]["chains"]["metrics"]["quick/filler_share"]
    assert cell["base"]["difference"]["value"] == pytest.approx(-0.4, abs=0.01)
    low, high = cell["base"]["difference"]["ci95"]
    assert high - low < 0.03  # paired: what questions have in common falls out
    low, high = cell["base"]["ci95"]
    assert high - low > 0.03
    assert "difference" not in cell["saliency"]


@pytest.mark.parametrize(
    ("filler", "accuracy"),
    [((0.5, 0.1, 0.1), (1, 1, 1)), ((0.5, 0.3, 0.1), (1, 1, 1)), ((0.5, 0.1, 0.3), (1, 0.9, 1))],
    ids=["no better than length", "worse than length", "less accurate"],
)
def test_the_rule_is_not_met(tmp_path, filler, accuracy):
    assert not summarise_study(made(tmp_path, filler, accuracy))["verdict"]["chains"]["met"]


def several(folder, values, rule):
    """Two metrics, one better high and one better low; by arm their means, and the accuracy. All arms share a large
    effect of the seed, and each has a small one of its own."""
    config = load_study(written(folder, seeds=[0, 1, 2, 3, 4], rule={**SMALL["rule"], **rule}))
    rng = np.random.default_rng(0)
    for seed in range(5):
        shared = rng.normal(0, 0.2)
        for arm, (high, low, right) in zip(ARMS, values, strict=True):
            place = folder / "run" / "chains" / f"{arm}-{seed}"
            place.mkdir(parents=True, exist_ok=True)
            own = shared + rng.normal(0, 0.005)
            data = {"accuracy": (np.arange(100) < 100 * right).astype(float)}
            data |= {"true_arithmetic": high + own + rng.normal(0, 0.01, 100)}
            data |= {"filler_share": low + own + rng.normal(0, 0.01, 100)}
            write_values(place / "quick.values.json.gz", {name: list(each) for name, each in data.items()})
    return summarise_study(config)["verdict"]["chains"]


BOTH = ["quick/true_arithmetic", "quick/filler_share"]


@pytest.mark.parametrize(
    ("saliency", "better", "met"),
    [
        ((0.6, 0.2, 0.9), BOTH, True),
        ((0.6, 0.4, 0.9), BOTH[:1], False),  # one of two asked
        ((0.4, 0.2, 0.9), BOTH[1:], False),
        ((0.4, 0.4, 0.9), [], False),  # the other way round
        ((0.6, 0.2, 1.0), BOTH, True),  # more accurate than either
        ((0.6, 0.2, 0.85), BOTH, False),  # less accurate than one control alone
    ],
)
def test_the_rule_knows_sides_counts_and_every_control(tmp_path, saliency, better, met):
    rule = {"metrics": BOTH, "at_least": 2}
    verdict = several(tmp_path, ((0.5, 0.3, 0.8), saliency, (0.5, 0.3, 0.9)), rule)
    assert (verdict["better"], verdict["met"]) == (better, met)


def test_seeds_count_only_when_all_arms_are_there_and_then_decide_nothing(tmp_path):
    config = made(tmp_path, (0.5, 0.1, 0.3))
    (tmp_path / "run/chains/length-4/quick.values.json.gz").unlink()
    study = summarise_study(config)
    assert study["tasks"]["chains"]["seeds"] == [0, 1, 2, 3]
    assert not study["verdict"]["chains"]["met"]
    assert "not decided (4 of 5 seeds)" in sentences(study)[0]


def test_the_verdict_says_by_how_much_accuracy_differs(tmp_path):
    said = sentences(summarise_study(made(tmp_path, (0.5, 0.1, 0.3), accuracy=(1, 0.9, 0.8))))[0]
    assert "does not hold in the mean (-10.0 pts [" in said
    assert "+10.0 pts [" in said


@pytest.mark.parametrize("kept", [1, 4])
def test_a_metric_that_some_seeds_do_not_have_does_not_decide(tmp_path, kept):
    config = made(tmp_path, (0.5, 0.1, 0.3))
    for seed in range(kept, 5):
        file = tmp_path / "run" / "chains" / f"length-{seed}" / "quick.values.json.gz"
        write_values(file, {"accuracy": read_values(file)["accuracy"]})
    study = summarise_study(config)
    difference = study["tasks"]["chains"]["metrics"]["quick/filler_share"]["length"]["difference"]
    assert difference["seeds"] == kept
    assert (difference["ci95"] is None) == (kept == 1)
    assert study["verdict"]["chains"]["better"] == []


def test_tricks_are_counted_where_they_are_worth_more_than_the_worked_solution(tmp_path):
    config = made(tmp_path, (0.5, 0.1, 0.3), seeds=(0, 1), questions=4)
    for arm, padded in zip(ARMS, ([0.7, None, 0.1, None], [0.1, None, 0.1, None], [0.7, None, 0.7, None]), strict=True):
        for seed in (0, 1):
            file = tmp_path / "run" / "chains" / f"{arm}-{seed}" / "quick.values.json.gz"
            tried = {"trick/honest": [0.5, None, 0.6, None], "trick/padded": padded}
            write_values(file, {**read_values(file), **tried})
    study = summarise_study(config)
    found = study["tasks"]["chains"]["gaming"]["quick"]["padded"]
    assert [found[arm]["over_honest"]["value"] for arm in ARMS] == [0.5, 0.0, 1.0]
    assert found["base"]["reward"]["value"] == pytest.approx(0.4)
    page = study_html(study)
    assert "padded" in page
    assert "0.40" in page


def test_of_several_tasks_it_says_on_how_many_the_rule_is_met(tmp_path):
    study = summarise_study(made(tmp_path, (0.5, 0.1, 0.3)))
    assert len(sentences(study)) == 1
    study["tasks"]["other"] = study["tasks"]["chains"]
    study["verdict"]["other"] = {**study["verdict"]["chains"], "met": False}
    assert sentences(study)[-1] == "The rule is met on 1 of 2 tasks."


def test_one_seed_alone_decides_nothing(tmp_path):
    assert not summarise_study(made(tmp_path, (0.5, 0.1, 0.3), seeds=(0,)))["verdict"]["chains"]["met"]


def test_nothing_finished_is_no_error(tmp_path):
    study = summarise_study(load_study(written(tmp_path)))
    assert study["tasks"]["chains"] == {
        "seeds": [],
        "lengths": {"saliency": [], "length": []},
        "metrics": {},
        "gaming": {},
    }
    assert sentences(study) == ["chains: no seed is finished yet."]
    assert "no seed is finished yet" in study_html(study)
    assert "At a glance" not in study_html(study)


def test_lengths_are_those_of_the_trained_arms_for_the_seeds_that_count(tmp_path):
    config = made(tmp_path, (0.5, 0.1, 0.3), seeds=(0, 1, 2))
    for arm, lengths in {"saliency": (20.5, 21.5, 22.5), "length": (24.5, 25.5, 26.5)}.items():
        for seed, tokens in enumerate(lengths):
            (tmp_path / f"run/chains/{arm}-{seed}/length.json").write_text(json.dumps({"tokens": tokens}))
    (tmp_path / "run/chains/base-1/quick.values.json.gz").unlink()
    study = summarise_study(config)
    assert study["tasks"]["chains"]["lengths"] == {"saliency": [20.5, 22.5], "length": [24.5, 26.5]}
    assert "26.5" in study_html(study)
    assert "25.5" not in study_html(study)


def test_the_page_and_the_data_tell_the_same(tmp_path):
    study = json.loads(json.dumps(summarise_study(made(tmp_path, (0.5, 0.1, 0.3)))))
    page = study_html(study)
    assert "rule met" in page
    assert page.count('class="strip"') == 1 + len(study["rule"]["metrics"])  # accuracy too
    assert page.count('class="mark"') == len(ARMS) * (2 + len(study["rule"]["metrics"]))
    for arm, what in study["arms"].items():
        assert arm in page
        assert what in page
    assert "-40.0" in page.replace("\u2212", "-")
