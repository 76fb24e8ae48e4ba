"""The journal: what was finished is taken up again, what was cut short is not, other work is refused."""

import pytest

from atmanrl.journal import Journal, JournalError


def test_parts_come_back(tmp_path):
    path = tmp_path / "a" / "j.jsonl"
    journal = Journal(path, {"seed": 1, "pair": (1, 2)})
    journal.add("x 0", [1.5, None, "\u2028"])
    journal.add("y 0", {"1": 2})
    again = Journal(path, {"seed": 1, "pair": (1, 2)})
    assert "x 0" in again
    assert "z" not in again
    assert again["x 0"] == [1.5, None, "\u2028"]
    assert again["y 0"] == {"1": 2}


@pytest.mark.parametrize("cut", [1, 5, 12])
def test_a_line_cut_short_is_done_anew(tmp_path, cut):
    path = tmp_path / "j.jsonl"
    journal = Journal(path, {"seed": 1})
    journal.add("first", 1)
    journal.add("second", 2)
    path.write_bytes(path.read_bytes()[:-cut])
    again = Journal(path, {"seed": 1})
    assert again.parts == {"first": 1}
    again.add("second", 3)
    assert Journal(path, {"seed": 1}).parts == {"first": 1, "second": 3}


def test_a_kill_before_the_first_line_is_whole(tmp_path):
    path = tmp_path / "j.jsonl"
    path.write_text('{"settings": {"se')
    Journal(path, {"seed": 1}).add("first", 1)
    assert Journal(path, {"seed": 1}).parts == {"first": 1}


def test_other_work_is_refused_and_left_alone(tmp_path):
    path = tmp_path / "j.jsonl"
    Journal(path, {"seed": 1, "task": "chains"}).add("first", 1)
    before = path.read_bytes()
    with pytest.raises(JournalError, match=r"j\.jsonl holds the begun part of other work \(not the same: seed\)"):
        Journal(path, {"seed": 2, "task": "chains"})
    assert path.read_bytes() == before


def test_no_file_keeps_nothing():
    journal = Journal(None, {})
    journal.add("x", 1)
    assert "x" not in journal
