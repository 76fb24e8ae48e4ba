"""State that a model or torch is in for a while, and that comes back whatever happens."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import torch
from torch import nn

Matmuls = Literal["bfloat16", "float32"]


@contextmanager
def frozen(model: nn.Module) -> Iterator[None]:
    """Evaluation mode and no gradient for the weights, restored on leaving, also after an error.

    Evaluation mode switches off dropout and gradient checkpointing; the weights' `.grad` stays as it is.
    """
    modes = [(module, module.training) for module in model.modules()]
    flags = [(parameter, parameter.requires_grad) for parameter in model.parameters()]
    try:
        model.eval()
        for parameter, _ in flags:
            parameter.requires_grad_(False)
        yield
    finally:
        for module, training in modes:
            module.training = training
        for parameter, requires_grad in flags:
            parameter.requires_grad_(requires_grad)


@contextmanager
def matmul_precision(matmuls: Matmuls) -> Iterator[None]:
    """How a CPU multiplies float32 matrices; what was set before comes back on leaving, also after an error.

    `bfloat16` rounds the factors to bfloat16 and sums in float32, on CPUs with instructions for that (AMX,
    AVX512-BF16); it changes nothing on others, on a GPU, or for models in bfloat16. `float32` is exact.
    """
    setting: Any = torch.backends.mkldnn.matmul  # type: ignore[attr-defined]
    before = setting.fp32_precision
    able = torch.cpu.get_capabilities()
    if matmuls == "float32":
        setting.fp32_precision = "ieee"
    elif able.get("amx_bf16") or able.get("avx512_bf16"):
        setting.fp32_precision = "bf16"
    try:
        yield
    finally:
        setting.fp32_precision = before


def twin(model: nn.Module) -> nn.Module:
    """The same weights in modules of their own: what is changed for a while in one is not seen in the other.

    For a model that others use at the same time, from other threads.
    """
    shared = {id(tensor): tensor for tensor in (*model.parameters(), *model.buffers())}
    return copy.deepcopy(model, memo=shared)
