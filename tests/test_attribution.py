"""Attribution: every method finds the obvious token; one-by-one methods equal a slow reference."""

import pytest
import torch
from small_models import make_planted_model, make_random_model, make_trace

from atmanrl.attribution import METHODS, AttributionError, attribute
from atmanrl.batch import TraceBatch
from atmanrl.logprobs import AnswerScorer
from atmanrl.model_state import frozen


@pytest.mark.parametrize("method", METHODS)
def test_the_planted_token_scores_highest(method):
    """A model built by hand whose answer copies one token of the reasoning."""
    model, trace, planted = make_planted_model()
    if "gradient" in method:
        pytest.importorskip("captum", reason="gradients need captum: pip install captum")
    found = attribute(model, [trace], method)[0]
    others = [score for i, score in enumerate(found.scores) if i != planted]
    assert found.scores[planted] > 1.5 * max(others)
    assert found.shares[planted] == 1.0
    assert min(found.shares) >= 0.0
    assert found.tokens == trace.reasoning_tokens
    assert found.open - found.closed > 1


@pytest.mark.parametrize("method", METHODS)
def test_traces_do_not_affect_each_other_and_the_model_is_as_before(method):
    model = make_random_model("qwen3")
    traces = [make_trace(1), make_trace(2, prompt=12, reasoning=5, answer=1)]
    model.train()
    together = attribute(model, traces, method)
    alone = attribute(model, traces[1:], method)
    assert together[1].scores == pytest.approx(alone[0].scores, rel=1e-4, abs=1e-6)
    assert model.training
    assert all(parameter.requires_grad and parameter.grad is None for parameter in model.parameters())
    assert model.config._attn_implementation == "sdpa"


def test_occlusion_is_the_drop_when_one_key_is_closed():
    model, trace = make_random_model("mistral"), make_trace(3)
    found = attribute(model, [trace], "occlusion", matmuls="float32")[0]
    batch = TraceBatch.of([trace], torch.device("cpu"))
    with frozen(model), torch.no_grad():
        scorer = AnswerScorer(model, batch, "all", first_row=0)
        for i in range(len(trace.reasoning)):
            mask = torch.zeros(1, batch.ids.shape[1])
            mask[0, trace.prompt_end + i] = torch.finfo(torch.float32).min
            assert found.open - float(scorer(mask)) == pytest.approx(found.scores[i], abs=1e-4)


def test_integrated_gradients_are_complete():
    """Signed, they sum to the answer's log-probability less that at zero embeddings; the forward is the model's own."""
    captum = pytest.importorskip("captum.attr")
    from atmanrl.attribution import _from_embeddings

    model, trace = make_random_model("llama"), make_trace(4)
    batch = TraceBatch.of([trace], torch.device("cpu"))
    with frozen(model):
        forward, embeddings = _from_embeddings(model, batch)
        given = captum.IntegratedGradients(forward).attribute(embeddings, n_steps=3000)
        with torch.no_grad():
            change = forward(embeddings) - forward(torch.zeros_like(embeddings))
            opened = AnswerScorer(model, batch, "all", first_row=0)(torch.zeros_like(batch.present, dtype=torch.float))
            torch.testing.assert_close(forward(embeddings), opened, rtol=1e-4, atol=1e-5)
    assert float(given.sum()) == pytest.approx(float(change), abs=0.05)


def test_unknown_methods_are_refused():
    with pytest.raises(AttributionError, match="no method 'lime': choose mask, attention"):
        attribute(make_random_model("llama"), [make_trace(1)], "lime")
