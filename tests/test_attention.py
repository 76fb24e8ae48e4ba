"""Our attention in the model's place: what it leaves as it was, and the models that it refuses."""

import pytest
import torch
from small_models import make_random_model, make_trace

from atmanrl.attention import (
    AttentionError,
    attention_implementation,
    kept_cache,
    keys_and_values,
    require_mask_support,
)
from atmanrl.batch import TraceBatch
from atmanrl.logprobs import AnswerScorer
from atmanrl.model_state import frozen


def test_our_attention_without_a_mask_is_the_models_own(random_model):
    ids = torch.tensor([make_trace(5).ids])
    with frozen(random_model), torch.no_grad():
        plain = random_model(input_ids=ids).logits
        with attention_implementation(random_model, "atmanrl_gated"):
            ours = random_model(input_ids=ids).logits
    torch.testing.assert_close(plain, ours, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("cached", [False, True])
def test_later_tokens_never_affect_earlier_rows(random_model, cached):
    """Two texts that differ from position 14 on have the same logits before it, under a mask, cached or not."""
    first = torch.tensor([make_trace(9).ids])  # (1, 21)
    second = first.clone()
    second[0, 14:] = 3 + (second[0, 14:] + 1) % 60
    torch.manual_seed(0)
    mask = -2 * torch.rand(1, 21)
    start = 6 if cached else 0
    logits = []
    for ids in (first, second):
        with frozen(random_model), torch.no_grad():
            kept = keys_and_values(random_model, ids[:, :start], torch.ones(1, start))
            with attention_implementation(random_model, "atmanrl_gated"):
                options = {"key_mask": mask, "mask_rows": torch.ones(1, 21 - start, dtype=torch.bool)}
                if kept:
                    options["past_key_values"] = kept_cache(kept)
                logits.append(random_model(input_ids=ids[:, start:], **options).logits[:, : 14 - start])
    torch.testing.assert_close(logits[0], logits[1], rtol=1e-5, atol=1e-5)


def test_a_model_with_eager_attention_gives_the_same():
    trace = make_trace(4)
    batch = TraceBatch.of([trace], torch.device("cpu"))
    values = []
    for implementation in ("sdpa", "eager"):
        model = make_random_model("llama", attn_implementation=implementation)
        require_mask_support(model)
        with frozen(model), torch.no_grad():
            values.append(AnswerScorer(model, batch, "all")(torch.where(batch.reasoning, -1.0, 0.0)))
        assert model.config._attn_implementation == implementation
    torch.testing.assert_close(values[0], values[1])


def test_a_model_that_drops_the_mask_is_refused():
    model = make_random_model("llama")
    forward = model.forward
    model.forward = lambda *args, key_mask=None, mask_rows=None, **kwargs: forward(*args, **kwargs)
    with pytest.raises(AttentionError, match="does not pass the mask on"):
        require_mask_support(model)


def test_a_model_with_another_attention_is_refused():
    """Its logits are others with ours in its place: here because the model's own is twice as sharp."""
    model = make_random_model("llama")

    def forward(*args, **kwargs):
        ours = model.config._attn_implementation != "sdpa"
        for layer in model.model.layers:
            layer.self_attn.scaling = 8**-0.5 * (1 if ours else 2)
        return type(model).forward(model, *args, **kwargs)

    model.forward = forward
    with pytest.raises(AttentionError, match="more than scaled-dot-product attention"):
        require_mask_support(model)


def test_a_model_that_caps_its_logits_is_refused():
    import transformers as hf

    config = hf.Gemma2Config(
        vocab_size=64, hidden_size=32, intermediate_size=48, num_hidden_layers=1, num_attention_heads=4,
        num_key_value_heads=2, head_dim=8, attn_implementation="eager",
    )  # fmt: skip
    with pytest.raises(AttentionError, match="caps its logits"):
        require_mask_support(hf.Gemma2ForCausalLM(config))


def test_autocast_changes_nothing_between_forward_and_backward():
    """Under a caller's autocast the forward's factors are those that the backward pass computes with."""
    model = make_random_model("llama")
    batch = TraceBatch.of([make_trace(1)], torch.device("cpu"))
    mask = torch.where(batch.reasoning, -0.5, 0.0).requires_grad_()
    grads = []
    for cast in (False, True):
        with frozen(model):
            scorer = AnswerScorer(model, batch, "all")
            with torch.autocast("cpu", torch.bfloat16, enabled=cast):
                value = scorer(mask)
            grads.append(torch.autograd.grad(value.sum(), [mask])[0])
    torch.testing.assert_close(grads[1], grads[0], rtol=0.2, atol=0.05)


def test_the_attention_implementation_comes_back_after_an_error():
    model = make_random_model("llama")
    with pytest.raises(RuntimeError, match="on purpose"), attention_implementation(model, "eager"):
        assert model.config._attn_implementation == "eager"
        raise RuntimeError("on purpose")
    assert model.config._attn_implementation == "sdpa"
