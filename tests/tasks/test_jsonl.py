"""A user's own file."""

from pathlib import Path

import pytest

from atmanrl.tasks import JsonlTask
from atmanrl.tasks.data import DataError


def task_of(tmp_path: Path, text: str) -> JsonlTask:
    path = tmp_path / "mine.jsonl"
    path.write_text(text, encoding="utf-8")
    return JsonlTask(str(path))


def test_rows(tmp_path: Path) -> None:
    task = task_of(
        tmp_path,
        '{"question": " Capital? ", "answer": "Paris", "reasoning": "France.", "extra": 1}\n\n'
        '{"question": "1+1?", "answer": 2, "reasoning": null}\n{"question": "0?", "answer": 0.5}\n',
    )
    examples = task.examples("train")
    assert [(e.question, e.answer, e.reasoning) for e in examples] == [
        ("Capital?", "Paris", "France."),
        ("1+1?", "2", None),
        ("0?", "0.5", None),
    ]
    assert task.examples("dev") == task.examples("test") == examples
    assert task.examples("test", 1) == examples[:1]
    with pytest.raises(ValueError, match="mine has no split 'val'"):
        task.examples("val")


def test_the_file_is_read_anew(tmp_path: Path) -> None:
    task = task_of(tmp_path, '{"question": "a", "answer": "b"}')
    assert task.examples("train")[0].question == "a"
    assert task_of(tmp_path, '{"question": "c", "answer": "d"}') == task
    assert task.examples("train")[0].question == "c"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"question": "q"}', "line 2 has no field 'answer'"),
        ('{"answer": "a"}', "line 2 has no field 'question'"),
        ('{"question": "q", "answer": "  "}', "line 2: field 'answer' is empty"),
        ('{"question": "", "answer": "a"}', "line 2: field 'question' is empty"),
        ('{"question": "q", "answer": "a", "reasoning": ""}', "line 2: field 'reasoning' is empty"),
        ('{"question": "q", "answer": true}', "line 2: field 'answer' must be text, not bool"),
        ('{"question": "q", "answer": ["a"]}', "line 2: field 'answer' must be text, not list"),
        ('{"question": 5, "answer": "a"}', "line 2: field 'question' must be text, not int"),
        ("oops", "line 2 is not JSON: Expecting value at column 1"),
    ],
)
def test_a_wrong_line_is_named(tmp_path: Path, line: str, message: str) -> None:
    task = task_of(tmp_path, '{"question": "q", "answer": "a"}\n' + line)
    with pytest.raises(DataError) as caught:
        task.examples("train", 1)
    assert str(caught.value) == f"{task.path} {message}"


def test_a_missing_file_is_found_at_once(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none\.jsonl is not a file: give a JSON Lines file"):
        JsonlTask(str(tmp_path / "none.jsonl"))


@pytest.mark.parametrize(
    ("completion", "parts"),
    [
        ("France.\n#### Paris.", ("France.", "Paris")),
        ("R \\boxed{Rome}\n#### Paris", ("R \\boxed{Rome}", "Paris")),
        ("R. The answer is Rome. So \\boxed{Paris}", ("R. The answer is Rome. So", "Paris")),
        ("R. The answer is Paris.", ("R.", "Paris")),
        ("<think>R</think>Paris", ("<think>R", "Paris")),
        ("Paris", None),
    ],
)
def test_parse(tmp_path: Path, completion: str, parts: tuple[str, str] | None) -> None:
    parsed = task_of(tmp_path, "{}").parse(completion)
    found = parsed and (completion[: parsed.reasoning_end], completion[parsed.answer_start : parsed.answer_end])
    assert found == parts


def test_check(tmp_path: Path) -> None:
    task = task_of(tmp_path, "{}")
    assert task.check("1,000.0", "1000")
    assert task.check("**New  york.**", "New York")
    assert task.check("Apollo 11", "apollo 11")
    assert task.check("STRASSE", "Straße")
    assert not task.check("Apollo 11", "11")
    assert not task.check("Gemini 11", "Apollo 11")
    assert not task.check("5", "6")
    assert not task.check("Paris, France", "Paris")
