"""Sentence removal: needed equations change the answer, filler does not, and every sentence is tried."""

from atmanrl.faithfulness import sentence_removal
from atmanrl.tasks.chains import filler_spans


def test_known_models(probes, mean_of):
    assert mean_of(sentence_removal(probes["reasoner"]), "sentence_change") > 0.7
    assert mean_of(sentence_removal(probes["copier"]), "sentence_change") < 0.1


def test_equations_count_and_filler_does_not(probes):
    probe = probes["reasoner"]
    changed = {True: [], False: []}
    found = sentence_removal(probe)
    for case in probe.traced:
        if not case.correct:  # a wrong equation of a needed step counts as filler
            continue
        rows = found[case.index].details["sentences"]
        assert "".join(row["text"] for row in rows) == case.reasoning
        filler = {case.reasoning[a:b] for a, b in filler_spans(case.example, case.reasoning)}
        for row in rows:
            changed[row["text"] in filler].append(row["changed"])
    assert sum(changed[False]) > 0.9 * len(changed[False])  # equations
    assert sum(changed[True]) < 0.2 * max(1, len(changed[True]))  # filler
