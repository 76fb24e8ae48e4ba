"""learn_mask: what it finds, and what it leaves alone."""

import math

import pytest
import torch
from small_models import make_planted_model, make_random_model, make_trace

from atmanrl.mask import MaskConfig, MaskError, learn_mask, mask_of, micro_batches, start_theta
from atmanrl.tasks import Chains
from atmanrl.trace import Trace

FAST = MaskConfig(steps=5)


def chain_trace(tokenizer, filler=""):
    """A story whose answer takes a number from each of two equations."""
    prompt = "Sam has 10 coins. Sam gets 5 more. The pile grows 2 times. How many coins after each step?\nThink:"
    reasoning = f" 10 + 5 = 15.{filler} 15 * 2 = 30."
    return Trace.from_text(tokenizer, prompt, reasoning, Chains().cue, " 15 30")


@pytest.mark.parametrize("parametrisation", ["gate", "free"])
def test_starts_at_the_configured_mask(parametrisation):
    config = MaskConfig(parametrisation=parametrisation, start=-0.4)
    theta = torch.full((1, 3), start_theta(config))
    m = mask_of(theta, torch.tensor([[True, True, False]]), config)
    torch.testing.assert_close(m, torch.tensor([[-0.4, -0.4, 0.0]]))


def test_gate_start_is_the_documented_one():
    assert start_theta(MaskConfig()) == pytest.approx(0.71, abs=0.005)
    assert math.exp(-0.4) == pytest.approx(0.67, abs=0.005)


def test_a_planted_decisive_token_ranks_first():
    """A model built by hand whose answer copies the one key token: that token must get the largest gate."""
    model, trace, planted = make_planted_model()
    for scope in ("all", "answer"):
        saliency = learn_mask(model, trace, MaskConfig(scope=scope, steps=20))
        others = [gate for i, gate in enumerate(saliency.gates) if i != planted]
        assert saliency.gates[planted] > 1.5 * max(others)
        assert saliency.reliance > 1


def test_tiny_rests_on_both_equations_and_not_on_filler(tiny):
    model, tokenizer = tiny
    trace = chain_trace(tokenizer, filler=" This is a nice story.")
    saliency = learn_mask(model, trace)
    sentences = saliency.by_sentence()
    assert [s.text for s in sentences] == [" 10 + 5 = 15.", " This is a nice story.", " 15 * 2 = 30."]
    assert min(sentences, key=lambda s: s.saliency).text == " This is a nice story."
    assert saliency.reliance > 2
    assert saliency.text == trace.text(trace.reasoning)


def test_reliance_is_the_same_in_both_scopes(tiny):
    model, tokenizer = tiny
    both = [learn_mask(model, chain_trace(tokenizer), MaskConfig(scope=s, steps=1)) for s in ("all", "answer")]
    assert both[0].closed == pytest.approx(both[1].closed, abs=1e-4)
    assert both[0].open == pytest.approx(both[1].open, abs=1e-4)


def test_batches_agree_with_single_traces(random_model):
    traces = [make_trace(i, prompt=3 + i, reasoning=4 + 3 * i) for i in range(4)]
    alone = [learn_mask(random_model, t, FAST) for t in traces]
    for config in (FAST, MaskConfig(steps=5, max_tokens=40)):
        batched = learn_mask(random_model, traces[::-1], config)[::-1]
        for one, many in zip(alone, batched, strict=True):
            assert one.gates == pytest.approx(many.gates, abs=2e-3)
            assert one.open == pytest.approx(many.open, abs=1e-4)
            assert one.closed == pytest.approx(many.closed, abs=1e-4)


def test_is_deterministic(tiny):
    model, tokenizer = tiny
    first, second = (learn_mask(model, chain_trace(tokenizer)) for _ in range(2))
    assert first.gates == second.gates


def test_a_finished_trace_keeps_its_gates(tiny):
    """Early stop is by trace: batch mates that go on do not move a finished one."""
    model, tokenizer = tiny
    config = MaskConfig(steps=60, tolerance=0.02, learning_rate=1.0)
    alone = learn_mask(model, chain_trace(tokenizer), config)
    batched = learn_mask(model, [chain_trace(tokenizer), chain_trace(tokenizer, " Let me think about it." * 4)], config)
    assert alone.steps < 60
    assert batched[0].steps == alone.steps
    assert batched[0].gates == pytest.approx(alone.gates, abs=0.02)


def test_free_masks_can_amplify():
    model, trace, planted = make_planted_model()
    free = learn_mask(model, trace, MaskConfig(parametrisation="free", sparsity=0, steps=20))
    gate = learn_mask(model, trace, MaskConfig(parametrisation="gate", sparsity=0, steps=20))
    assert free.gates[planted] > 1
    assert max(gate.gates) <= 1


def test_sparsity_closes_gates(tiny):
    model, tokenizer = tiny
    trace = chain_trace(tokenizer, " The coins are very pretty.")
    sums = [sum(learn_mask(model, trace, MaskConfig(sparsity=s)).gates) for s in (1e-4, 1e-2, 1.0)]
    assert min(sums[:2]) > sums[2]  # between the weak ones the answer decides


def test_model_leaves_as_it_came():
    model = make_random_model("llama")
    model.train()
    model.gradient_checkpointing_enable()
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    weights = [p.detach().clone() for p in model.parameters()]
    learn_mask(model, make_trace(1), FAST)
    assert model.training
    assert model.is_gradient_checkpointing
    assert all(p.requires_grad and torch.equal(p.grad, torch.ones_like(p)) for p in model.parameters())
    assert all(torch.equal(p, w) for p, w in zip(model.parameters(), weights, strict=True))


def test_works_under_no_grad():
    with torch.no_grad():
        assert learn_mask(make_random_model("llama"), make_trace(1), FAST).steps == 5


def test_bfloat16_agrees_with_float32(tiny):
    model, tokenizer = tiny
    trace = chain_trace(tokenizer, " So we can go on.")
    exact = learn_mask(model, trace)
    half = learn_mask(make_copy(model).bfloat16(), trace)
    assert half.reliance == pytest.approx(exact.reliance, rel=0.1, abs=0.2)
    assert (
        max(half.by_sentence(), key=lambda s: s.saliency).text
        == max(exact.by_sentence(), key=lambda s: s.saliency).text
    )


def make_copy(model):
    import copy

    return copy.deepcopy(model)


def test_nan_names_the_trace(tiny):
    model, tokenizer = tiny
    broken = make_copy(model)
    with torch.no_grad():
        broken.lm_head.weight.fill_(float("nan"))
    with pytest.raises(MaskError, match="trace 0"):
        learn_mask(broken, chain_trace(tokenizer), FAST)


def test_trace_longer_than_the_context_is_refused():
    with pytest.raises(MaskError, match=r"trace 1 has 312 tokens, more than the model's context of 256"):
        learn_mask(make_random_model("llama"), [make_trace(1), make_trace(1, prompt=298)], FAST)


def test_no_traces_no_masks():
    assert learn_mask(make_random_model("llama"), [], FAST) == []


def test_micro_batches_hold_every_index_once_within_the_bound():
    lengths = [5, 100, 7, 7, 30, 2, 64]
    groups = list(micro_batches(lengths, 64))
    assert sorted(i for g in groups for i in g) == list(range(7))
    assert all(len(g) == 1 or len(g) * max(lengths[i] for i in g) <= 64 for g in groups)
    assert [1] in groups


@pytest.mark.parametrize("field", [{"start": 0.1}, {"steps": 0}, {"scope": "both"}, {"sparsity": -1}, {"lr": 1}])
def test_bad_configs_are_refused(field):
    with pytest.raises((ValueError, TypeError)):
        MaskConfig(**field)
