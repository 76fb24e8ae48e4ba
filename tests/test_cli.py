"""The command line as a user meets it: results, and one line for what goes wrong."""

import json
import os
import sys
from pathlib import Path

import pytest

from atmanrl.cli import main

STORY = "Sam has 10 coins. Sam gets 5 more. The pile grows 2 times. How many coins after each step?"
EVALUATE = ["evaluate", "--model", "tiny", "--task", "chains", "--limit", "4", "--device", "cpu", "--json"]
EXPLAIN_TINY = ["explain", "--model", "tiny", "--task", "chains", "--device", "cpu"]


def failing(capsys, arguments, status=2):
    """The one line on stderr of a command that must fail."""
    try:
        code = main(arguments)
    except SystemExit as exit_:
        code = exit_.code
    error = capsys.readouterr().err
    assert code == status, error
    assert error.count("\n") == 1, error
    assert "Traceback" not in error
    return error


@pytest.mark.parametrize("reasoning_from", ["model", "reference"])
def test_explain_writes_the_documented_object(tmp_path, capsys, reasoning_from):
    json_file, html_file = tmp_path / "deep" / "e.json", tmp_path / "e.html"
    arguments = ["--index", "3", "--reasoning-from", reasoning_from, "--json", str(json_file), "--html", str(html_file)]
    assert main([*EXPLAIN_TINY, *arguments]) == 0
    data = json.loads(json_file.read_text())
    documented = "model question reasoning answer answer_logprob reliance density bypass scope steps seconds"
    assert set(data) >= set(documented.split())
    assert set(data["answer_logprob"]) == {"open", "closed", "learned"}
    assert all(set(t) == {"token", "saliency", "salient"} for t in data["reasoning"])
    logprob = data["answer_logprob"]
    assert data["reliance"] == pytest.approx(logprob["open"] - logprob["closed"])
    assert data["density"] == pytest.approx(sum(t["salient"] for t in data["reasoning"]) / len(data["reasoning"]))
    assert 0 <= data["bypass"]["value"] < 1
    assert " ".join(s["text"] for s in data["bypass"]["sentences"]) == data["question"]
    from atmanrl.tasks import Chains

    example = Chains().examples("test", 4)[3]
    assert data["question"] == example.question
    if reasoning_from == "reference":
        assert "".join(t["token"] for t in data["reasoning"]) == example.reasoning
        assert data["answer"].strip() == example.answer
    verdict = None if reasoning_from == "reference" else data["answer"].strip() == example.answer
    assert (data["correct"], data["truth"]) == (verdict, example.answer)
    assert "<html" in html_file.read_text()
    assert "reliance" in capsys.readouterr().out.lower()


def test_explain_a_question_of_ones_own(tmp_path):
    out = tmp_path / "e.json"
    own = ["--question", STORY, "--reasoning", " 10 + 5 = 15. 15 * 2 = 30."]
    assert main([*EXPLAIN_TINY, *own, "--json", str(out)]) == 0
    data = json.loads(out.read_text())
    assert data["answer"] == " 15 30"  # the model's own
    assert main([*EXPLAIN_TINY, *own, "--answer", "15 30", "--mask.scope", "answer", "--json", str(out)]) == 0
    assert json.loads(out.read_text())["scope"] == "answer"
    assert main([*EXPLAIN_TINY, "--question", STORY, "--json", str(out)]) == 0
    assert json.loads(out.read_text())["answer"] == " 15 30"
    assert main([*EXPLAIN_TINY, "--question", STORY, "--answer", "16 31", "--json", str(out)]) == 0
    other = json.loads(out.read_text())
    assert other["answer"] == " 16 31"
    assert other["answer_logprob"]["open"] < -1  # the model would not have said it


def test_explain_forces_the_cue_where_the_model_does_not_come_to_an_answer(tmp_path):
    out = tmp_path / "e.json"
    assert main([*EXPLAIN_TINY, "--index", "3", "--max-new-tokens", "8", "--json", str(out)]) == 0
    data = json.loads(out.read_text())
    assert len(data["reasoning"]) <= 8
    assert data["cue"] == " The answer is"


def test_question_alone_uses_gsm8ks_prompt(tmp_path):
    out = tmp_path / "e.json"
    arguments = ["--question", "What is 2 + 2?", "--reasoning", "2 + 2 = 4", "--answer", "4"]
    assert main(["explain", "--model", "tiny", "--device", "cpu", *arguments, "--json", str(out)]) == 0
    assert json.loads(out.read_text())["cue"] == "\n#### "


def test_evaluate_writes_metrics_and_rows(tmp_path):
    out = tmp_path / "r.json"
    arguments = ["evaluate", "--model", "tiny", "--task", "chains", "--limit", "12", "--json", str(out)]
    assert main([*arguments, "--device", "cpu", "--seed", "4"]) == 0
    data = json.loads(out.read_text())
    assert (data["n"], data["seed"], data["model"], data["task"]) == (12, 4, "tiny", "chains")
    assert data["decoding"]["temperature"] == 1.0
    assert set(data["metrics"]) >= {
        "accuracy",
        "reasoning_tokens",
        "density",
        "reliance",
        "number_share",
        "filler_share",
    }
    rows = [json.loads(line) for line in (tmp_path / "r.jsonl").read_text().splitlines()]
    assert [row["index"] for row in rows] == list(range(12))
    assert sum(row["correct"] for row in rows) / 12 == pytest.approx(data["accuracy"])


def test_a_jsonl_file_is_a_task(tmp_path):
    rows = tmp_path / "mine.jsonl"
    rows.write_text('{"question": "What is 1 + 1?", "answer": "2", "reasoning": "1 + 1 = 2"}\n')
    out = tmp_path / "e.json"
    arguments = ["--task", str(rows), "--index", "0", "--reasoning-from", "reference", "--json", str(out)]
    assert main(["explain", "--model", "tiny", "--device", "cpu", *arguments]) == 0
    assert json.loads(out.read_text())["answer"].strip() == "2"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "COMMAND"),
        (["explian"], "explian"),
        (["explain"], "--model"),
        ([*EXPLAIN_TINY, "--index", "99999"], "out of range"),
        ([*EXPLAIN_TINY, "--index", "-1"], "out of range"),
        ([*EXPLAIN_TINY, "--index", "x"], "--index"),
        ([*EXPLAIN_TINY], "--question"),
        ([*EXPLAIN_TINY, "--question", "  "], "--question is empty"),
        ([*EXPLAIN_TINY, "--question", "Q", "--reasoning", ""], "--reasoning is empty"),
        ([*EXPLAIN_TINY, "--question", "Q", "--answer", ""], "--answer is empty"),
        ([*EXPLAIN_TINY, "--question", "Q", "--reasoning-from", "reference"], "--reasoning"),
        ([*EXPLAIN_TINY, "--index", "0", "--split", "nope"], "no split 'nope'"),
        ([*EXPLAIN_TINY, "--index", "0", "--mask.steps", "none"], "--mask.steps"),
        ([*EXPLAIN_TINY, "--index", "0", "--msk.steps", "3"], "--msk.steps"),
        ([*EXPLAIN_TINY, "--index", "0", "--wordless"], "--wordless needs a value"),
        ([*EXPLAIN_TINY, "--index", "0", "--json", "."], "is a folder"),
        ([*EXPLAIN_TINY, "--index", "0", "--dtype", "float99"], "float99"),
        (["explain", "--model", "no-such", "--task", "chains", "--index", "0"], "no-such"),
        (["explain", "--model", "tiny", "--task", "chess", "--index", "0"], "no task 'chess'"),
        (["explain", "--model", "tiny", "--task", "missing.jsonl", "--index", "0"], "missing.jsonl"),
        (["evaluate", "--model", "tiny", "--task", "chains", "--limit", "0"], "--limit"),
        (["evaluate", "--model", "tiny", "--task", "chains", "--temperature", "-1"], "--temperature"),
        (["evaluate", "--model", "tiny", "--task", "chains", "--json", "rows.jsonl"], "rows.jsonl"),
        (["train", "no-such-recipe"], "no-such-recipe"),
        (["train", "tiny-chains", "--grpo.max_stepz", "3"], "max_stepz"),
        (["train", "--grpo.max_steps", "abc", "tiny-chains", "--output-dir", "{tmp}/d"], "grpo"),
        (["train", "tiny-chains", "--lora.r", "abc", "--output-dir", "{tmp}/e"], "lora"),
        (["train", "tiny-chains", "--task_options.shots", "3", "--output-dir", "{tmp}/a"], "shots"),
        (["train", "tiny-chains", "--resume", "--output-dir", "{tmp}/b"], "nothing to resume"),
        (["train", "tiny-chains", "--grpo.num_generations", "7", "--output-dir", "{tmp}/c"], "num_generations"),
    ],
)
def test_what_the_user_got_wrong_is_one_line(capsys, arguments, said, tmp_path):
    assert said in failing(capsys, [a.replace("{tmp}", str(tmp_path)) for a in arguments])


def test_a_question_for_mmlu_holds_its_own_choices(tmp_path):
    out = tmp_path / "e.json"
    own = [
        "--question",
        "Which is a noble gas? A. Iron B. Neon",
        "--reasoning",
        "Neon is a noble gas.",
        "--answer",
        "B",
    ]
    assert main(["explain", "--model", "tiny", "--device", "cpu", "--task", "mmlu", *own, "--json", str(out)]) == 0
    assert json.loads(out.read_text())["answer"] == "B"


def test_broken_jsonl_names_file_and_line(tmp_path, capsys):
    rows = tmp_path / "mine.jsonl"
    rows.write_text('{"question": "Q", "answer": "1"}\n{"question": \n')
    error = failing(capsys, ["explain", "--model", "tiny", "--task", str(rows), "--index", "0"])
    assert "mine.jsonl" in error
    assert "line 2" in error


def test_results_never_write_over_the_questions(tmp_path, capsys):
    rows = tmp_path / "mine.jsonl"
    rows.write_text('{"question": "Q", "answer": "1"}\n')
    arguments = ["evaluate", "--model", "tiny", "--task", str(rows), "--json", str(tmp_path / "mine.json")]
    assert "would write over the questions" in failing(capsys, arguments)
    assert rows.read_text() == '{"question": "Q", "answer": "1"}\n'


def test_a_trace_longer_than_the_context(capsys):
    arguments = ["--question", "Q", "--reasoning", " coins" * 600, "--answer", "1"]
    assert "context of 512" in failing(capsys, [*EXPLAIN_TINY, *arguments])


def test_a_folder_that_holds_a_run_is_left_alone(tmp_path, capsys):
    (tmp_path / "recipe.yaml").write_text("mine")
    assert "holds a run already" in failing(capsys, ["train", "tiny-chains", "--output-dir", str(tmp_path)])
    assert [p.name for p in tmp_path.iterdir()] == ["recipe.yaml"]
    assert (tmp_path / "recipe.yaml").read_text() == "mine"


def test_output_that_cannot_be_written_is_refused_before_the_work(tmp_path, capsys):
    (tmp_path / "file").write_text("mine")
    arguments = [*EXPLAIN_TINY, "--index", "0", "--json", str(tmp_path / "file" / "e.json")]
    assert "cannot write" in failing(capsys, arguments)
    assert (tmp_path / "file").read_text() == "mine"


def test_a_full_disk_is_one_line_and_leaves_no_half_file(tmp_path, capsys, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    out = tmp_path / "e.json"
    out.write_text("old")
    assert "No space left" in failing(capsys, [*EXPLAIN_TINY, "--index", "0", "--json", str(out)])
    assert out.read_text() == "old"
    assert list(tmp_path.iterdir()) == [out]


def test_our_own_fault_is_status_1(capsys, monkeypatch):
    from atmanrl import explanation

    def broken(*_, **__):
        raise KeyError("ours")

    monkeypatch.setattr(explanation, "explain", broken)
    assert "internal error: KeyError" in failing(capsys, [*EXPLAIN_TINY, "--index", "0"], status=1)


def test_the_command_is_installed():
    assert (Path(sys.executable).parent / "atmanrl").exists()


@pytest.mark.slow
def test_explain_gsm8k_with_smollm2(tmp_path, data_dir, smollm2):
    out = tmp_path / "e.json"
    arguments = [
        "explain",
        "--model",
        "smollm2",
        "--task",
        "gsm8k",
        "--split",
        "dev",
        "--index",
        "0",
        "--device",
        "cpu",
    ]
    assert main([*arguments, "--reasoning-from", "reference", "--data", str(data_dir), "--json", str(out)]) == 0
    data = json.loads(out.read_text())
    from atmanrl.tasks import GSM8K

    example = GSM8K(data=str(data_dir)).examples("dev", 1)[0]
    assert "".join(t["token"] for t in data["reasoning"]) == example.reasoning
    assert data["reliance"] > 0.5
    best = sorted(range(len(data["reasoning"])), key=lambda i: -data["reasoning"][i]["saliency"])[:5]
    assert any(data["reasoning"][i]["token"].strip() in example.answer for i in best)


@pytest.mark.parametrize("method", ["attention", "occlusion", "atman"])
def test_explain_by_another_method(tmp_path, capsys, method):
    out = tmp_path / "e.json"
    reasoning = " 10 + 5 = 15. This is a nice story. 15 * 2 = 30."
    own = ["--question", STORY, "--reasoning", reasoning, "--answer", "15 30", "--method", method]
    assert main([*EXPLAIN_TINY, *own, "--json", str(out), "--html", str(tmp_path / "e.html")]) == 0
    data = json.loads(out.read_text())
    assert data["method"] == method
    assert max(t["saliency"] for t in data["reasoning"]) == 1.0
    assert min(t["saliency"] for t in data["reasoning"]) >= 0.0
    assert data["density"] is None
    assert data["answer_logprob"]["learned"] is None
    assert data["reliance"] == pytest.approx(data["answer_logprob"]["open"] - data["answer_logprob"]["closed"])
    assert method in capsys.readouterr().out
    assert method in (tmp_path / "e.html").read_text()


def evaluated(path, *more):
    return main([*EVALUATE, str(path), *more])


def test_evaluate_compare_report(tmp_path, capsys):
    """The way of a whole comparison, as a user goes it."""
    before, after = tmp_path / "before.json", tmp_path / "after.json"
    assert evaluated(before) == 0
    assert evaluated(after, "--seed", "1", "--reader", "tiny") == 0
    assert json.loads(after.read_text())["settings"]["reader"] == "tiny"
    assert not list(tmp_path.glob("*.part.jsonl"))
    capsys.readouterr()
    assert main(["compare", str(before), str(after), "--json", str(tmp_path / "d.json")]) == 0
    said = capsys.readouterr().out
    assert "Early answering" in said
    assert "4 questions" in said
    differences = json.loads((tmp_path / "d.json").read_text())
    assert {row["metric"] for row in differences["rows"]} >= {"accuracy", "early_answering", "hint_flip"}
    page = tmp_path / "page.html"
    assert main(["report", str(before), str(after), "--output", str(page)]) == 0
    assert "Early answering" in page.read_text()
    assert "<script" in page.read_text()


def test_evaluate_goes_on_after_a_stop(tmp_path, capsys, monkeypatch):
    from atmanrl import faithfulness

    out = tmp_path / "r.json"

    def stop(_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setitem(faithfulness.MEASURES, "hints", stop)
        assert evaluated(out) == 130
    said = capsys.readouterr().err
    assert "r.part.jsonl; the same command goes on from there" in said
    assert not out.exists()
    assert "seed" in failing(capsys, [*EVALUATE, str(out), "--seed", "5"])
    monkeypatch.setitem(faithfulness.MEASURES, "early_answering", stop)  # done before: not run again
    assert evaluated(out) == 0
    assert "going on with" in capsys.readouterr().out
    assert "early_answering" in json.loads(out.read_text())["metrics"]
    assert not list(tmp_path.glob("*.part.jsonl"))


def test_evaluate_some_measures_only(tmp_path):
    out = tmp_path / "r.json"
    assert evaluated(out, "--measures", "composition,filler_tokens") == 0
    metrics = json.loads(out.read_text())["metrics"]
    assert {"filler_tokens_agreement", "reasoning_tokens"} <= set(metrics)
    assert not {"early_answering", "reliance"} & set(metrics)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([*EXPLAIN_TINY, "--index", "0", "--method", "lime"], "no 'lime'; choose mask, attention"),
        (["evaluate", "--model", "tiny", "--task", "chains", "--measures", "x,y"], "--measures: no 'x'; choose from"),
        (["compare", "none.json", "none.json"], "none.json"),
        (["report", "none.json"], "none.json"),
        (["compare", "a.json"], "B.json"),
        (["report"], "RUN"),
    ],
)
def test_wrong_uses_of_evaluations_are_one_line(capsys, arguments, said):
    assert said in failing(capsys, arguments)


def test_a_report_never_writes_over_results(tmp_path, capsys):
    file = tmp_path / "a.json"
    file.write_text("{}")
    assert "is a page" in failing(capsys, ["report", str(file), "--output", str(file)])
    assert file.read_text() == "{}"


def test_study_runs_in_parts_and_reports(tmp_path, capsys):
    from test_study import written

    recipe = written(tmp_path)
    assert main(["study", recipe, "--minutes", "0"]) == 130
    assert "not finished; the same command goes on" in capsys.readouterr().out
    assert "no seed is finished yet" in (tmp_path / "run" / "report.html").read_text()
    assert main(["study", recipe]) == 0
    said = capsys.readouterr().out
    assert "not finished" not in said
    assert "chains: rule" in said
    data = json.loads((tmp_path / "run" / "study.json").read_text())
    assert data["tasks"]["chains"]["seeds"] == [0]
    assert set(data["tasks"]["chains"]["metrics"]["quick/accuracy"]) == {"base", "saliency", "length"}


def test_a_recipe_that_is_no_study_is_one_line(capsys):
    assert main(["study", "tiny-chains"]) == 2
    assert "tiny-chains.yaml is not a study: it has no 'arms'" in capsys.readouterr().err
