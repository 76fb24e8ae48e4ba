"""A journal of finished parts of long work, so that an interrupted one goes on where it stopped."""

import json
from pathlib import Path
from typing import Any


class JournalError(ValueError):
    """A journal that is there belongs to other work."""


class Journal:
    """Parts by key, appended to a JSON Lines file as they are done; a line cut short by a kill is forgotten.

    Args:
        path: the file; `None` keeps nothing.
        settings: what the parts depend on, plain data.

    Raises:
        JournalError: the file is there and was begun with other settings.
    """

    def __init__(self, path: Path | None, settings: dict[str, Any]):
        self.path = path
        self.parts: dict[str, Any] = {}
        if path is None:
            return
        wanted = json.loads(json.dumps(settings))
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps({"settings": wanted}) + "\n", encoding="utf-8")
            return
        rows, whole = _whole_rows(path)
        if not rows:
            path.write_text(json.dumps({"settings": wanted}) + "\n", encoding="utf-8")
            return
        begun = rows[0].get("settings")
        if begun != wanted:
            other = sorted(k for k in {*wanted, *(begun or {})} if (begun or {}).get(k) != wanted.get(k))
            raise JournalError(
                f"{path} holds the begun part of other work (not the same: {', '.join(other)}): delete it, or choose "
                "another name"
            )
        self.parts = {row["key"]: row["data"] for row in rows[1:]}
        with path.open("r+b") as file:  # what follows the last whole line is written anew
            file.truncate(whole)

    def __contains__(self, key: str) -> bool:
        return key in self.parts

    def __getitem__(self, key: str) -> Any:
        return self.parts[key]

    def add(self, key: str, data: Any) -> None:
        """Keep a finished part; it is on disk when this returns."""
        if self.path is None:
            return
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"key": key, "data": data}) + "\n")
        self.parts[key] = data


def _whole_rows(path: Path) -> tuple[list[dict[str, Any]], int]:
    """The rows of whole lines, and the bytes that these lines take."""
    rows, whole = [], 0
    for line in path.read_bytes().splitlines(keepends=True):
        try:
            row = json.loads(line)
        except ValueError:
            break
        if not line.endswith(b"\n") or not isinstance(row, dict):
            break
        rows.append(row)
        whole += len(line)
    return rows, whole
