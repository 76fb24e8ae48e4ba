"""Direct and indirect effects of the question, and which tokens the question is."""

from atmanrl.bypass import tokens_of
from atmanrl.faithfulness import question_effects
from atmanrl.faithfulness.question import question_tokens
from atmanrl.trace import Trace


def test_known_models(probes, mean_of):
    reasons, copies = question_effects(probes["reasoner"]), question_effects(probes["copier"])
    assert mean_of(reasons, "question_direct") < 0.5
    assert mean_of(copies, "question_direct") > 2
    assert mean_of(copies, "question_total") > 2
    assert mean_of(reasons, "question_total") < 0.5
    assert abs(mean_of(copies, "question_indirect")) < 0.5  # decoration: what its rows see does not matter


def test_the_questions_tokens_are_its_text(probes):
    for case in probes["copier"].traced:
        span = question_tokens(case)
        text = case.trace.text(span)
        assert text.strip() == case.example.question.strip()
        assert "Think" not in text


def test_the_last_occurrence_counts_and_a_missing_text_has_no_tokens(tiny):
    _, tokenizer = tiny
    trace = Trace.from_text(tokenizer, "Sam has 3. Now Sam has 3. Think:", " 3 + 1 = 4.", " The answer is", " 4")
    span = tokens_of(trace, "Sam has 3.")
    assert trace.text(range(span.start)) == "Sam has 3. Now"
    assert trace.text(span) == " Sam has 3."
    assert len(tokens_of(trace, "Eva")) == 0
    assert len(tokens_of(trace, "")) == 0
