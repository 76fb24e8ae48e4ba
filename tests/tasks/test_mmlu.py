"""mmlu: splits and subjects, prompts, letters."""

import json
from pathlib import Path
from typing import Any

import pytest

from atmanrl.tasks import MMLU, Example
from atmanrl.tasks.data import DataError
from atmanrl.tasks.mmlu import SUBJECTS


@pytest.fixture
def real(data_dir: Path) -> MMLU:
    return MMLU(data=str(data_dir))


def write(folder: Path, split: str, *rows: dict[str, Any]) -> str:
    (folder / "mmlu").mkdir(exist_ok=True)
    base = {"question": " Which?", "choices": ["w", "x", "y", "z"], "answer": "C"}
    (folder / f"mmlu/{split}.jsonl").write_text("".join(json.dumps(base | row) + "\n" for row in rows))
    return str(folder)


def test_splits_come_from_the_files_they_should(tmp_path: Path) -> None:
    for split in ("auxiliary_train", "dev", "test"):
        folder = write(tmp_path, split, {"question": split}, {"question": "more", "answer": 0})
    task = MMLU(data=folder)
    assert task.examples("train", 1)[0].question == "auxiliary_train"
    assert [e.answer for e in task.examples("dev")] == ["C", "A"]
    assert task.examples("test")[0].question == "test"
    with pytest.raises(ValueError, match="mmlu has no split 'auxiliary_train': choose one of train, dev, test"):
        task.examples("auxiliary_train")


def test_a_folder_without_training_rows(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"auxiliary_train\.jsonl is not there"):
        MMLU(data=write(tmp_path, "dev", {})).examples("train")


def test_subjects_select(tmp_path: Path) -> None:
    subjects = ("virology", "anatomy", "virology", "nutrition")
    folder = write(tmp_path, "dev", *({"question": f"q{i}", "subject": s} for i, s in enumerate(subjects)))
    task = MMLU(data=folder, subjects=("virology", "nutrition"))
    assert [e.question for e in task.examples("dev")] == ["q0", "q2", "q3"]
    assert [e.question for e in task.examples("dev", 2)] == ["q0", "q2"]
    assert len(MMLU(data=folder).examples("dev")) == 4
    with pytest.raises(DataError, match="hold no question of marketing"):
        MMLU(data=folder, subjects=("marketing",)).examples("dev")


def test_subjects_of_rows_that_name_none(tmp_path: Path) -> None:
    folder = write(tmp_path, "auxiliary_train", {"subject": ""}, {})
    with pytest.raises(DataError, match=r"train rows \(auxiliary_train\) name no subjects: leave 'subjects' out"):
        MMLU(data=folder, subjects=("virology",)).examples("train")
    assert len(MMLU(data=folder).examples("train")) == 2


def test_an_unknown_subject_gets_close_matches() -> None:
    with pytest.raises(ValueError, match="mmlu has no subject 'anatomi': did you mean anatomy"):
        MMLU(subjects=("virology", "anatomi"))
    with pytest.raises(ValueError, match="mmlu has no subject '???': they are abstract_algebra, ".replace("?", r"\?")):
        MMLU(subjects=("???",))
    assert MMLU(subjects="anatomy").subjects == ("anatomy",)  # type: ignore[arg-type]


def test_prompt(tmp_path: Path) -> None:
    task = MMLU(data=write(tmp_path, "dev", {"choices": ["1", "2", 3, "4"], "subject": "anatomy"}))
    example = task.examples("dev")[0]
    assert example.fields == {"choices": ("1", "2", "3", "4"), "subject": "anatomy"}
    (message,) = task.prompt(example)
    assert message["role"] == "user"
    assert message["content"].startswith("Which?\n\nA. 1\nB. 2\nC. 3\nD. 4\n\n")
    assert "The answer is X." in message["content"]
    assert "anatomy" not in message["content"]


@pytest.mark.parametrize(
    ("completion", "answer"),
    [
        ("R.\nThe answer is B.", "B"),
        ("R. The answer is (B) Paris", "B"),
        ("R. answer: B", "B"),
        ("R. So the answer is \\boxed{\\text{C}}.", "C"),
        ("R \\boxed{A}. The answer is D", "D"),
        ("R \\boxed{(C) Paris}", "(C) Paris"),
        ("R \\boxed{18}", None),
        ("B", None),
    ],
)
def test_parse(completion: str, answer: str | None) -> None:
    parsed = MMLU().parse(completion)
    assert (completion[parsed.answer_start : parsed.answer_end] if parsed else None) == answer


@pytest.mark.parametrize("answer", ["B", "b", "(B)", "B.", " B ", "**B**", "B) Paris", "(b) Paris", '"B"'])
def test_check_is_tolerant(answer: str) -> None:
    assert MMLU().check(answer, "B")
    assert not MMLU().check(answer, "A")


@pytest.mark.parametrize("answer", ["", "E", "AB", "Both", "b or c", "18", "bee"])
def test_check_takes_nothing_else(answer: str) -> None:
    assert not any(MMLU().check(answer, letter) for letter in "ABCD")


def test_the_cue_and_answer_parse_back() -> None:
    task = MMLU()
    completion = "It is.\nSo." + task.cue + task.answer_text(Example("q", "D"))
    parsed = task.parse(completion)
    assert parsed is not None
    assert completion[: parsed.reasoning_end] == "It is.\nSo."
    assert completion[parsed.reasoning_end : parsed.answer_start] == task.cue
    assert completion[parsed.answer_start : parsed.answer_end] == "D"


def test_real_rows(real: MMLU) -> None:
    dev = real.examples("dev")
    assert {e.fields["subject"] for e in dev} == set(SUBJECTS)
    assert len(SUBJECTS) == 57 and len(dev) == 285
    for example in dev + real.examples("test"):
        assert example.question and len(example.fields["choices"]) == 4 and example.answer in "ABCD"
        assert real.prompt(example)[0]["content"].count("\nD. ") >= 1
    chosen = MMLU(data=real.data, subjects=("virology",)).examples("dev")
    assert len(chosen) == 5 and {e.fields["subject"] for e in chosen} == {"virology"}


@pytest.mark.parametrize("written", ["B", "(B)", "b", "b)", "B.", "B) Paris"])
def test_an_answer_is_the_same_as_itself_in_any_form(written):
    from atmanrl.forcing import same_answer

    for other in ("B", "(b)", written):
        assert same_answer(MMLU(), written, other)
    assert not same_answer(MMLU(), written, "C")
