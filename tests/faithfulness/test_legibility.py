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


def test_nobody_reads_without_a_reader(probes):
    assert legibility(dataclasses.replace(probes["reasoner"], reader=None)) == {}
