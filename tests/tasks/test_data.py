"""Rows from folders and from the hub, and `load_task`."""

import json
import subprocess
import sys
import types
from pathlib import Path
from typing import Any

import pytest

from atmanrl.tasks import GSM8K, MMLU, Chains, JsonlTask, Task, load_task
from atmanrl.tasks.data import DataError, load_rows, read_jsonl


def write(path: Path, *rows: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def fake_hub(monkeypatch: pytest.MonkeyPatch, load_dataset: Any) -> None:
    monkeypatch.delenv("ATMANRL_DATA", raising=False)
    module = types.ModuleType("datasets")
    module.load_dataset = load_dataset  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "datasets", module)


def test_read_jsonl_passes_over_blank_lines_and_keeps_odd_line_ends(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes('\ufeff{"a": "x\u2028y"}\r\n\n  \n{"a": "é"}'.encode())
    assert read_jsonl(path) == [{"a": "x\u2028y"}, {"a": "é"}]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b'{"a": }', "line 3 is not JSON: Expecting value at column 7"),
        (b"[1]", "line 3 is not a JSON object but list"),
        (b'{"a": "\xff"}', "line 3 is not UTF-8: byte 8 of the line"),
        (b"[" * 200_000, "line 3 is not JSON: "),
        (b'{"a": ' + b"9" * 5_000 + b"}", "line 3 is not JSON: "),
    ],
)
def test_read_jsonl_names_file_and_line(tmp_path: Path, line: bytes, message: str) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b'{"a": 1}\n\n' + line + b"\n")
    with pytest.raises(DataError) as caught:
        read_jsonl(path)
    assert str(caught.value).startswith(f"{path} {message}")
    assert "\n" not in str(caught.value)


def test_unreadable_and_empty_files(tmp_path: Path) -> None:
    for path, message in ((tmp_path / "none.jsonl", "No such file"), (tmp_path, "Is a directory")):
        with pytest.raises(DataError, match=f"cannot read {path}: {message}"):
            read_jsonl(path)
    (tmp_path / "empty.jsonl").write_text("\n\n")
    with pytest.raises(DataError, match=r"empty\.jsonl holds no rows"):
        read_jsonl(tmp_path / "empty.jsonl")


def test_the_argument_comes_before_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "a/gsm8k/test.jsonl", {"question": "qa", "answer": "x"})
    write(tmp_path / "b/gsm8k/test.jsonl", {"question": "qb", "answer": "x"})
    monkeypatch.setenv("ATMANRL_DATA", str(tmp_path / "b"))
    assert load_rows("gsm8k", "test")[0]["question"] == "qb"
    assert load_rows("gsm8k", "test", tmp_path / "a")[0]["question"] == "qa"


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"question": "q"}, "line 2 has no field 'answer'"),
        ({"question": " ", "answer": "x"}, "line 2: field 'question' is empty"),
        ({"question": None, "answer": "x"}, "line 2: field 'question' is empty"),
    ],
)
def test_load_rows_checks_fields(tmp_path: Path, row: dict[str, Any], message: str) -> None:
    path = write(tmp_path / "gsm8k/test.jsonl", {"question": "q", "answer": "x"}, row)
    with pytest.raises(DataError) as caught:
        load_rows("gsm8k", "test", tmp_path)
    assert str(caught.value) == f"{path} {message}"


@pytest.mark.parametrize("change", [{"answer": 4}, {"answer": True}, {"answer": "E"}, {"choices": ["a", "b"]}])
def test_load_rows_checks_choices(tmp_path: Path, change: dict[str, Any]) -> None:
    path = write(tmp_path / "mmlu/dev.jsonl", {"question": "q", "choices": list("abcd"), "answer": "A", **change})
    with pytest.raises(DataError, match=f"{path} line 1: field '{next(iter(change))}' must be"):
        load_rows("mmlu", "dev", tmp_path)


def test_a_missing_file_names_the_mend(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"mmlu/auxiliary_train\.jsonl is not there: .*--data or ATMANRL_DATA"):
        load_rows("mmlu", "auxiliary_train", tmp_path)


def test_an_unknown_data_set_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no data set 'squad': choose one of gsm8k, mmlu"):
        load_rows("squad", "test", tmp_path)


def test_the_hub_is_asked_where_there_is_no_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def load_dataset(*args: str, split: str) -> list[dict[str, Any]]:
        asked.append((*args, split))
        return [{"question": "q", "subject": "", "choices": list("wxyz"), "answer": i} for i in range(4)]

    fake_hub(monkeypatch, load_dataset)
    monkeypatch.setenv("ATMANRL_DATA", "")
    assert [row["answer"] for row in load_rows("mmlu", "auxiliary_train")] == ["A", "B", "C", "D"]
    load_rows("gsm8k", "train")
    assert asked == [("cais/mmlu", "all", "auxiliary_train"), ("openai/gsm8k", "main", "train")]


def test_no_hub_is_one_line_that_names_the_mend(monkeypatch: pytest.MonkeyPatch) -> None:
    def load_dataset(*_: str, split: str) -> None:
        raise ConnectionError(f"no route to {split}\nand more")

    fake_hub(monkeypatch, load_dataset)
    with pytest.raises(DataError) as caught:
        load_rows("gsm8k", "test")
    message = str(caught.value)
    assert message.startswith("cannot load openai/gsm8k from the hub (ConnectionError: no route to test)")
    assert "--data" in message and "ATMANRL_DATA" in message and "\n" not in message


def test_load_task(tmp_path: Path) -> None:
    path = write(tmp_path / "mine.jsonl", {"question": "q", "answer": "a"})
    tasks = [
        load_task("chains", data=tmp_path),
        load_task("gsm8k", data=tmp_path, shots=2),
        load_task("mmlu"),
        load_task(path),
    ]
    assert tasks[:3] == [Chains(), GSM8K(data=str(tmp_path), shots=2), MMLU()]
    assert tasks[3] == JsonlTask(str(path)) and tasks[3].name == "mine"
    assert all(isinstance(task, Task) for task in tasks)


def test_load_task_refuses_what_it_does_not_know(tmp_path: Path) -> None:
    with pytest.raises(
        ValueError,
        match=r"^no task 'gsm9k': choose chains, chains-uneven, chains-hinted, chains-decoy, chains-mental, "
        r"gsm8k, mmlu, or the path "
        r"of a \.jsonl file$",
    ):
        load_task("gsm9k")
    with pytest.raises(ValueError, match="task gsm8k has no option 'shot': it has cue, shots"):
        load_task("gsm8k", shot=3)
    with pytest.raises(ValueError, match="task chains has no option 'path': it has cue"):
        load_task("chains", data=tmp_path, path="x")
    with pytest.raises(DataError, match=r"none\.jsonl is not a file"):
        load_task(tmp_path / "none.jsonl")


def test_tasks_import_neither_torch_nor_datasets() -> None:
    code = "import sys, atmanrl.tasks; print(sorted({'torch', 'transformers', 'datasets'} & set(sys.modules)))"
    paths = {"PYTHONPATH": ":".join(sys.path)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=paths)
    assert done.stdout.strip() == "[]"
