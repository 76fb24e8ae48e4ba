"""Traces from text and from ids: exact spans, border rules."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atmanrl.trace import Trace, TraceError, completion_text, prompt_ids, render_prompt, token_texts


@pytest.fixture(scope="module")
def tokenizer(tiny):
    return tiny[1]


PARTS = ("How many coins?\nThink:", " 14 + 4 = 18. Nice.", " The answer is", " 18")


def test_from_text_has_the_parts_and_their_texts(tokenizer):
    trace = Trace.from_text(tokenizer, *PARTS)
    spans = (trace.prompt, trace.reasoning, trace.cue, trace.answer)
    assert tuple(trace.text(s) for s in spans) == PARTS
    assert [tokenizer.decode(list(trace.ids[s.start : s.stop])) for s in spans] == list(PARTS)
    assert "".join(trace.reasoning_tokens) == PARTS[1]
    assert sum(len(s) for s in spans) == len(trace) == len(trace.ids)
    assert trace.crossing == (0, 0)


def test_parts_are_tokenized_apart(tokenizer):
    """' coins' is one token, but not across a border."""
    trace = Trace.from_text(tokenizer, "p ", "coins", "c", "1")
    assert trace.text(trace.prompt) == "p "
    assert trace.text(trace.reasoning) == "coins"


@pytest.mark.parametrize("empty", range(4))
def test_empty_parts_are_refused_by_name(tokenizer, empty):
    parts = list(PARTS)
    parts[empty] = ""
    with pytest.raises(TraceError, match=["prompt", "reasoning", "cue", "answer"][empty]):
        Trace.from_text(tokenizer, *parts)


def test_blank_reasoning_is_empty_but_a_blank_cue_is_a_cue(tokenizer):
    with pytest.raises(TraceError, match="reasoning is empty"):
        Trace.from_text(tokenizer, "p", " \n", "c", "1")
    assert len(Trace.from_text(tokenizer, "p", "r", "\n", "1").cue) == 1


def ids_of(tokenizer, text):
    return tokenizer(text, add_special_tokens=False)["input_ids"]


def test_from_ids_equals_from_text_where_borders_agree(tokenizer):
    prompt, reasoning, cue, answer = PARTS
    completion = reasoning + cue + answer
    cut = (len(reasoning), len(reasoning + cue), len(completion))
    trace = Trace.from_ids(tokenizer, ids_of(tokenizer, prompt), ids_of(tokenizer, completion + ". More"), cut)
    assert trace == Trace.from_text(tokenizer, *PARTS)


def test_tokens_across_borders_go_to_the_later_part_and_are_counted(tokenizer):
    ids = ids_of(tokenizer, " coins is 18")
    assert [tokenizer.decode([i]) for i in ids] == [" coins", " is", " 1", "8"]
    inside = Trace.from_ids(tokenizer, [5], [*ids_of(tokenizer, " Nice"), *ids], (8, 12, 17))
    assert inside.text(inside.reasoning) == " Nice"
    assert inside.text(inside.cue) == " coins"
    assert inside.text(inside.answer) == " is 18"
    assert inside.crossing == (1, 1)


def test_a_cue_swallowed_by_the_answer_takes_the_last_reasoning_token(tokenizer):
    ids = ids_of(tokenizer, " Nice is coins")
    trace = Trace.from_ids(tokenizer, [5], ids, (8, 9, 14))
    assert [trace.text(s) for s in (trace.reasoning, trace.cue, trace.answer)] == [" Nice", " is", " coins"]


def test_reasoning_left_without_tokens_is_refused(tokenizer):
    ids = ids_of(tokenizer, " The answer is 18")
    with pytest.raises(TraceError, match="reasoning is empty"):
        Trace.from_ids(tokenizer, [5], ids, (0, 14, 17))


@settings(max_examples=60, deadline=None)
@given(text=st.text(min_size=1, max_size=40))
def test_token_texts_join_to_the_decoded_text(tiny, text):
    tokenizer = tiny[1]
    ids = ids_of(tokenizer, text)
    texts = token_texts(tokenizer, ids)
    assert len(texts) == len(ids)
    assert (
        "".join(texts) == completion_text(tokenizer, ids) == tokenizer.decode(ids, clean_up_tokenization_spaces=False)
    )


def test_a_character_of_several_tokens_belongs_to_its_first(tokenizer):
    ids = ids_of(tokenizer, "a🙂b")
    assert len(ids) == 6
    assert token_texts(tokenizer, ids) == ["a", "🙂", "", "", "", "b"]
    from_text = Trace.from_text(tokenizer, "p", "a🙂b", "c", "1")
    assert from_text.reasoning_tokens == ("a", "🙂", "", "", "", "b")


def test_repeated_tokens_stay_apart(tokenizer):
    trace = Trace.from_text(tokenizer, "p", " coins coins coins", " is", " 1")
    assert trace.reasoning_tokens == (" coins",) * 3


def test_slow_tokenizers_are_refused(tokenizer):
    class Slow:
        is_fast = False

    with pytest.raises(TraceError, match="offsets"):
        Trace.from_text(Slow(), *PARTS)


def test_chat_prompts_use_the_template_once_and_base_models_read_them_in_a_row(tokenizer):
    messages = [{"role": "user", "content": "One"}, {"role": "assistant", "content": "Two"}]
    assert render_prompt(tokenizer, messages) == "One\n\nTwo\n"
    chat = type(tokenizer).from_pretrained(tokenizer.name_or_path)
    chat.chat_template = "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}<go>"
    assert render_prompt(chat, messages) == "<user>One<assistant>Two<go>"
    assert (
        prompt_ids(chat, messages) == chat.apply_chat_template(messages, tokenize=True, return_dict=True)["input_ids"]
    )
