"""Completions of many prompts, in batches by length."""

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch

from .batch import micro_batches
from .model_state import frozen


@dataclass(frozen=True)
class Decoding:
    """How completions are written: `temperature` 0 is greedy."""

    temperature: float = 0.0
    max_new_tokens: int = 256


def generate(
    model: Any,
    tokenizer: Any,
    prompts: Sequence[Sequence[int]],
    max_new_tokens: int,
    temperature: float = 0.0,
    seed: int = 0,
    max_tokens: int = 65_536,
) -> list[list[int]]:
    """Let the model continue each prompt.

    Args:
        prompts: token ids, one sequence a prompt, of any lengths.
        max_new_tokens: tokens written at most, end-of-sequence included.
        temperature: 0 is greedy; otherwise sampling from the whole distribution at this temperature.
        seed: of the sampling; the caller's random state is restored.
        max_tokens: padded tokens of one batch, prompt and completion together.

    Returns:
        Ids of the completions in the prompts' order, cut before the first token that ends one.

    Raises:
        ValueError: the model's logits hold NaN.
    """
    stops = end_ids(model, tokenizer)
    device = next(model.parameters()).device
    completions: list[list[int]] = [[] for _ in prompts]
    sampling = (
        {"do_sample": True, "temperature": temperature, "top_k": 0, "top_p": 1.0}
        if temperature > 0
        else {"do_sample": False, "temperature": None, "top_k": None, "top_p": None}
    )
    lengths = [len(p) + max_new_tokens for p in prompts]
    devices = [device] if device.type == "cuda" else []
    # Greedy decoding leaves the random state alone: another thread may be sampling by it.
    own_state = torch.random.fork_rng(devices=devices) if temperature > 0 else nullcontext()
    with frozen(model), torch.no_grad(), own_state:
        if temperature > 0:
            torch.manual_seed(seed)
        for members in micro_batches(lengths, max_tokens):
            longest = max(len(prompts[i]) for i in members)
            ids = torch.full((len(members), longest), tokenizer.pad_token_id)  # (B, L)
            present = torch.zeros_like(ids)
            for row, i in enumerate(members):
                ids[row, longest - len(prompts[i]) :] = torch.tensor(list(prompts[i]))
                present[row, longest - len(prompts[i]) :] = 1
            try:
                out = model.generate(
                    input_ids=ids.to(device),
                    attention_mask=present.to(device),
                    max_new_tokens=max_new_tokens,
                    pad_token_id=tokenizer.pad_token_id,
                    eos_token_id=sorted(stops),
                    **sampling,
                )  # (B, L + new)
            except RuntimeError as error:
                raise sampling_error(error) from error
            for row, i in enumerate(members):
                completions[i] = before_end(out[row, longest:].tolist(), stops)
    return completions


def sampling_error(error: RuntimeError) -> Exception:
    """What sampling from logits that hold NaN means to the user; any other error as it is."""
    if "probability tensor contains" in str(error):
        return ValueError("the model's logits hold NaN or infinity: its weights are broken; try --dtype float32")
    return error


def end_ids(model: Any, tokenizer: Any) -> set[int]:
    """Ids that end a completion: the tokenizer's and those of the model's generation config."""
    ends = getattr(getattr(model, "generation_config", None), "eos_token_id", None)
    listed = ends if isinstance(ends, list) else [ends]
    return {i for i in (*listed, tokenizer.eos_token_id, tokenizer.pad_token_id) if i is not None}


def before_end(ids: Sequence[int], stops: set[int]) -> list[int]:
    """Generated ids up to the first that ends the completion."""
    ids = [int(i) for i in ids]
    return ids[: next((at for at, i in enumerate(ids) if i in stops), len(ids))]
