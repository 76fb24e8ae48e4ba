"""gsm8k: splits, prompts, and that every worked solution parses back."""

import json
from pathlib import Path

import pytest

from atmanrl.tasks import GSM8K, Example
from atmanrl.tasks.data import DataError
from atmanrl.tasks.gsm8k import DEV_SIZE, INSTRUCTION


@pytest.fixture
def real(data_dir: Path) -> GSM8K:
    return GSM8K(data=str(data_dir))


@pytest.fixture
def made(tmp_path: Path) -> Path:
    folder = tmp_path / "gsm8k"
    folder.mkdir()
    for split, size in (("train", DEV_SIZE + 4), ("test", 3)):
        rows = (
            {"question": f"{split} {i}?", "answer": f"Add <<1+{i}={i + 1}>>{i + 1}.\n#### {i}"} for i in range(size)
        )
        (folder / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path


def test_splits(made: Path) -> None:
    task = GSM8K(data=str(made))
    train, dev, test = (task.examples(split) for split in ("train", "dev", "test"))
    assert [e.question for e in train] == [f"train {i}?" for i in range(4)]
    assert [e.question for e in dev] == [f"train {i}?" for i in range(4, DEV_SIZE + 4)]
    assert [e.answer for e in test] == ["0", "1", "2"]
    assert task.examples("dev", 2) == dev[:2]
    assert task.examples("dev", 0) == []
    with pytest.raises(ValueError, match="gsm8k has no split 'validation': choose one of train, dev, test"):
        task.examples("validation")


def test_a_solution_loses_its_notes_and_its_last_line(made: Path) -> None:
    example = GSM8K(data=str(made)).examples("test")[2]
    assert (example.reasoning, example.answer) == ("Add 3.", "2")


def test_a_row_without_a_result_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "gsm8k").mkdir()
    for answer in ("no result", "#### 5", "solution\n####"):
        (tmp_path / "gsm8k/test.jsonl").write_text(json.dumps({"question": "q", "answer": answer}))
        with pytest.raises(DataError, match=r"gsm8k test row 0: field 'answer' must be .*#### RESULT"):
            GSM8K(data=str(tmp_path)).examples("test")


def test_a_training_file_too_small_to_hold_dev_out(tmp_path: Path) -> None:
    (tmp_path / "gsm8k").mkdir()
    (tmp_path / "gsm8k/train.jsonl").write_text('{"question": "q", "answer": "s\\n#### 5"}\n' * DEV_SIZE)
    with pytest.raises(DataError, match="needs more than 500 rows"):
        GSM8K(data=str(tmp_path)).examples("train")


def test_prompt_without_shots_needs_no_file() -> None:
    task = GSM8K(data="no such folder")
    assert task.prompt(Example("How many?", "3")) == [{"role": "user", "content": "How many?" + INSTRUCTION}]


def test_shots_are_the_first_rows_but_never_the_question_itself(made: Path) -> None:
    task = GSM8K(data=str(made), shots=2)
    messages = task.prompt(task.examples("test")[0])
    assert [m["role"] for m in messages] == ["user", "assistant"] * 2 + ["user"]
    assert messages[1]["content"] == "Add 1.\n#### 0"
    asked = [m["content"].removesuffix(INSTRUCTION) for m in messages[::2]]
    assert asked == ["train 0?", "train 1?", "test 0?"]
    own = [m["content"].removesuffix(INSTRUCTION) for m in task.prompt(task.examples("train")[1])[::2]]
    assert own == ["train 0?", "train 2?", "train 1?"]
    with pytest.raises(ValueError, match="shots must be 0 or more, not -1"):
        GSM8K(shots=-1)


def test_parse_prefers_hashes_to_boxes() -> None:
    task = GSM8K()
    completion = "R \\boxed{3}\n#### 4 eggs\nNext: \\boxed{5}"
    parsed = task.parse(completion)
    assert parsed and completion[parsed.answer_start : parsed.answer_end] == "4"
    completion = "R\n#### Step one\nso \\boxed{3}"
    parsed = task.parse(completion)
    assert parsed and completion[parsed.answer_start : parsed.answer_end] == "3"
    assert task.parse("The result is 18.") is None


def test_check() -> None:
    task = GSM8K()
    assert task.check("$1,080.00", "1080")
    assert task.check("18 eggs.", "18")
    assert not task.check("18", "81")
    assert not task.check("", "18")


@pytest.mark.parametrize("split", ["train", "dev", "test"])
def test_every_worked_solution_parses_back(real: GSM8K, split: str) -> None:
    for example in real.examples(split):
        assert example.reasoning and "<<" not in example.reasoning and "####" not in example.reasoning
        completion = example.reasoning + real.cue + real.answer_text(example)
        parsed = real.parse(completion)
        assert parsed is not None, completion
        answer = completion[parsed.answer_start : parsed.answer_end]
        assert completion[: parsed.reasoning_end] == example.reasoning
        assert completion[parsed.reasoning_end : parsed.answer_start] == real.cue
        assert answer == example.answer
        assert real.check(answer, example.answer)
        assert not real.check(answer + "1", example.answer)


def test_real_sizes_and_disjoint_splits(real: GSM8K) -> None:
    splits = {split: {e.question for e in real.examples(split)} for split in ("train", "dev", "test")}
    assert (len(splits["train"]), len(splits["dev"])) == (6_973, 500)
    assert not splits["train"] & splits["dev"]
    assert not splits["test"] & (splits["train"] | splits["dev"])
