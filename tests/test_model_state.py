"""State that comes back, and models that share weights but no state."""

import threading

import pytest
import torch
from small_models import make_random_model, make_trace

from atmanrl.attention import attention_implementation
from atmanrl.mask import MaskConfig, learn_mask
from atmanrl.model_state import frozen, matmul_precision, twin


def test_a_twin_has_the_same_weights_and_state_of_its_own():
    model = make_random_model("llama")
    model.train()
    other = twin(model)
    assert all(a is b for a, b in zip(model.parameters(), other.parameters(), strict=True))
    with attention_implementation(other, "eager"):
        assert model.config._attn_implementation == "sdpa"
        other.eval()
        assert model.training
    ids = torch.tensor([make_trace(1).ids])
    with torch.no_grad():
        torch.testing.assert_close(model.eval()(input_ids=ids).logits, other(input_ids=ids).logits)


def test_masks_on_a_twin_leave_a_generating_model_alone():
    """The same texts come out of a model while masks are learned on its twin in another thread."""
    model = make_random_model("llama")
    ids = torch.tensor([make_trace(1).ids])

    def written():
        return model.generate(ids, max_new_tokens=20, do_sample=False, pad_token_id=0, eos_token_id=None)

    alone = written()
    work = threading.Thread(target=learn_mask, args=(twin(model), make_trace(2), MaskConfig(passes=30)))
    work.start()
    beside = [written() for _ in range(3)]
    work.join()
    assert all(torch.equal(alone, text) for text in beside)


def test_the_matmul_setting_comes_back_after_an_error():
    setting = torch.backends.mkldnn.matmul
    before = setting.fp32_precision
    with pytest.raises(RuntimeError, match="on purpose"), matmul_precision("float32"):
        assert setting.fp32_precision == "ieee"
        raise RuntimeError("on purpose")
    assert setting.fp32_precision == before


def test_a_model_is_as_before_after_an_error():
    model = make_random_model("llama")
    model.train()
    model.model.layers[0].eval()
    model.model.layers[1].self_attn.q_proj.weight.requires_grad_(False)
    modes = [m.training for m in model.modules()]
    flags = [p.requires_grad for p in model.parameters()]
    with pytest.raises(RuntimeError, match="on purpose"), frozen(model):
        assert not any(m.training for m in model.modules())
        assert not any(p.requires_grad for p in model.parameters())
        raise RuntimeError("on purpose")
    assert [m.training for m in model.modules()] == modes
    assert [p.requires_grad for p in model.parameters()] == flags
