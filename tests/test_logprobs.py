"""Log-probabilities under masks, held to a hand-built 4-D mask and to a forward pass without cache."""

import pytest
import torch
from small_models import WINDOW, make_random_model, make_trace

from atmanrl.attention import attention_implementation
from atmanrl.batch import TraceBatch
from atmanrl.logprobs import AnswerScorer, attention_received, hidden_logprobs
from atmanrl.model_state import frozen

SCOPES = ("all", "answer")


def slow_logprob(model, trace, m, scope):
    """The answer's mean log-probability."""
    logprobs = slow_logprobs(model, trace, m, scope)
    return torch.stack([logprobs[at] for at in trace.answer]).mean()


def slow_logprobs(model, trace, m, scope):
    """Log-probability of every token but the first, by place, by one plain forward over a hand-built float mask, loops
    and all."""
    length, low = len(trace), torch.finfo(torch.float32).min
    rows = []
    for q in range(length):
        row = []
        for k in range(length):
            if k > q:
                row.append(torch.tensor(low))
            elif k in trace.reasoning and q != k and (scope == "all" or q >= trace.reasoning_end):
                row.append(m[k - trace.prompt_end].clone())
            else:
                row.append(torch.tensor(0.0))
        rows.append(torch.stack(row))
    mask = torch.stack(rows)[None, None]  # (1, 1, L, L)
    if getattr(model.config, "sliding_window", None):
        out = torch.ones(length, length).tril(-WINDOW).bool()
        windowed = mask.masked_fill(out, low)
        sliding = "sliding_attention" in (getattr(model.config, "layer_types", None) or [])
        mask = {"full_attention": mask, "sliding_attention": windowed} if sliding else windowed
    logits = model(input_ids=torch.tensor([trace.ids]), attention_mask=mask).logits[0]
    logprobs = logits.log_softmax(-1)
    return {at: logprobs[at - 1, trace.ids[at]] for at in range(1, length)}


def columns(batch, values):
    """Mask values of the reasoning's tokens, put on the batch's columns."""
    mask = torch.zeros(batch.ids.shape)
    for row, value in enumerate(values):
        mask[row, batch.reasoning[row]] = value
    return mask


@pytest.mark.parametrize("scope", SCOPES)
def test_value_and_gradient_equal_the_slow_reference(random_model, scope):
    traces = [make_trace(1), make_trace(2, prompt=12, reasoning=5, answer=1), make_trace(3, prompt=4, reasoning=15)]
    torch.manual_seed(0)
    values = [(-3 * torch.rand(len(t.reasoning))).requires_grad_() for t in traces]
    slow = torch.stack([slow_logprob(random_model, t, m, scope) for t, m in zip(traces, values, strict=True)])
    slow_grads = torch.autograd.grad(slow.sum(), values)
    batch = TraceBatch.of(traces, torch.device("cpu"))
    for first_row in (None, 0):
        mask = columns(batch, [v.detach() for v in values]).requires_grad_()
        with frozen(random_model):
            fast = AnswerScorer(random_model, batch, scope, first_row=first_row)(mask)
            (grad,) = torch.autograd.grad(fast.sum(), [mask])
        torch.testing.assert_close(fast, slow.detach(), rtol=1e-4, atol=1e-4)
        for row, expected in enumerate(slow_grads):
            torch.testing.assert_close(grad[row, batch.reasoning[row]], expected, rtol=1e-3, atol=1e-4)


def test_following_adds_the_reasoning_by_its_own_gates(random_model):
    """Value and gradient; with rows kept, tokens that none of the computed rows predicts are left out of the value, and
    of the value alone."""
    traces = [make_trace(1), make_trace(2, prompt=12, reasoning=5, answer=1), make_trace(3, prompt=4, reasoning=15)]
    torch.manual_seed(0)
    values = [(-3 * torch.rand(len(t.reasoning))).requires_grad_() for t in traces]
    batch = TraceBatch.of(traces, torch.device("cpu"))
    for weight in (0.0, 0.7):
        slow = []
        for trace, m in zip(traces, values, strict=True):
            logprobs = slow_logprobs(random_model, trace, m, "all")
            answer = torch.stack([logprobs[at] for at in trace.answer])
            kept = [m[i].detach().exp() * logprobs[at] for i, at in enumerate(trace.reasoning)]
            slow.append(answer.mean() + weight * sum(kept) / len(answer))
        slow_grads = torch.autograd.grad(torch.stack(slow).sum(), values)
        mask = columns(batch, [v.detach() for v in values]).requires_grad_()
        with frozen(random_model):
            scorer = AnswerScorer(random_model, batch, "all", first_row=0)
            fast = scorer.following(mask, weight)
            (grad,) = torch.autograd.grad(fast.sum(), [mask])
            kept = AnswerScorer(random_model, batch, "all")
            few = kept.following(mask, weight)
            (few_grad,) = torch.autograd.grad(few.sum(), [mask])
        torch.testing.assert_close(fast, torch.stack(slow).detach(), rtol=1e-4, atol=1e-4)
        for row, (trace, m, expected) in enumerate(zip(traces, values, slow_grads, strict=True)):
            inside = batch.reasoning[row]
            torch.testing.assert_close(grad[row, inside], expected, rtol=1e-3, atol=1e-4)
            torch.testing.assert_close(few_grad[row, inside], expected, rtol=1e-3, atol=1e-4)
            logprobs = slow_logprobs(random_model, trace, m, "all")
            pad = batch.ids.shape[1] - (len(trace) - 1)
            out = [i for i, at in enumerate(trace.reasoning) if pad + at <= kept.first_row]
            missing = sum(float(m[i].exp() * logprobs[trace.prompt_end + i]) for i in out)
            assert float(few[row]) == pytest.approx(float(slow[row]) - weight * missing / len(trace.answer), abs=1e-4)


def test_closing_all_reasoning_equals_a_hand_built_mask_and_is_the_same_in_both_scopes(random_model):
    trace = make_trace(4)
    batch = TraceBatch.of([trace], torch.device("cpu"))
    low = torch.full((len(trace.reasoning),), torch.finfo(torch.float32).min)
    with frozen(random_model), torch.no_grad():
        closed = [
            AnswerScorer(random_model, batch, s)(AnswerScorer(random_model, batch, s).closed_mask) for s in SCOPES
        ]
        expected = slow_logprob(random_model, trace, low, "all")
    torch.testing.assert_close(closed[0], closed[1], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(closed[0][0], expected, rtol=1e-4, atol=1e-5)


def test_padding_and_batch_order_change_nothing(random_model):
    traces = [make_trace(6), make_trace(7, prompt=25, reasoning=20), make_trace(8, reasoning=1, answer=1)]
    values = [-torch.rand(len(t.reasoning)) for t in traces]

    def score(order):
        batch = TraceBatch.of([traces[i] for i in order], torch.device("cpu"))
        with frozen(random_model), torch.no_grad():
            return AnswerScorer(random_model, batch, "all")(columns(batch, [values[i] for i in order]))

    together, turned = score([0, 1, 2]), score([2, 0, 1])
    alone = torch.cat([score([0]), score([1]), score([2])])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(turned[[1, 2, 0]], together, rtol=1e-4, atol=1e-5)


def hand_built(trace, hidden):
    """A causal float mask in which row q does not see key k where `hidden(q, k)`."""
    low, length = torch.finfo(torch.float32).min, len(trace)
    mask = torch.zeros(length, length)
    for q in range(length):
        for k in range(length):
            if k > q or (k != q and hidden(q, k)):
                mask[q, k] = low
    return mask[None, None]


def test_hidden_logprobs_equal_a_hand_built_mask():
    """Prompt tokens 2 to 4 hidden from the reasoning's rows of one trace, from cue and answer of another."""
    model = make_random_model("llama")
    traces = [make_trace(1), make_trace(2, prompt=12, reasoning=5, answer=1)]
    batch = TraceBatch.of(traces, torch.device("cpu"))
    columns = torch.zeros_like(batch.reasoning)
    for row, trace in enumerate(traces):
        pad = batch.ids.shape[1] - (len(trace) - 1)
        columns[row, pad + 2 : pad + 5] = True
    rows = torch.stack([batch.reasoning[0], batch.answering[1]])
    with frozen(model):
        fast = hidden_logprobs(model, batch, [(rows & batch.reasoning, columns), (rows & batch.answering, columns)])
    for trace, span, found in zip(traces, (traces[0].reasoning, range(traces[1].reasoning_end, 99)), fast, strict=True):
        mask = hand_built(trace, lambda q, k, span=span: q in span and 2 <= k < 5)
        with torch.no_grad():
            logprobs = model(input_ids=torch.tensor([trace.ids]), attention_mask=mask).logits[0].log_softmax(-1)
        slow = torch.stack([logprobs[at - 1, trace.ids[at]] for at in trace.answer]).mean()
        torch.testing.assert_close(found, slow, rtol=1e-4, atol=1e-5)


def test_suppressed_scales_the_keys_logits(random_model):
    """Held to a plain forward whose eager softmax is given the changed logits, row by row."""
    trace = make_trace(3)
    batch = TraceBatch.of([trace], torch.device("cpu"))
    columns = batch.reasoning[0].nonzero()[:, 0]
    factors = torch.ones(len(columns), batch.ids.shape[1])
    factors[torch.arange(len(columns)), columns] = 0.1
    with frozen(random_model), torch.no_grad():
        scorer = AnswerScorer(random_model, batch, "all", first_row=trace.prompt_end)
        fast = scorer.suppressed(factors)
        opened = scorer(torch.zeros(1, batch.ids.shape[1]))
        untouched = scorer.suppressed(torch.ones(1, batch.ids.shape[1]))
    slow = [slow_suppressed(random_model, trace, trace.prompt_end + i, 0.1) for i in range(len(columns))]
    torch.testing.assert_close(fast, torch.stack(slow), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(untouched, opened, rtol=1e-5, atol=1e-5)
    assert random_model.config._attn_implementation == "sdpa"


def slow_suppressed(model, trace, key_at, factor):
    """A plain eager forward in which each row's softmax is handed the changed logits."""
    plain = torch.nn.functional.softmax

    def suppressed(logits, *args, **kwargs):
        changed = logits.clone()
        for index in torch.cartesian_prod(*(torch.arange(n) for n in logits.shape[:-1])):
            row = logits[tuple(index)]
            low = row[row > -1e9].min()
            if row[key_at] > -1e9:
                changed[tuple(index)][key_at] = low + factor * (row[key_at] - low)
        return plain(changed, *args, **kwargs)

    torch.nn.functional.softmax = suppressed
    try:
        with attention_implementation(model, "eager"), torch.no_grad():
            logprobs = model(input_ids=torch.tensor([trace.ids])).logits[0].log_softmax(-1)
    finally:
        torch.nn.functional.softmax = plain
    return torch.stack([logprobs[at - 1, trace.ids[at]] for at in trace.answer]).mean()


def test_attention_received_is_the_mean_over_layers_heads_and_answer_rows():
    model = make_random_model("llama")
    traces = [make_trace(1), make_trace(2, prompt=12, reasoning=5, answer=1)]
    batch = TraceBatch.of(traces, torch.device("cpu"))
    with frozen(model):
        fast = attention_received(model, batch)
    assert model.config._attn_implementation == "sdpa"
    model.set_attn_implementation("eager")
    for row, trace in enumerate(traces):
        with torch.no_grad():
            weights = model(input_ids=torch.tensor([trace.ids]), output_attentions=True).attentions
        slow = torch.stack(weights).mean(dim=(0, 1, 2))[[at - 1 for at in trace.answer]].mean(dim=0)  # (L,)
        torch.testing.assert_close(fast[row, -len(slow) + 1 :], slow[:-1], rtol=1e-4, atol=1e-6)
