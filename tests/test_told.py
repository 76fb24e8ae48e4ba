"""Where a reasoning tells its answer, and what of it the answer needs, beside a model that reads each cut by itself."""

import pytest
import torch

from atmanrl.mask import MaskConfig
from atmanrl.rewards import RewardConfig
from atmanrl.saliency import Saliency
from atmanrl.scoring import score_completions
from atmanrl.tasks import GSM8K, Chains, Example
from atmanrl.told import _shorter, before_told, told_at, told_at_once, with_rest
from atmanrl.trace import Trace

QUESTION = "Sam has 14 coins. Sam gets 4 more. The pile grows 2 times. How many coins after each step?"
SOLUTION = " 14 + 4 = 18. 18 * 2 = 36."
MARGIN = 0.5


def trace_of(tokenizer, reasoning, answer=" 18 36", cue=" The answer is"):
    return Trace.from_text(tokenizer, Chains().prompt(example()), reasoning, cue, answer)


def example():
    return Example(QUESTION, "18 36", reasoning=SOLUTION)


def logprob(model, trace):
    """The slow way: the text read whole."""
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([trace.ids])).logits[0].log_softmax(-1)
    return float(sum(logits[i - 1, trace.ids[i]] for i in trace.answer) / len(trace.answer))


@pytest.mark.parametrize(
    ("reasoning", "answer", "told"),
    [
        ("14 + 4 = 18. 18 * 2 = 36. I like 36.", "18 36", ["18 * 2 = 36.", "I like 36."]),
        ("36 is not 18, but 36!", "18 36", ["but 36!"]),
        ("1,000 and 1000.0 are **$1000**", "1000", ["1,000", "1000.0", "**$1000**"]),
        ("so 3, 1 and 31", "1", ["3, 1"]),
        ("1,2,3 or 1, 2, 3", "1,2,3", ["1,2,3", "or 1, 2, 3"]),
        ("It is 0.5", ".5", ["It is 0.5"]),
        ("5*1=5 hours, 10-5=5 left", "5", ["5*1=5", "10-5=5"]),
        ("A total of 4 + 6 = 10, of 4/2", "4", []),
        ("**Step 1:** 18 - 17 is\n1. Count\n 1) more: 1", "1", ["more: 1"]),
        ("It is １８ then", "18", ["It is １８"]),
        ("It is ١٨ then", "18", ["It is ١٨"]),
        ("It is 1​8 then", "18", ["It is 1​8"]),
        ("B is not A. Option B, or b: (B) fits", "B", ["Option B,", "(B)"]),
        ("Paris, and paris; Parisian", "Paris", ["Paris,", "and paris;"]),
        ("New York and New  York", "New York", ["New York", "and New  York"]),
        ("nothing of it", "7", []),
        ("nothing of it", " ", []),
    ],
)
def test_tellings_end_with_their_punctuation(reasoning, answer, told):
    ends = told_at(reasoning, answer)
    assert len(ends) == len(told)
    assert all(reasoning[:end].endswith(text) for end, text in zip(ends, told, strict=True))


@pytest.mark.parametrize(
    ("reasoning", "answer", "at_once"),
    [
        (" It is 18 36, since 14 + 4 = 18. 18 * 2 = 36.", "18 36", True),
        (" Sam has 14 coins. So 18 and 36, since 14 + 4 = 18. 18 * 2 = 36.", "18 36", True),
        (" 2 + 2 = 4. The old list says 18; 36. 14 + 4 = 18. 18 * 2 = 36.", "18 36", True),
        (" It is １８ ３６, since 14 + 4 = 18. 18 * 2 = 36.", "18 36", True),
        (SOLUTION, "18 36", False),
        (SOLUTION + " It is 18 36.", "18 36", False),
        (" 14 + 4 = 18. 18 + 0 = 18.", "18 18", False),
        (" I like 18.", "18 36", False),
        (" 14 + 4 = 18. 36 is twice that.", "18 36", False),
        (" She has 9 left, since 18 / 2 = 9.", "9", False),  # it may be a quantity: the model is asked
        (" She did 15 + 25 = 40.", "40", False),
        (" 9,000 + 1,000 = 10,000.", "10,000", False),
        (" 2.5 + 1.0 = 3.5 litres.", "3.5", False),
        (" There are 3 red and 4 blue ones, so 3/4.", "3/4", False),  # one value
        (" B, since the others are wrong.", "B", False),
    ],
)
def test_a_list_is_told_at_once(reasoning, answer, at_once):
    assert told_at_once(reasoning, answer) is at_once


def test_worked_solutions_of_gsm8k_are_reasoning(data_dir):
    """Their answers are single numbers of one to many digits, which no solution states at once as a list."""
    task = GSM8K(data=str(data_dir))
    examples = task.examples("dev", 300)
    assert len({len(example.answer) for example in examples}) >= 4
    for example in examples:
        assert not told_at_once(example.reasoning, task.answer_text(example)), example.question


HOSTILE = [
    "1" * 10_000,
    "1 " * 5_000,
    " " * 10_000 + "1",
    "\n" * 10_000,
    "1," * 5_000,
    "18 36 " * 2_000,
    "- 1 = " * 2_000,
]


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_takes_no_time(text):
    assert len(told_at(text, "18 36")) <= 4_000
    assert not told_at_once(text + " 7", "7 8 9")
    assert not told_at_once("7", text + " x")


def test_a_cut_leaves_characters_whole():
    """A character of several tokens, as byte-level tokenizers have it, belongs to the telling or to the rest."""
    texts = ("Q", " it is 36", ".", "", "", " I", " like it", " A:", " 36")
    trace = Trace(tuple(range(9)), texts, 1, 7, 8)
    (cut,) = _shorter(trace)
    assert cut.ids == (0, 1, 2, 3, 4, 7, 8)


def test_of_many_tellings_the_first_and_the_last_are_tried():
    texts = ("Q", *[f" {i}: 36." for i in range(100, 110)], " so", " A:", " 36")
    trace = Trace(tuple(range(14)), texts, 1, 12, 13)
    assert [len(cut.reasoning) for cut in _shorter(trace)] == [1, 2, 9, 10]


def test_what_a_sufficient_telling_is_followed_by_is_left_out(tiny):
    model, tokenizer = tiny
    honest = trace_of(tokenizer, SOLUTION)
    padded = trace_of(tokenizer, SOLUTION + " 45 77 12 9 60 3. I like to count coins.")
    found = before_told(model, tokenizer, [honest, padded], MARGIN, "float32")
    assert found[0] is honest
    assert found[1] == honest


def test_nothing_is_read_of_traces_that_tell_nothing_early(tiny):
    _, tokenizer = tiny
    trace = trace_of(tokenizer, " This is a nice story." + SOLUTION)
    assert before_told(None, None, [trace], MARGIN) == [trace]


@pytest.mark.parametrize("max_tokens", [1, 10_000])
def test_the_first_cut_that_is_enough_is_that_of_a_slow_reference(tiny, max_tokens):
    """Of numbers told by chance some are enough and some are not."""
    model, tokenizer = tiny
    texts = [
        " 14 + 4 = 18. 36 coins are many. 18 * 2 = 36. I like 36.",
        " 14 + 4 = 18. 18 * 2 = 36. 18 * 2 = 36.",
        " I like 18, 12 and 36. 14 + 4 = 18. 18 * 2 = 36.",
        " 14 + 4 = 18. Let me think about 36. 18 * 2 = 36. The coins are very pretty.",
    ]
    traces = [trace_of(tokenizer, text) for text in texts]
    found = before_told(model, tokenizer, traces, MARGIN, "float32", max_tokens)
    kept = []
    for text, trace in zip(texts, traces, strict=True):
        cuts = [trace_of(tokenizer, text[:end]) for end in told_at(text, "18 36")]
        enough = [cut for cut in cuts if logprob(model, cut) >= logprob(model, trace) - MARGIN]
        assert len(enough) >= 1
        kept.append(len(enough) < len(cuts))
        assert found[traces.index(trace)].text(range(10_000)) == enough[0].text(range(10_000))
    assert any(kept)
    assert not all(kept)


def test_the_rest_is_not_salient():
    saliency = Saliency((" a", " b"), (0.9, 0.05), -0.1, -3.0, -0.2, "all", 200, 0.1)
    whole = with_rest(saliency, (" a", " b", " c", " d"))
    assert whole.gates == (0.9, 0.05, 0, 0)
    assert (whole.density, whole.reliance) == (0.25, saliency.reliance)
    assert with_rest(saliency, saliency.tokens) == saliency


def test_padding_dilutes_a_reward_by_its_length_alone(tiny):
    """The padded completion has the honest one's gates, and zeros; without the cut it has a mask of its own."""
    model, tokenizer = tiny
    rest = " 45 77 12 9 60 3."
    ids = [tokenizer(f"{text} The answer is 18 36.")["input_ids"] for text in (SOLUTION, SOLUTION + rest)]

    def score(reward):
        asked = [Chains().prompt(example())] * 2, ids, ["18 36"] * 2
        return score_completions(model, tokenizer, Chains(), *asked, MaskConfig(), reward, questions=[QUESTION] * 2)

    honest, padded = score(RewardConfig(quantity="mask"))
    added = len(tokenizer(rest)["input_ids"])
    assert (honest.after_told, padded.after_told) == (0, added)
    assert padded.bypass.value == pytest.approx(honest.bypass.value, abs=1e-4)
    assert padded.saliency.gates == pytest.approx((*honest.saliency.gates, *[0] * added), abs=1e-6)
    assert padded.reward == pytest.approx(honest.reward * len(honest.saliency.gates) / len(padded.saliency.gates))
    _, as_it_stands = score(RewardConfig(quantity="mask", cut_after_told=False))
    assert as_it_stands.after_told == 0
    assert min(as_it_stands.saliency.gates[-added:]) > 0
