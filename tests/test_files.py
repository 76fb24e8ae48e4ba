"""Files are written whole or not at all."""

import errno
import json
import os
from pathlib import Path

import pytest

from atmanrl.files import write_json, write_text


def names(folder: Path) -> list[str]:
    return [child.name for child in folder.iterdir()]


def test_writes_utf8_and_creates_the_folder(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "page.html"
    write_text(path, "42 \u2212 é\r\n日本\n")
    assert path.read_bytes().decode() == "42 \u2212 é\r\n日本\n"
    assert names(path.parent) == ["page.html"]


def test_replaces_an_older_file(tmp_path: Path) -> None:
    path = tmp_path / "summary.json"
    write_json(path, {"n": 1})
    write_json(str(path), {"n": 2, "answer": "é"})
    assert path.read_text(encoding="utf-8") == '{\n  "n": 2,\n  "answer": "é"\n}\n'


@pytest.mark.parametrize("step", ["replace", "fsync"])
def test_a_full_disk_leaves_the_old_file_and_nothing_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    path = tmp_path / "report.html"
    write_text(path, "old")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, step, full)
    with pytest.raises(OSError, match="No space left"):
        write_text(path, "new")
    assert path.read_text() == "old"
    assert names(tmp_path) == ["report.html"]


def test_an_interrupt_leaves_the_old_file_and_nothing_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "report.html"
    write_text(path, "old")

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_text(path, "new")
    assert path.read_text() == "old"
    assert names(tmp_path) == ["report.html"]


def test_a_folder_in_the_way_is_an_oserror(tmp_path: Path) -> None:
    with pytest.raises(OSError):
        write_text(tmp_path, "text")
    (tmp_path / "file").write_text("old")
    with pytest.raises(OSError):
        write_text(tmp_path / "file" / "report.html", "text")
    assert (tmp_path / "file").read_text() == "old"


def test_nan_is_refused_and_nothing_written(tmp_path: Path) -> None:
    path = tmp_path / "summary.json"
    write_json(path, {"reliance": 1.0})
    for value in (float("nan"), float("inf")):
        with pytest.raises(ValueError):
            write_json(path, {"reliance": value})
    assert json.loads(path.read_text()) == {"reliance": 1.0}
    assert names(tmp_path) == ["summary.json"]


def test_a_lone_surrogate_survives_json(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"token": "\ud83d"})
    assert json.loads((tmp_path / "a.json").read_text(encoding="utf-8")) == {"token": "\ud83d"}


def test_follows_links(tmp_path: Path) -> None:
    (tmp_path / "real.html").write_text("old")
    link = tmp_path / "link.html"
    link.symlink_to(tmp_path / "real.html")
    write_text(link, "new")
    assert link.is_symlink() and (tmp_path / "real.html").read_text() == "new"


@pytest.mark.skipif(not Path("/dev/fd").exists(), reason="needs /dev/fd")
def test_a_pipe_is_written_to() -> None:
    read, write = os.pipe()
    write_text(f"/dev/fd/{write}", "text")
    os.close(write)
    with os.fdopen(read) as file:
        assert file.read() == "text"


def test_permissions_are_those_of_any_new_file(tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("")
    write_text(tmp_path / "ours", "")
    assert (tmp_path / "ours").stat().st_mode == (tmp_path / "plain").stat().st_mode
