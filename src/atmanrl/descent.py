"""Adam on a mask's gates with few passes of the model.

A pass, forward and backward through the model, costs some hundred times an Adam step. So a pass gives the gradient and
a model of how it changes as its own gate opens or closes, and the steps up to the next pass follow that. A key's weight
in an attention row is g e / (g e + rest) for gate g, so that what it brings saturates: its slope is taken to fall as
1 / (g + SATURATION). Passes are close together at first, where gates move together and decide which stay open, and far
apart at the end, where open gates have settled and closed ones drift on in an order that is set. benchmarks/cost.py
compares this with other ways to save passes.
"""

from collections.abc import Callable, Iterator
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

Parametrisation = Literal["gate", "free"]

FIRST = 3
"""Steps on the first pass: Adam moves all gates alike there, whatever their gradients."""
SATURATION = 0.3
"""The gate at which a key's slope has fallen to half of that of a closed one."""
REACH, REACH_FALLS, LEAST_REACH = 0.3, 0.85, 0.03
"""How far a gate may move on one pass: on the first, by which factor less on each later one, and at least. Where the
passes are so few that a gate could not close, they all reach further."""
BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8
"""Adam's, as everywhere."""


def mask_of(theta: Tensor, reasoning: Tensor, parametrisation: Parametrisation) -> Tensor:
    """m of every column, 0 outside the reasoning; both (B, L)."""
    m = theta if parametrisation == "free" else logsigmoid(theta)
    return torch.where(reasoning, m, 0.0)


def descend(
    logprob: Callable[[Tensor], Tensor],
    theta: Tensor,
    reasoning: Tensor,
    parametrisation: Parametrisation,
    sparsity: float,
    learning_rate: float,
    steps: int,
    passes: int,
) -> Tensor:
    """Minimise sparsity x (sum of gates) - logprob(mask), apart for each trace, by Adam from theta.

    With as many passes as steps this is Adam, step by step. Nothing here waits for a GPU.

    Args:
        logprob: log-probability of each answer, (B,), under a mask (B, L).
        theta: (B, L) where it starts.
        reasoning: (B, L) the columns that have a gate.
        steps: Adam steps.
        passes: how many of them are preceded by a pass of the model; all where there are more.

    Returns:
        theta at the end, (B, L).
    """
    first, second, count = torch.zeros_like(theta), torch.zeros_like(theta), 0  # Adam's moments
    counts = list(steps_by_pass(steps, passes))
    for some, reach in zip(counts, reaches(len(counts)), strict=True):
        mask = mask_of(theta, reasoning, parametrisation).requires_grad_()
        with torch.enable_grad():
            (slope,) = torch.autograd.grad(logprob(mask).sum(), [mask])  # (B, L) of the log-probability, in m
        before = mask.detach().exp()  # (B, L) gates
        falling = slope / before.clamp(min=1e-30) * (before + SATURATION)
        low, high = _bounds(before, reach, parametrisation)
        for _ in range(some):
            gate = mask_of(theta, reasoning, parametrisation).exp()
            gradient = gate * (sparsity - falling / (gate + SATURATION))  # in m
            if parametrisation == "gate":
                gradient = gradient * (1 - gate)
            count += 1
            first.lerp_(gradient, 1 - BETA1)
            second.lerp_(gradient * gradient, 1 - BETA2)
            move = first / (1 - BETA1**count) / ((second / (1 - BETA2**count)).sqrt() + EPSILON)
            theta = theta - learning_rate * move
            if some > 1:
                theta = torch.clamp(theta, low, high)
    return theta


def steps_by_pass(steps: int, passes: int) -> Iterator[int]:
    """How many steps follow each pass: they end at times in geometric progression, from `FIRST` to `steps`."""
    passes, start, before = min(passes, steps), min(FIRST, steps), 0
    for number in range(passes):
        left = passes - 1 - number
        end = round(start * (steps / start) ** (number / max(1, passes - 1))) if left else steps
        end = max(before + 1, min(end, steps - left))
        yield end - before
        before = end


def reaches(passes: int) -> list[float]:
    """How far a gate may move on each pass; in all far enough to close."""
    usual = [max(LEAST_REACH, REACH * REACH_FALLS**number) for number in range(passes)]
    return [reach * max(1.0, 1.0 / sum(usual)) for reach in usual]


def _bounds(gates: Tensor, reach: float, parametrisation: Parametrisation) -> tuple[Tensor, Tensor]:
    """theta of the gates that are `reach` below and above; unbounded where there are none."""
    least, most = gates - reach, gates + reach
    infinite = torch.full_like(gates, float("inf"))
    if parametrisation == "free":
        return torch.where(least > 0, least.clamp(min=1e-6).log(), -infinite), most.log()
    inner = {"min": 1e-6, "max": 1 - 1e-6}
    low = torch.where(least > 0, torch.logit(least.clamp(**inner)), -infinite)
    return low, torch.where(most < 1, torch.logit(most.clamp(**inner)), infinite)
