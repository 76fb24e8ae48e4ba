"""Adam on gates with few passes: plain Adam where there are as many, and near it with few."""

import pytest
import torch
from scipy.stats import spearmanr

from atmanrl.descent import descend, mask_of, reaches, steps_by_pass

COLUMNS = 40
START = 0.71
REASONING = torch.ones(2, COLUMNS, dtype=torch.bool)
REASONING[1, :5] = False
SPARSITY = 0.2


def needs():
    """How much each key matters in a toy answer: a few much, most next to nothing."""
    torch.manual_seed(0)
    return torch.randn(2, COLUMNS).mul(1.5).exp() * 0.05


def logprob(mask):
    """An answer that needs a share of every key, each of which saturates; neighbours stand in for each other."""
    gates = mask.exp()
    pairs = gates + 0.5 * gates.roll(1, dims=1)
    return (needs() * torch.log(pairs / (pairs + 0.3))).sum(dim=1)


def by_torch(learning_rate, steps, parametrisation):
    start = START if parametrisation == "gate" else -0.4
    theta = torch.full((2, COLUMNS), start, requires_grad=True)
    optimizer = torch.optim.Adam([theta], lr=learning_rate)
    for _ in range(steps):
        mask = mask_of(theta, REASONING, parametrisation)
        gates = torch.where(REASONING, mask.exp(), 0.0).sum(dim=1)
        (theta.grad,) = torch.autograd.grad((SPARSITY * gates - logprob(mask)).sum(), [theta])
        optimizer.step()
    return theta.detach()


def ours(learning_rate, steps, passes, parametrisation="gate"):
    theta = torch.full((2, COLUMNS), START if parametrisation == "gate" else -0.4)
    return descend(logprob, theta, REASONING, parametrisation, SPARSITY, learning_rate, steps, passes)


@pytest.mark.parametrize("parametrisation", ["gate", "free"])
@pytest.mark.parametrize("learning_rate", [0.1, 1.0])
def test_as_many_passes_as_steps_are_plain_adam(parametrisation, learning_rate):
    expected = by_torch(learning_rate, 30, parametrisation)
    for passes in (30, 99):
        found = ours(learning_rate, 30, passes, parametrisation)
        torch.testing.assert_close(found[REASONING], expected[REASONING], rtol=1e-3, atol=1e-3)


def test_few_passes_order_gates_as_many_steps_do():
    expected, found = by_torch(0.3, 200, "gate"), ours(0.3, 200, 14)
    few = by_torch(0.3, 14, "gate")
    for row in range(2):
        inside = REASONING[row]
        assert spearmanr(found[row][inside], expected[row][inside]).statistic > 0.98
        assert spearmanr(few[row][inside], expected[row][inside]).statistic < 0.95  # the passes alone do not suffice


def test_the_model_is_asked_once_a_pass():
    calls = []

    def counted(mask):
        calls.append(mask.shape)
        return logprob(mask)

    descend(counted, torch.full((2, COLUMNS), START), REASONING, "gate", SPARSITY, 0.3, 200, 14)
    assert len(calls) == 14


def test_rows_do_not_affect_each_other():
    """With another row beside it, and another one beside it than that, a row comes out the same."""
    both = descend(logprob, torch.full((2, COLUMNS), START), REASONING, "gate", SPARSITY, 0.3, 60, 6)

    def alone(mask):
        return logprob(torch.cat([mask, 2 * mask]))[:1]

    one = descend(alone, torch.full((1, COLUMNS), START), REASONING[:1], "gate", SPARSITY, 0.3, 60, 6)
    torch.testing.assert_close(both[:1], one, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("passes", [1, 2, 3, 8, 14])
def test_a_gate_can_close_however_few_the_passes(passes):
    theta = descend(
        lambda mask: 0 * mask.sum(dim=1), torch.full((2, COLUMNS), START), REASONING, "gate", 1.0, 0.3, 200, passes
    )
    assert (mask_of(theta, REASONING, "gate").exp()[REASONING] < 0.1).all()


def test_no_gate_moves_further_than_its_reach():
    seen = []

    def recorded(mask):
        seen.append(mask.detach().exp())
        return logprob(mask)

    descend(recorded, torch.full((2, COLUMNS), START), REASONING, "gate", SPARSITY, 3.0, 200, 8)
    for before, after, reach in zip(seen, seen[1:], reaches(8), strict=False):
        assert (after - before).abs().max() < reach + 1e-4


@pytest.mark.parametrize(("sparsity", "rate"), [(0.0, 3.0), (100.0, 3.0), (0.0, 0.3), (100.0, 0.3)])
def test_gates_stay_gates(sparsity, rate):
    """With a large rate, and an answer that wants everything open or everything closed, no gate leaves [0, 1]."""
    theta = descend(logprob, torch.full((2, COLUMNS), START), REASONING, "gate", sparsity, rate, 200, 5)
    gates = mask_of(theta, REASONING, "gate").exp()
    assert theta.isfinite().all()
    assert (gates >= 0).all()
    assert (gates <= 1).all()
    if rate < 1:
        assert gates[REASONING].mean() > 0.9 if sparsity == 0 else gates[REASONING].mean() < 0.1


@pytest.mark.parametrize(("steps", "passes"), [(200, 14), (200, 1), (5, 5), (5, 14), (1, 1), (16, 15), (3, 2)])
def test_every_step_follows_a_pass(steps, passes):
    counts = list(steps_by_pass(steps, passes))
    assert sum(counts) == steps
    assert len(counts) == min(passes, steps)
    assert min(counts) >= 1
    assert steps < 3 * passes or counts[-1] == max(counts)
