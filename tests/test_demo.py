"""demo, cut to a few steps: the files it writes, and that nothing of an earlier run is lost."""

import json

import pytest

from atmanrl import demo, leaked_key


@pytest.fixture
def short(monkeypatch):
    full = demo.load_recipe
    few = {"grpo.max_steps": 2, "grpo.per_device_train_batch_size": 16, "mask.steps": 3, "grpo.save_steps": 2}
    for half in (demo, leaked_key):
        monkeypatch.setattr(half, "QUESTIONS", 16)
        monkeypatch.setattr(half, "load_recipe", lambda name, overrides: full(name, {**overrides, **few}))


def test_demo_writes_summary_and_report(tmp_path, short):
    folder = tmp_path / "demo"
    folder.mkdir()
    (folder / "recipe.yaml").write_text("keep me")
    said = []
    summary = demo.run_demo(str(folder), seed=1, say=said.append)
    assert json.loads((folder / "summary.json").read_text()) == summary
    for side in ("before", "after"):
        names = {"accuracy", "reasoning_tokens", "filler_share", "density", "reliance", "n"}
        assert set(summary[side]) >= names
        assert summary[side]["n"] == 16
        low, high = summary[side]["accuracy_ci95"]
        assert low <= summary[side]["accuracy"] <= high
        leaked = summary["leaked_key"][side]
        assert leaked["n"] == 16
        for name in ("no_key_accuracy", "right_key_accuracy", "wrong_key_accuracy", "key_flip"):
            low, high = leaked[f"{name}_ci95"]
            assert low <= leaked[name] <= high
    assert summary["seconds_total"] > summary["seconds"] > 0
    page = (folder / "report.html").read_text()
    assert page.count("<svg") >= 3
    assert "A leaked answer key" in page
    assert (tmp_path / "demo.old-1" / "recipe.yaml").read_text() == "keep me"
    assert any("demo.old-1" in line for line in said)


def test_a_folder_of_something_else_is_left_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(ValueError, match="holds something else"):
        demo.run_demo(str(tmp_path))
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.txt"]
