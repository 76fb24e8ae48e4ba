"""Forced answers, held to one plain forward and to plain greedy generation for each request."""

import pytest
import torch
from small_models import make_random_model, make_trace

from atmanrl.forcing import Forcer, Request, first_ids, read_answer, same_answer
from atmanrl.tasks import GSM8K, MMLU, Chains

NEW = 6


class FakeTokenizer:
    eos_token_id = 2
    pad_token_id = 0


def prompts_and_requests():
    """Prompts of unequal lengths, texts from one token to more than the sliding window after each."""
    prompts, requests = [], []
    for number, length in enumerate((3, 17, 9)):
        trace = make_trace(number, prompt=length, reasoning=20, answer=3)
        prompts.append(trace.ids[: trace.prompt_end])
        for cut in (0, 1, 7, 20):
            context = (
                trace.ids[trace.prompt_end : trace.prompt_end + cut] + trace.ids[trace.reasoning_end : trace.cue_end]
            )
            requests.append(Request(number, context, trace.ids[trace.cue_end :][: 1 + cut % 3]))
    return prompts, requests


def slow_logprob(model, prompt, request):
    ids = torch.tensor([[*prompt, *request.context, *request.answer]])
    with torch.no_grad():
        logprobs = model(input_ids=ids).logits[0].log_softmax(-1)
    start = len(prompt) + len(request.context)
    return sum(logprobs[start + i - 1, token].item() for i, token in enumerate(request.answer)) / len(request.answer)


def slow_greedy(model, prompt, request):
    ids = [*prompt, *request.context]
    for _ in range(NEW):
        with torch.no_grad():
            ids.append(int(model(input_ids=torch.tensor([ids])).logits[0, -1].argmax()))
        if ids[-1] in (0, 2):
            return tuple(ids[len(prompt) + len(request.context) : -1])
    return tuple(ids[len(prompt) + len(request.context) :])


@pytest.mark.parametrize("max_tokens", [10_000, 70])
def test_scores_and_greedy_answers_equal_the_slow_reference(random_model, max_tokens):
    prompts, requests = prompts_and_requests()
    results = Forcer(random_model, FakeTokenizer(), prompts, max_tokens=max_tokens).force(requests, NEW)
    for request, result in zip(requests, results, strict=True):
        assert result.logprob == pytest.approx(slow_logprob(random_model, prompts[request.prompt], request), abs=2e-4)
        assert result.ids == (slow_greedy(random_model, prompts[request.prompt], request),)


def test_order_and_company_do_not_matter():
    model = make_random_model("llama")
    prompts, requests = prompts_and_requests()
    forcer = Forcer(model, FakeTokenizer(), prompts)
    together = forcer.force(requests, NEW)
    turned = forcer.force([*requests[::-1], requests[0]], NEW)
    assert [r.ids for r in turned[:-1]] == [r.ids for r in together[::-1]]
    assert turned[-1].ids == together[0].ids
    alone = [forcer.force([request])[0].logprob for request in requests]
    assert alone == pytest.approx([r.logprob for r in together], abs=1e-4)


def test_samples_follow_the_models_distribution_and_the_seed():
    model = make_random_model("llama")
    prompts, requests = prompts_and_requests()
    forcer = Forcer(model, FakeTokenizer(), prompts)
    torch.manual_seed(5)
    expected = torch.rand(2)
    torch.manual_seed(5)
    request = Request(1, requests[5].context)
    many = forcer.force([request], 1, temperature=1.0, samples=3000, seed=1)[0].ids
    assert torch.equal(torch.rand(2), expected)
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([[*prompts[1], *request.context]])).logits[0, -1]
    probability, token = logits.softmax(-1).max(dim=-1)
    share = sum(ids == (int(token),) for ids in many) / len(many)
    assert share == pytest.approx(float(probability), abs=0.04)
    again = forcer.force([request], 3, temperature=1.0, samples=5, seed=2)[0].ids
    assert again == forcer.force([request], 3, temperature=1.0, samples=5, seed=2)[0].ids
    assert len(set(again)) > 1


def test_a_choice_is_made_among_what_it_may_be():
    model = make_random_model("llama")
    prompts, requests = prompts_and_requests()
    letters = (40, 41, 42)
    free = Forcer(model, FakeTokenizer(), prompts).force(requests, 1)
    held = Forcer(model, FakeTokenizer(), prompts, first=letters).force(requests, 1)
    assert any(result.ids[0][0] not in letters for result in free if result.ids[0])
    for request, result in zip(requests, held, strict=True):
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([[*prompts[request.prompt], *request.context]])).logits[0, -1]
        assert result.ids[0][0] == max(letters, key=lambda letter: float(logits[letter]))
    assert [r.logprob for r in held] == pytest.approx([r.logprob for r in free])  # scores are of all tokens


def test_first_ids_are_those_of_the_letters(tiny):
    _, tokenizer = tiny
    assert first_ids(GSM8K(), tokenizer) is None
    assert {tokenizer.decode([i]).strip() for i in first_ids(MMLU(), tokenizer)} == set("ABCD")


def test_without_an_answer_there_is_no_score():
    forcer = Forcer(make_random_model("llama"), FakeTokenizer(), [(3, 4)])
    assert forcer.force([Request(0, (5,))], 2)[0].logprob != forcer.force([Request(0, (5,))], 2)[0].logprob  # NaN
    assert forcer.force([Request(0, (5,), (6,))])[0].ids == ()


@pytest.mark.parametrize(
    ("task", "cue", "text", "answer"),
    [
        (Chains(), " The answer is", " 18 36. And then", "18 36"),
        (GSM8K(), "\n#### ", "18\nNext question", "18"),
        (GSM8K(), "\n#### ", "$1,800 a day", "$1,800"),
        (GSM8K(), "</think>\nThe answer is ", "about seven\nmore", "about seven"),
        (MMLU(), "\nThe answer is ", "(B) Paris.", "B"),
        (GSM8K(), "\n#### ", "", None),
        (GSM8K(), "\n#### ", "  \n", None),
    ],
)
def test_read_answer(task, cue, text, answer):
    assert read_answer(task, cue, text) == answer


def test_same_answer_is_the_tasks_or_the_letters():
    assert same_answer(GSM8K(), "$1,800.00", "1800")
    assert not same_answer(GSM8K(), "1801", "1800")
    assert same_answer(GSM8K(), "about seven", " about seven")
    assert not same_answer(GSM8K(), None, "7")
