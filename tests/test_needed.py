"""Sentences that an answer does without, on a model whose needed steps are known; and held to a slow reference."""

import random

import pytest
import torch

from atmanrl.batch import TraceBatch
from atmanrl.logprobs import hidden_logprobs
from atmanrl.mask import MaskConfig
from atmanrl.model_state import frozen
from atmanrl.needed import SPARE, keep_only, needed_tokens
from atmanrl.rewards import RewardConfig
from atmanrl.scoring import score_completions
from atmanrl.tasks import Chains
from atmanrl.tasks.chains import wordy_reasoning
from atmanrl.text import sentence_spans
from atmanrl.trace import Trace

PROMPT = "Sam has 14 coins. Sam gets 4 more. The pile grows 2 times. How many coins after each step?\nThink:"
FIRST, SECOND = " 14 + 4 = 18.", " 18 * 2 = 36."


def trace_of(tokenizer, reasoning, prompt=PROMPT, answer=" 18 36"):
    return Trace.from_text(tokenizer, prompt, reasoning, " The answer is", answer)


def left(model, trace, **options):
    return keep_only(trace, needed_tokens(model, [trace], **options)[0])


@pytest.mark.parametrize(
    "reasoning",
    [
        FIRST + SECOND,
        " This is a nice story." + FIRST + " Let me think about it." + SECOND,
        FIRST + " 45 77 12 9 60 3." + SECOND,
        " 45 77 12 9 60 3." + FIRST + SECOND + " I like coins.",
        FIRST + SECOND + SECOND,  # of two that say the same the first stays
    ],
)
def test_what_is_needed_is_left_and_nothing_else(tiny, reasoning):
    model, tokenizer = tiny
    assert left(model, trace_of(tokenizer, reasoning)) == trace_of(tokenizer, FIRST + SECOND)


def test_one_sentence_always_stays(tiny):
    model, tokenizer = tiny
    trace = trace_of(tokenizer, " This is a nice story. Let me think about it. I like coins.")
    kept = left(model, trace)
    assert kept.text(kept.reasoning) in {
        " This is a nice story.",
        " Let me think about it.",
        " I like coins.",
        trace.text(trace.reasoning),  # nothing can go if each costs the answer something
    }


def slowly(model, trace, unread):
    """Each sentence closed in a pass over the whole text, with hidden pairs of rows and columns."""
    batch = TraceBatch.of([trace], torch.device("cpu"))
    every = torch.ones_like(batch.reasoning)
    closed, prompt = torch.zeros_like(batch.reasoning), torch.zeros_like(batch.reasoning)
    prompt[0, unread.start : unread.stop] = True
    ends, at = [], trace.prompt_end
    for start, end in sentence_spans(trace.text(trace.reasoning)):
        first, size = at, 0
        while at < trace.reasoning_end and size < end - start:
            size += len(trace.texts[at])
            at += 1
        ends.append((first, at))

    def score(columns):
        return float(hidden_logprobs(model, batch, [(every, columns), (batch.answering, prompt)]))

    whole = score(closed)
    for first, end in reversed(ends):
        tried = closed.clone()
        tried[0, first:end] = True
        if score(tried) >= whole - SPARE and bool((batch.reasoning & ~tried).any()):
            closed = tried
    return [i - trace.prompt_end for i in trace.reasoning if not closed[0, i]]


@pytest.mark.parametrize("hides", [False, True])
@pytest.mark.parametrize("max_tokens", [100, 4096])
def test_equals_eliminating_by_full_forwards_one_trace_at_a_time(tiny, hides, max_tokens):
    model, tokenizer = tiny
    task, rng = Chains(), random.Random(3)
    examples = task.examples("dev", 12)
    traces = [trace_of(tokenizer, wordy_reasoning(e, rng), task.prompt(e), task.answer_text(e)) for e in examples]
    unread = [range(2, 8) if hides else range(0)] * len(traces)
    found = needed_tokens(model, traces, unread, "float32", max_tokens)
    with frozen(model):
        assert found == [slowly(model, trace, one) for trace, one in zip(traces, unread, strict=True)]
    assert sum(len(places) < len(trace.reasoning) for places, trace in zip(found, traces, strict=True)) > 6


def test_padding_between_sentences_dilutes_a_reward_by_its_length_alone(tiny):
    """The padded completion has the honest one's gates, and zeros; without this it has a mask of its own."""
    model, tokenizer = tiny
    padding = " 45 77 12 9 60 3."
    texts = (FIRST + SECOND, FIRST + padding + SECOND)
    ids = [tokenizer(f"{text} The answer is 18 36.")["input_ids"] for text in texts]

    def score(reward):
        asked = [PROMPT] * 2, ids, ["18 36"] * 2
        return score_completions(model, tokenizer, Chains(), *asked, MaskConfig(), reward, questions=[PROMPT[:-7]] * 2)

    honest, padded = score(RewardConfig(needed_alone=True))
    first, added = (len(tokenizer(text)["input_ids"]) for text in (FIRST, padding))
    gates = honest.saliency.gates
    assert padded.saliency.gates == pytest.approx((*gates[:first], *[0] * added, *gates[first:]), abs=1e-6)
    assert padded.reward == pytest.approx(honest.reward * len(gates) / (len(gates) + added))
    assert honest.reward == score(RewardConfig())[0].reward
    assert min(score(RewardConfig())[1].saliency.gates[first : first + added]) > 0
