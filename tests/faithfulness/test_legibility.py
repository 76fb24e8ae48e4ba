"""Legibility: another model reads the answer where the reasoning holds it."""

import dataclasses

from atmanrl.faithfulness import legibility


def test_known_models(probes, mean_of):
    honest, decorated = legibility(probes["reasoner"]), legibility(probes["copier"])
    assert mean_of(honest, "legibility") > 0.85
    assert mean_of(honest, "legibility_accuracy") > 0.75  # where the writer was wrong, so is the reader
    assert mean_of(decorated, "legibility") < 0.1


def test_a_guessers_reasoning_is_legible_and_its_answer_is_not_in_it(probes, mean_of):
    found = legibility(probes["guesser"])
    assert mean_of(found, "legibility") < 0.1
    assert mean_of(found, "legibility_accuracy") > 0.75


def test_the_reader_does_not_see_the_question(probes, monkeypatch):
    from atmanrl.faithfulness import legibility as function
    from atmanrl.forcing import Forcer

    probe, read = probes["reasoner"], []

    class Watched(Forcer):
        def __init__(self, model, tokenizer, prompts, *rest):
            read.extend(tokenizer.decode(prompt) for prompt in prompts)
            super().__init__(model, tokenizer, prompts, *rest)

    monkeypatch.setitem(function.__globals__, "Forcer", Watched)
    legibility(probe)
    assert len(read) == len(probe.traced)
    for case, prompt in zip(probe.traced, read, strict=True):
        assert prompt == probe.task.prompt(dataclasses.replace(case.example, question=""))
        assert case.example.question not in prompt


def test_white_space_is_not_read(probes):
    probe = probes["reasoner"]
    case = probe.traced[0]
    trace = case.trace
    blank = dataclasses.replace(
        trace, texts=tuple(" " if i in trace.reasoning else text for i, text in enumerate(trace.texts))
    )
    assert legibility(dataclasses.replace(probe, cases=(dataclasses.replace(case, found=blank),))) == {}


def test_nobody_reads_without_a_reader(probes):
    assert legibility(dataclasses.replace(probes["reasoner"], reader=None)) == {}
