"""learn_mask: what it finds, and what it leaves alone."""

import copy
import math
import random
from dataclasses import fields, replace
from statistics import fmean

import pytest
import torch
from plain import plain_descent
from scipy.stats import spearmanr
from small_models import make_planted_model, make_random_model, make_trace

from atmanrl.batch import TraceBatch
from atmanrl.descent import descend, mask_of
from atmanrl.logprobs import AnswerScorer
from atmanrl.mask import MaskConfig, MaskError, learn_mask, start_theta
from atmanrl.model_state import frozen
from atmanrl.models import load_model
from atmanrl.saliency import tokens_by_span
from atmanrl.tasks import Chains, ChainsDecoy
from atmanrl.tasks.chains import filler_spans, wordy_reasoning
from atmanrl.tasks.chains_decoy import decoyed_reasoning
from atmanrl.text import sentence_spans
from atmanrl.trace import Trace

PRECISIONS = ("bfloat16", "float32")
FAST = MaskConfig(steps=5)
EXACT = MaskConfig(steps=5, matmuls="float32")


def chain_trace(tokenizer, filler=""):
    """A story whose answer takes a number from each of two equations."""
    prompt = "Sam has 10 coins. Sam gets 5 more. The pile grows 2 times. How many coins after each step?\nThink:"
    reasoning = f" 10 + 5 = 15.{filler} 15 * 2 = 30."
    return Trace.from_text(tokenizer, prompt, reasoning, Chains().cue, " 15 30")


@pytest.mark.parametrize("parametrisation", ["gate", "free"])
def test_starts_at_the_configured_mask(parametrisation):
    config = MaskConfig(parametrisation=parametrisation, start=-0.4)
    theta = torch.full((1, 3), start_theta(config))
    m = mask_of(theta, torch.tensor([[True, True, False]]), parametrisation)
    torch.testing.assert_close(m, torch.tensor([[-0.4, -0.4, 0.0]]))


def test_gate_start_is_the_documented_one():
    assert start_theta(MaskConfig()) == pytest.approx(0.71, abs=0.005)
    assert math.exp(-0.4) == pytest.approx(0.67, abs=0.005)


def test_a_planted_decisive_token_ranks_first():
    """A model built by hand whose answer copies the one key token: that token must get the largest gate."""
    model, trace, planted = make_planted_model()
    for scope in ("all", "answer"):
        saliency = learn_mask(model, trace, MaskConfig(scope=scope))
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
    both = [learn_mask(model, chain_trace(tokenizer), replace(EXACT, scope=s, steps=1)) for s in ("all", "answer")]
    assert both[0].closed == pytest.approx(both[1].closed, abs=1e-4)
    assert both[0].open == pytest.approx(both[1].open, abs=1e-4)


@pytest.mark.parametrize("steps", [5, 20])  # on 5 and on 14 passes
def test_batches_agree_with_single_traces(random_model, steps):
    traces = [make_trace(i, prompt=3 + i, reasoning=4 + 3 * i) for i in range(4)]
    config = replace(EXACT, steps=steps)
    alone = [learn_mask(random_model, t, config) for t in traces]
    for bound in (2048, 40):
        batched = learn_mask(random_model, traces[::-1], replace(config, max_tokens=bound))[::-1]
        for one, many in zip(alone, batched, strict=True):
            assert one.gates == pytest.approx(many.gates, abs=2e-3)
            assert one.open == pytest.approx(many.open, abs=1e-4)
            assert one.closed == pytest.approx(many.closed, abs=1e-4)


def test_is_deterministic(tiny):
    model, tokenizer = tiny
    first, second = (learn_mask(model, chain_trace(tokenizer)) for _ in range(2))
    assert first.gates == second.gates


@pytest.mark.parametrize("scope", ["all", "answer"])
def test_the_fast_way_takes_the_plain_methods_steps(random_model, scope):
    """Batched, with rows kept, by our attention: the same gates as one trace at a time, nothing kept, by transformers'
    own bias on the attention logits."""
    traces = [make_trace(1), make_trace(2, prompt=12, reasoning=5, answer=1), make_trace(3, prompt=4, reasoning=15)]
    config = replace(EXACT, scope=scope, learning_rate=0.3)
    learned = learn_mask(random_model, traces, config)
    for trace, saliency in zip(traces, learned, strict=True):
        with frozen(random_model):
            descent = plain_descent(random_model, trace, config, config.learning_rate)
            theta = [next(descent) for _ in range(config.steps)][-1]
        assert saliency.gates == pytest.approx(theta.sigmoid().tolist(), abs=2e-3)


def test_needed_equations_outrank_true_ones_that_nothing_needs():
    """Decoys have the form of what is needed, numbers of the story included."""
    model, tokenizer = load_model("tiny-decoy", device="cpu")
    task, rng, traces, truths = ChainsDecoy(), random.Random(0), [], []
    for example in task.examples("dev", 32):
        reasoning = decoyed_reasoning(example, rng)
        trace = Trace.from_text(tokenizer, task.prompt(example), reasoning, task.cue, task.answer_text(example))
        idle = task.filler_spans(example, reasoning)
        traces.append(trace)
        truths += [span not in idle for span in sentence_spans(reasoning)]
    scores = [s.saliency for m in learn_mask(model, traces, MaskConfig(max_tokens=16_384)) for s in m.by_sentence()]
    needed, idle = ([s for s, t in zip(scores, truths, strict=True) if t is kind] for kind in (True, False))
    assert len(idle) > 20
    over = fmean(float(a > b) for a in needed for b in idle)  # the AUROC
    assert over > 0.85


def test_a_mask_that_follows_keeps_what_the_last_step_rests_on(controls):
    """A model that answers with the last value reads the last equation; what that was made from counts only when the
    mask follows the reasoning. Filler stays closed."""
    model, tokenizer = controls["finisher"]
    task, rng, traces, earlier, idle = Chains(), random.Random(0), [], [], []
    for example in task.examples("dev", 16):
        reasoning, answer = wordy_reasoning(example, rng), f" {example.answer.split()[-1]}"
        trace = Trace.from_text(tokenizer, task.prompt(example), reasoning, task.cue, answer)
        filler = {i for m in tokens_by_span(trace.reasoning_tokens, filler_spans(example, reasoning)) for i in m}
        last = max(i for i in range(len(trace.reasoning)) if i not in filler and trace.reasoning_tokens[i] == " =")
        before = "".join(trace.reasoning_tokens[:last]).rfind(".")
        places = [len("".join(trace.reasoning_tokens[:i])) for i in range(len(trace.reasoning))]
        traces.append(trace)
        earlier.append([i for i in range(len(trace.reasoning)) if i not in filler and places[i] < before])
        idle.append(sorted(filler))
    shares = {}
    for weight in (0.0, 1.0):
        found = learn_mask(model, traces, MaskConfig(follow=weight, max_tokens=16_384))
        for name, places in (("earlier", earlier), ("idle", idle)):
            shares[name, weight] = fmean(s.salient[i] for s, own in zip(found, places, strict=True) for i in own)
    assert shares["earlier", 0.0] < 0.2
    assert shares["earlier", 1.0] > 0.5
    assert shares["idle", 1.0] < 0.1


def test_following_needs_rows_that_see_the_mask():
    with pytest.raises(ValueError, match="scope 'all'"):
        MaskConfig(follow=1.0, scope="answer")


def test_rounded_factors_find_the_same(tiny):
    """bfloat16 factors in the matrix products, where the CPU has them, move gates by little."""
    model, tokenizer = tiny
    trace = chain_trace(tokenizer, " The coins are very pretty.")
    rounded, exact = (learn_mask(model, trace, MaskConfig(steps=50, passes=50, matmuls=m)) for m in PRECISIONS)
    assert spearmanr(rounded.gates, exact.gates).statistic > 0.97
    assert rounded.reliance == pytest.approx(exact.reliance, rel=0.02)


def test_few_passes_come_further_than_as_many_steps(tiny):
    """On stories with filler: an objective nearer to that of a pass a step than plain Adam's after as many passes."""
    model, tokenizer = tiny
    task, rng, traces = Chains(), random.Random(0), []
    for example in task.examples("dev", 12):
        reasoning = wordy_reasoning(example, rng)
        traces.append(Trace.from_text(tokenizer, task.prompt(example), reasoning, task.cue, task.answer_text(example)))
    whole, few, cut = (
        fmean(0.2 * sum(s.gates) - s.learned for s in learn_mask(model, traces, config))
        for config in (MaskConfig(steps=60, passes=60), MaskConfig(), MaskConfig(steps=14))
    )
    assert few < whole + 0.7 * (cut - whole)


def test_equal_traces_are_learned_once(tiny):
    model, tokenizer = tiny
    one, other = chain_trace(tokenizer), chain_trace(tokenizer, " Let me think about it.")
    asked = []
    hook = model.register_forward_pre_hook(
        lambda _, args, kwargs: asked.append(len(kwargs["input_ids"])), with_kwargs=True
    )
    try:
        found = learn_mask(model, [one, other, one, one], FAST)
    finally:
        hook.remove()
    assert max(asked) == 2
    assert found[0] == found[2] == found[3] != found[1]
    assert found[1].text == other.text(other.reasoning)


@pytest.mark.parametrize("scope", ["all", "answer"])
def test_no_step_waits_for_a_gpu(random_model, scope):
    """On the `meta` device tensors have shapes and no values: whatever reads one, or needs one for a shape, fails."""
    batch = TraceBatch.of([make_trace(1), make_trace(2, prompt=12, reasoning=5)], torch.device("cpu"))
    with frozen(random_model), torch.no_grad():
        scorer = AnswerScorer(random_model, batch, scope)
    elsewhere = copy.deepcopy(random_model).to("meta")
    with frozen(elsewhere):
        far = TraceBatch(*(getattr(batch, field.name).to("meta") for field in fields(batch)))
        before = [(keys.to("meta"), values.to("meta")) for keys, values in scorer.before]
        there = AnswerScorer(elsewhere, far, scope, scorer.first_row, before)
        theta = torch.full(batch.ids.shape, 0.7, device="meta")
        with pytest.raises(RuntimeError):
            theta.sum().item()
        assert descend(there, theta, far.reasoning, "gate", 0.2, 0.3, 20, 4).is_meta


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


@pytest.mark.parametrize("field", [{"start": 0.1}, {"steps": 0}, {"scope": "both"}, {"sparsity": -1}, {"lr": 1}])
def test_bad_configs_are_refused(field):
    with pytest.raises((ValueError, TypeError)):
        MaskConfig(**field)
