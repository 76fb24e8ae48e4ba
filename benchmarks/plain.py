"""The plain method, as the paper describes it: what the fast one is measured against and held to.

One trace at a time, one forward pass over prompt, reasoning and answer a step, logits of every row, nothing kept
between steps, Adam. The mask goes in by transformers' own `position_bias`: nothing of `atmanrl.attention` is used.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from atmanrl.mask import MaskConfig, start_theta
from atmanrl.trace import Trace

STEPS = 200
"""The paper's."""


def plain_bias(mask: Tensor, trace: Trace, scope: str) -> Tensor:
    """m of the reasoning's tokens, (R,), as a bias on the attention logits of the whole trace, (1, 1, L, L)."""
    length = len(trace)
    before, after = torch.zeros(trace.prompt_end), torch.zeros(length - trace.reasoning_end)
    columns = torch.cat([before, mask, after])  # (L,)
    rows = torch.arange(length) >= (trace.reasoning_end if scope == "answer" else 0)  # (L,)
    sees = rows[:, None] & ~torch.eye(length, dtype=torch.bool)  # (L, L)
    return torch.where(sees, columns, 0.0)[None, None]


def plain_logprob(model: Any, trace: Trace, mask: Tensor, scope: str) -> Tensor:
    """Log-probability of the answer under m of the reasoning's tokens, (R,): mean over its tokens, nats."""
    bias = plain_bias(mask, trace, scope)
    logits = model(input_ids=torch.tensor([trace.ids]), use_cache=False, position_bias=bias).logits[0]  # (L, V)
    before = logits[trace.cue_end - 1 : -1].log_softmax(dim=-1)  # (A, V)
    return before.gather(1, torch.tensor(trace.ids[trace.cue_end :])[:, None]).mean()


def plain_descent(model: Any, trace: Trace, config: MaskConfig, learning_rate: float) -> Iterator[Tensor]:
    """Adam without end on one trace: theta (R,) after each step. Of `config`, scope, sparsity and start count.

    Args:
        model: on a CPU, in a `frozen` context.
    """
    theta = torch.full((len(trace.reasoning),), start_theta(config), requires_grad=True)  # (R,)
    optimizer = torch.optim.Adam([theta], lr=learning_rate)
    while True:
        mask = logsigmoid(theta)
        objective = config.sparsity * mask.exp().sum() - plain_logprob(model, trace, mask, config.scope)
        (theta.grad,) = torch.autograd.grad(objective, [theta])
        optimizer.step()
        yield theta.detach().clone()
