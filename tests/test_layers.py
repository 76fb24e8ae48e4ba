"""Imports run one way: a module imports only from those before it."""

import ast
from pathlib import Path

import pytest

import atmanrl

PACKAGE = Path(atmanrl.__file__).parent
ORDER = [
    "text", "trace", "saliency", "files", "journal", "metrics", "statistics", "comparison", "report", "batch",
    "model_state", "gated_attention", "attention", "logprobs", "models", "descent", "mask", "bypass", "attribution",
    "generation", "tasks", "screening", "gaming", "rewards", "forcing", "told", "units",
    "exchange", "ledger", "work", "judging", "scoring", "gamed", "faithfulness", "evaluation",
    "inspect_scorer", "explanation", "checkpoints", "callbacks", "balance", "train_config", "warm_up", "training",
    "recipe", "study_config", "study_values", "study", "study_results", "leaked_key", "demo", "arguments", "cli",
]  # fmt: skip


def imports_of(path: Path) -> set[str]:
    """First-level modules of the package that a file imports, lazily or not; `__init__` counts as nothing."""
    depth = len(path.relative_to(PACKAGE).parts)
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level == depth and node.module:
            found.add(node.module.split(".")[0])
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and (node.module or "").startswith("atmanrl."):
            found.add(str(node.module).split(".")[1])
    return found


@pytest.mark.parametrize("name", ORDER)
def test_imports_run_one_way(name):
    files = [PACKAGE / f"{name}.py"] if (PACKAGE / f"{name}.py").exists() else sorted((PACKAGE / name).rglob("*.py"))
    assert files
    for file in files:
        later = set(ORDER[ORDER.index(name) + 1 :])
        assert not imports_of(file) & later, file


def test_every_module_has_its_place():
    modules = {p.stem for p in PACKAGE.glob("*.py")} | {
        p.name for p in PACKAGE.iterdir() if (p / "__init__.py").exists()
    }
    assert modules - {"__init__"} == set(ORDER)


def test_views_never_see_a_model():
    for file in (PACKAGE / "report").rglob("*.py"):
        source = file.read_text(encoding="utf-8")
        assert "import torch" not in source
        assert "transformers" not in source


def test_importing_the_package_is_light():
    import subprocess
    import sys

    code = "import sys, atmanrl, atmanrl.cli; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
