"""Which questions a screening leaves, and what it refuses."""

import json
from pathlib import Path

import pytest

from atmanrl.recipe import RecipeError, recipe_of
from atmanrl.screening import solved_sometimes
from atmanrl.tasks import DataError, Example

EXAMPLES = [Example(name, "1") for name in ("always", "sometimes", "never", "often", "unasked")]
ROUNDS = (("always", "often"), ("always", "sometimes", "often"), ("always",))
"""What each of three evaluations solved."""


@pytest.fixture
def files(tmp_path):
    written = []
    for number, solved in enumerate(ROUNDS):
        path = tmp_path / f"{number}.jsonl"
        rows = [{"question": e.question, "correct": e.question in solved} for e in EXAMPLES[:-1]]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        written.append(str(path))
    return written


def test_only_what_some_and_not_all_solved_is_left_in_order(files):
    assert [e.question for e in solved_sometimes(EXAMPLES, files)] == ["sometimes", "often"]
    assert [e.question for e in solved_sometimes(EXAMPLES[::-1], files)] == ["often", "sometimes"]


def test_what_all_solved_is_left_out(files):
    assert [e.question for e in solved_sometimes(EXAMPLES, files[:2])] == ["sometimes"]


def test_where_nothing_is_left_it_says_so(files):
    with pytest.raises(DataError, match="none of the 5 training questions is solved in some and not in all of"):
        solved_sometimes(EXAMPLES, [files[0], files[0]])


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"question": "q"}', "2.jsonl line 5: field 'correct' must be true or false"),
        ('{"correct": true}', "2.jsonl line 5 has no field 'question'"),
        ("[]", "2.jsonl line 5 is not a JSON object"),
    ],
)
def test_what_are_no_rows_of_an_evaluation_is_named_with_its_line(files, line, said):
    with Path(files[2]).open("a") as file:
        file.write(line + "\n")
    with pytest.raises(DataError) as error:
        solved_sometimes(EXAMPLES, files)
    assert said in str(error.value)


def test_a_file_that_is_not_there_is_named(files, tmp_path):
    with pytest.raises(DataError, match=r"cannot read .*gone"):
        solved_sometimes(EXAMPLES, [files[0], str(tmp_path / "gone.jsonl")])


def test_one_evaluation_is_too_few():
    with pytest.raises(RecipeError, match="screened_by"):
        recipe_of({"model": "tiny", "task": "chains", "output_dir": "x", "screened_by": ["one.jsonl"]}, {}, "r")
