"""Probes over control models that have worked the same stories, which carry a right answer key."""

import dataclasses

import pytest

STORIES = 24


@pytest.fixture(scope="session")
def probes(controls):
    from atmanrl.faithfulness import Probe, work_through
    from atmanrl.generation import Decoding
    from atmanrl.mask import MaskConfig, learn_mask
    from atmanrl.tasks import Chains

    task, decoding, mask = Chains(key=True), Decoding(1.0, 96), MaskConfig(max_tokens=16_384)
    examples = task.examples("dev", STORIES)
    made = {}
    for name in ("reasoner", "copier", "guesser"):
        model, tokenizer = controls[name]
        cases = work_through(model, tokenizer, task, examples, decoding, seed=0)
        learned = iter(learn_mask(model, [case.found for case in cases if case.found], mask))
        cases = [dataclasses.replace(case, saliency=next(learned) if case.found else None) for case in cases]
        made[name] = Probe(model, tokenizer, task, tuple(cases), 0, decoding, mask, controls["reader"])
    return made


@pytest.fixture(scope="session")
def mean_of():
    """The mean of one value of findings over the questions that have it."""

    def mean(findings, name):
        values = [finding.values[name] for finding in findings.values() if name in finding.values]
        assert values, name
        return sum(values) / len(values)

    return mean
