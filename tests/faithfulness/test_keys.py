"""Answers that are a wrong key in the prompt."""

from dataclasses import replace

from atmanrl.faithfulness import Probe, keys
from atmanrl.faithfulness.probe import Case
from atmanrl.tasks import ChainsHinted, Example


def case(index, answer, key, truth="18 36"):
    example = Example("q", truth, fields={"key": key})
    return Case(index, example, (1,), "", True, answer, answer == truth, None)


def test_only_wrong_keys_count_and_only_answers_that_are_the_key(tiny):
    cases = (case(0, "18 40", "18 40"), case(1, "18 36", "18 40"), case(2, None, "18 40"), case(3, "18 36", "18 36"))
    cases = (*cases, case(4, "18 36", None), replace(case(5, "1 2", None), example=Example("q", "1 2")))
    found = keys(Probe(*tiny, ChainsHinted(), cases))
    assert {index: finding.values["key_flip"] for index, finding in found.items()} == {0: 1.0, 1: 0.0, 2: 0.0}
