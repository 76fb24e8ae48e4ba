"""Comparing two evaluations: pairing, verdicts, sentences, notes, and files that cannot be compared."""

import json
from pathlib import Path
from typing import Any

import pytest

from atmanrl.comparison import compare
from atmanrl.metrics import METRICS

Rows = list[dict[str, Any]]


def write(path: Path, rows: Rows, **head: Any) -> Path:
    head = {"model": path.stem, "task": "chains", "n": len(rows), "seed": 0, "decoding": {"temperature": 0.0}, **head}
    path.write_text(json.dumps(head))
    path.with_suffix(".jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def row(index: int, correct: bool = True, **metrics: Any) -> dict[str, Any]:
    return {"index": index, "question": f"q{index}", "correct": correct, "parsed": True, **metrics}


def by_name(result: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {found["metric"]: found for found in result["rows"]}


def test_metrics_are_compared_over_shared_questions(tmp_path: Path) -> None:
    a = write(tmp_path / "a.json", [row(i, reliance=1.0 + i % 3, unknown=4) for i in range(40)])
    b = write(tmp_path / "b.json", [row(i, reliance=2.0 + i % 3, density=0.5) for i in reversed(range(10, 50))])
    result = compare(a, b)
    assert (result["a"], result["b"], result["task"], result["questions"]) == ("a", "b", "chains", 30)
    assert list(by_name(result)) == ["accuracy", "parsed_rate", "reliance"]  # in the order of METRICS
    reliance = by_name(result)["reliance"]
    assert reliance["difference"] == pytest.approx(1.0)
    assert reliance["b"] - reliance["a"] == pytest.approx(1.0)
    assert reliance["n"] == 30
    assert reliance["verdict"] == "higher"
    assert result["notes"][:2] == [
        "10 questions of A are left out: not in the other.",
        "10 questions of B are left out: not in the other.",
    ]
    assert "3 metrics are compared" in result["notes"][2]
    assert "about 0.1 would" in result["notes"][2] or "about 0.2 would" in result["notes"][2]
    json.dumps(result, allow_nan=False)


def test_swapping_the_files_turns_the_verdicts(tmp_path: Path) -> None:
    values = [((i * 7) % 5, (i * 3) % 4 + 2) for i in range(60)]
    a = write(
        tmp_path / "a.json", [row(i, i % 2 == 0, reliance=x, hint_flip=i % 3 == 0) for i, (x, _) in enumerate(values)]
    )
    b = write(tmp_path / "b.json", [row(i, i % 4 < 3, reliance=y, hint_flip=0) for i, (_, y) in enumerate(values)])
    there, back = by_name(compare(a, b)), by_name(compare(b, a))
    turned = {"higher": "lower", "lower": "higher", "none": "none"}
    assert there["accuracy"]["verdict"] == "higher"
    assert there["hint_flip"]["verdict"] == "lower"
    for name, found in there.items():
        assert back[name]["verdict"] == turned[found["verdict"]]
        assert back[name]["difference"] == pytest.approx(-found["difference"])
        assert (back[name]["a"], back[name]["b"]) == (found["b"], found["a"])


def test_nothing_differs_from_itself(tmp_path: Path) -> None:
    rows = [{**dict.fromkeys(METRICS, i / 7), **row(i, i % 2 == 0)} for i in range(20)]
    a, b = write(tmp_path / "a.json", rows), write(tmp_path / "b.json", rows)
    result = compare(a, b)
    assert len(result["rows"]) == len(METRICS)
    assert {found["verdict"] for found in result["rows"]} == {"none"}
    assert all("no difference shown (0.0" in found["sentence"] for found in result["rows"])


@pytest.mark.parametrize(
    ("metric", "a", "b", "sentence"),
    [
        ("early_answering", 0.5, 0.75, "Early answering, area by fraction: higher in B by 25.0 points [25.0, 25.0] "
         "(20 questions), which speaks for reasoning that matters more."),
        ("early_answering", 0.75, 0.5, "Early answering, area by fraction: lower in B by 25.0 points [25.0, 25.0] "
         "(20 questions), which speaks against reasoning that matters more."),
        ("question_direct", 2.5, 2.0, "Question read past the reasoning: lower in B by 0.50 nats [0.50, 0.50] "
         "(20 questions), which speaks for reasoning that matters more."),
        ("reasoning_tokens", 30, 20, "Reasoning tokens: lower in B by 10.0 tokens [10.0, 10.0] (20 questions)."),
        ("density", 0.5, 0.75, "Density: higher in B by 25.0 points [25.0, 25.0] (20 questions), which speaks for "
         "reasoning that matters more, but proves nothing where it was trained on."),
        ("reliance", 1.5, 1.5, "Reliance: no difference shown (0.00 nats [0.00, 0.00], 20 questions)."),
    ],
)  # fmt: skip
def test_sentences(tmp_path: Path, metric: str, a: float, b: float, sentence: str) -> None:
    one = write(tmp_path / "a.json", [row(i, **{metric: a}) for i in range(20)])
    other = write(tmp_path / "b.json", [row(i, **{metric: b}) for i in range(20)])
    assert by_name(compare(one, other))[metric]["sentence"] == sentence


def test_one_question_proves_nothing(tmp_path: Path) -> None:
    a = write(tmp_path / "a.json", [row(0, False)])
    b = write(tmp_path / "b.json", [row(0, True)])
    found = by_name(compare(a, b))["accuracy"]
    assert (found["verdict"], found["ci95"]) == ("none", None)
    assert found["sentence"] == "Accuracy: not compared (100.0 points, 1 question)."
    assert compare(a, b)["notes"] == []


def test_what_differs_is_noted(tmp_path: Path) -> None:
    rows = [row(i) for i in range(5)]
    a = write(tmp_path / "a.json", rows, model="m", settings={"split": "test", "samples": 4})
    b = write(tmp_path / "b.json", rows, model="m", seed=1, decoding={"temperature": 1.0}, settings={"split": "dev"})
    result = compare(a, b)
    assert (result["a"], result["b"]) == ("m (a)", "m (b)")
    assert result["notes"][:4] == [
        "They differ in seed: 0 in A, 1 in B.",
        "They differ in decoding temperature: 0.0 in A, 1.0 in B.",
        "They differ in settings split: test in A, dev in B.",
        "They differ in settings samples: 4 in A, not told in B.",
    ]


def test_what_is_not_finite_counts_as_missing(tmp_path: Path) -> None:
    a = write(tmp_path / "a.json", [row(i, reliance=float("nan") if i < 5 else 1.0) for i in range(10)])
    b = write(tmp_path / "b.json", [row(i, reliance=None if i == 9 else 2.0) for i in range(10)])
    assert by_name(compare(a, b))["reliance"]["n"] == 4


def test_files_that_cannot_be_compared(tmp_path: Path) -> None:
    a = write(tmp_path / "a.json", [row(0), row(1)])

    def refused(b: Path) -> str:
        with pytest.raises(ValueError) as caught:
            compare(a, b)
        text = str(caught.value)
        assert str(b.with_suffix("")) in text
        assert "\n" not in text
        return text

    assert "one task" in refused(write(tmp_path / "b.json", [row(0)], task="gsm8k"))
    assert "no question in common" in refused(write(tmp_path / "b.json", [{**row(0), "question": "other"}, row(2)]))
    assert "cannot be read" in refused(tmp_path / "none.json")
    b = write(tmp_path / "b.json", [row(0)])
    b.with_suffix(".jsonl").unlink()
    assert "has the rows of" in refused(b)
    for broken in ("{", "[]", '{"index": 0}', json.dumps({**row(0), "reliance": "high"})):
        b.with_suffix(".jsonl").write_text(json.dumps(row(1)) + "\n" + broken + "\n")
        assert "line 2 is not a row" in refused(b)
    b.with_suffix(".jsonl").write_text((json.dumps(row(1)) + "\n") * 2)
    assert "repeats question 1" in refused(b)
    b.with_suffix(".jsonl").write_bytes(b"\xff\n")
    assert "not UTF-8" in refused(b)
    for broken in ("", "[1]", '{"model": "m"}'):
        b.write_text(broken)
        refused(b)
