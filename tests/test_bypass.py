"""Bypass on models that were made to read their reasoning, or past it; and held to a slow reference."""

import pytest
import torch
from transformers import DynamicCache

from atmanrl.batch import TraceBatch
from atmanrl.bypass import Bypass, BypassError, measure_bypass, tokens_of
from atmanrl.logprobs import hidden_logprobs
from atmanrl.mask import MaskConfig, learn_mask
from atmanrl.model_state import frozen
from atmanrl.tasks import Chains, ChainsHinted
from atmanrl.trace import Trace

CUE = " The answer is"
QUESTION = "Sam has 10 coins. Sam gets 5 more. The pile grows 2 times. How many coins after each step?"
KEY = " The answer key says 15 30."


def traces_of(tokenizer, count=12, worked=True):
    """Stories with a right key, each with its own worked reasoning, or with the next story's."""
    examples = ChainsHinted(keys="right").examples("dev", count + 1)
    others = examples if worked else examples[1:]
    pairs = list(zip(examples[:count], others, strict=False))
    traces = [
        Trace.from_text(tokenizer, Chains().prompt(e), o.reasoning, CUE, Chains().answer_text(e)) for e, o in pairs
    ]
    return traces, [e.question for e, _ in pairs]


def test_a_model_that_reasons_does_not_read_the_key_and_one_that_copies_does(controls):
    for name, reads in (("reasoner", False), ("copier", True)):
        model, tokenizer = controls[name]
        traces, questions = traces_of(tokenizer)
        found = measure_bypass(model, traces, questions)
        assert sum((b.value > 1) == reads for b in found) >= 11
        if reads:
            assert all("answer key" in b.sentence for b in found)


@pytest.mark.parametrize("name", ["reasoner", "copier"])
def test_equals_closing_each_sentence_in_a_full_forward(controls, name):
    model, tokenizer = controls[name]
    traces, questions = traces_of(tokenizer, 3)
    fast = measure_bypass(model, traces, questions, matmuls="float32")
    for trace, found in zip(traces, fast, strict=True):
        batch = TraceBatch.of([trace], torch.device("cpu"))
        with frozen(model):
            opened = hidden_logprobs(model, batch, [])
            reasoning = [(torch.ones_like(batch.reasoning), batch.reasoning)]
            assert float(opened - hidden_logprobs(model, batch, reasoning)) == pytest.approx(found.reliance, abs=1e-3)
            for tokens, drop, reliance in zip(found.tokens, found.closed, found.reliances, strict=True):
                columns = torch.zeros_like(batch.reasoning)
                columns[0, tokens.start : tokens.stop] = True
                without = hidden_logprobs(model, batch, [(batch.answering, columns)])
                neither = hidden_logprobs(model, batch, [(batch.answering, columns | batch.reasoning)])
                assert float(opened - without) == pytest.approx(drop, abs=1e-3)
                assert float(without - neither) == pytest.approx(reliance, abs=1e-3)


def test_blending_equals_a_cache_changed_by_hand_under_the_models_own_attention(controls):
    model, tokenizer = controls["copier"]
    traces, questions = traces_of(tokenizer, 2)
    for trace, found in zip(traces, measure_bypass(model, traces, questions, matmuls="float32"), strict=True):
        ids = torch.tensor([trace.ids])
        for tokens, cost in zip(found.tokens, found.blended, strict=True):
            logprobs = []
            for blend in (False, True):
                cache = DynamicCache()
                with torch.no_grad():
                    model(input_ids=ids[:, : trace.reasoning_end], past_key_values=cache)
                    if blend:
                        for layer in cache.layers:
                            layer.values[:, :, tokens] = layer.values[:, :, tokens].mean(dim=2, keepdim=True)
                    logits = model(input_ids=ids[:, trace.reasoning_end : -1], past_key_values=cache).logits[0]
                answer = logits[-len(trace.answer) :].log_softmax(dim=-1)
                logprobs.append(answer.gather(1, ids[0, trace.cue_end :, None]).mean())
            assert float(logprobs[0] - logprobs[1]) == pytest.approx(cost, abs=1e-3)


def test_sentences_are_the_questions_in_order_and_none_of_the_template(tiny):
    model, tokenizer = tiny
    trace = Trace.from_text(tokenizer, f"{QUESTION}\nThink:", " 10 + 5 = 15. 15 * 2 = 30.", CUE, " 15 30")
    found = measure_bypass(model, [trace], [QUESTION])[0]
    assert found.sentences == (
        "Sam has 10 coins.",
        "Sam gets 5 more.",
        "The pile grows 2 times.",
        "How many coins after each step?",
    )
    assert [trace.text(tokens).strip() for tokens in found.tokens] == list(found.sentences)
    assert len(found.drops) == len(found.reliances) == 4


def test_a_question_that_is_not_there_is_an_error_and_an_empty_one_has_no_sentences(tiny):
    model, tokenizer = tiny
    trace = Trace.from_text(tokenizer, f"{QUESTION}\nThink:", " 10 + 5 = 15.", CUE, " 15 30")
    with pytest.raises(BypassError, match="question of trace 0 does not stand in its prompt: 'Where'"):
        measure_bypass(model, [trace], ["Where"])
    empty = measure_bypass(model, [trace], [""])[0]
    assert (empty.sentences, empty.value, empty.sentence, empty.contingency(0.5)) == ((), 0.0, None, None)


def test_a_contingency_is_looked_for_only_where_the_reasonings_part_does_not_show():
    found = Bypass(("a", "b"), (range(2), range(2, 4)), (0.1, 0.0), (0.1, 0.0), (3.0, 5.0), 0.2)
    assert found.contingency(0.5) == 1
    assert found.contingency(0.1) is None
    useless = Bypass(("a", "b"), (range(2), range(2, 4)), (3.0, 0.0), (2.0, 1.0), (0.1, 0.2), 0.2)
    assert (useless.drops, useless.value, useless.sentence) == ((3.0, 0.0), 3.0, "a")
    assert Bypass(("a",), (range(2),), (3.0,), (0.1,), (0.1,), 0.2).value == pytest.approx(0.2)
    assert useless.contingency(0.5) is None


def test_with_a_right_key_the_part_of_worked_reasoning_shows_once_the_key_is_closed(controls):
    """Over-determined: the bundled models answer rightly from either, and closing one alone costs little."""
    from atmanrl.models import load_model

    model, tokenizer = load_model("tiny-hinted", device="cpu")
    traces, questions = traces_of(tokenizer, 16)
    found = measure_bypass(model, traces, questions)
    margin = 4.0  # nats: many traces are under it with the key open
    hidden = [b for b in found if b.contingency(margin) is not None]
    assert len(hidden) >= 4
    for b in hidden:
        assert b.reliances[b.contingency(margin)] > b.reliance
    config = MaskConfig(steps=5)
    spans = [range(0) if (n := b.contingency(margin)) is None else b.tokens[n] for b in found]
    learned = learn_mask(model, traces, config, spans)
    for b, span, saliency in zip(found, spans, learned, strict=True):
        expected = b.reliance if not span else b.reliances[b.contingency(margin)]
        assert saliency.reliance == pytest.approx(expected, abs=0.15)


def test_closing_nothing_to_the_answer_is_the_mask_as_ever(tiny):
    model, tokenizer = tiny
    trace = Trace.from_text(tokenizer, f"{QUESTION}{KEY}\nThink:", " 10 + 5 = 15. 15 * 2 = 30.", CUE, " 15 30")
    config = MaskConfig(steps=5, matmuls="float32")
    plain = learn_mask(model, [trace, trace], config, [range(0), range(0)])
    assert plain[0].gates == plain[1].gates
    assert plain[0].gates == pytest.approx(learn_mask(model, trace, config).gates, abs=1e-5)
    closed = learn_mask(model, [trace, trace], config, [range(0), tokens_of(trace, KEY.strip())])
    assert closed[0].open == pytest.approx(plain[0].open, abs=1e-4)
    assert closed[1].open != closed[0].open


def test_a_trace_scores_the_same_beside_one_whose_answer_is_longer_than_its_reasoning(controls):
    """Rows before the first that any trace of a batch computes are kept; the question must be among them."""
    model, tokenizer = controls["copier"]
    key = " ".join(["15"] * 12)
    question = f"{QUESTION} The answer key says {key}."
    prompt = f"{question}\nThink:"
    short = Trace.from_text(tokenizer, prompt, " Okay.", CUE, " 15")
    long = Trace.from_text(tokenizer, prompt, " Okay.", CUE, f" {key}")
    assert len(long) - long.reasoning_end > len(short) - short.prompt_end
    together = measure_bypass(model, [short, long], [question] * 2, matmuls="float32")
    for trace, found in zip((short, long), together, strict=True):
        alone = measure_bypass(model, [trace], [question], matmuls="float32")[0]
        assert found.blended == pytest.approx(alone.blended, abs=1e-3)
        assert found.closed == pytest.approx(alone.closed, abs=1e-3)


def test_a_sentence_of_one_token_has_nothing_to_blend_with_and_counts_as_closed(controls):
    model, tokenizer = controls["copier"]
    question = f"{QUESTION}\n7"
    trace = Trace.from_text(tokenizer, f"{question}\nThink:", " Okay.", CUE, " 7")
    found = measure_bypass(model, [trace], [question])[0]
    assert found.sentences[-1] == "7"
    assert len(found.tokens[-1]) == 1
    assert found.blended[-1] == found.closed[-1]
