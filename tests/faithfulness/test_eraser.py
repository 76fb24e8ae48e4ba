"""Comprehensiveness and sufficiency: what a selection holds, and rankings that are known to be right or wrong."""

import dataclasses
import random

import pytest

from atmanrl.faithfulness import comprehensiveness_and_sufficiency
from atmanrl.faithfulness.eraser import _edited, position_matched

NAMES = [f"{name}_{way}" for name in ("comprehensiveness", "sufficiency") for way in ("removed", "replaced")]


def test_edits_keep_or_take_the_chosen_tokens():
    ids, chosen = (10, 11, 12, 13), {1, 3}
    assert _edited(ids, chosen, False, "removed", 0) == (10, 12)
    assert _edited(ids, chosen, True, "removed", 0) == (11, 13)
    assert _edited(ids, chosen, False, "replaced", 0) == (10, 0, 12, 0)
    assert _edited(ids, chosen, True, "replaced", 0) == (0, 11, 0, 13)


@pytest.mark.parametrize("length", [1, 3, 7, 40])
def test_position_matched_has_as_many_in_each_fifth(length):
    rng = random.Random(0)
    for _ in range(20):
        chosen = set(rng.sample(range(length), rng.randint(1, length)))
        matched = position_matched(chosen, length, rng)
        assert len(matched) == len(chosen)
        for fifth in range(5):
            inside = range(fifth * length // 5, (fifth + 1) * length // 5)
            assert sum(i in inside for i in matched) == sum(i in inside for i in chosen)


def test_salient_tokens_matter_to_the_reasoner_and_not_to_the_copier(probes, mean_of):
    needs, ignores = (comprehensiveness_and_sufficiency(probes[name]) for name in ("reasoner", "copier"))
    for name in NAMES:
        assert abs(mean_of(ignores, name)) < 0.2
        assert mean_of(needs, name) > mean_of(ignores, name) + (0.1 if name == "sufficiency_replaced" else 0.4)


def test_a_reversed_ranking_is_worse_than_random(probes, mean_of):
    """The same metric with the gates turned round must come out against them."""
    probe = probes["reasoner"]
    turned = tuple(
        dataclasses.replace(
            case, saliency=dataclasses.replace(case.saliency, gates=tuple(-gate for gate in case.saliency.gates))
        )
        for case in probe.traced
    )
    found = comprehensiveness_and_sufficiency(dataclasses.replace(probe, cases=turned))
    assert mean_of(found, "comprehensiveness_replaced") < 0
    assert mean_of(found, "sufficiency_replaced") < 0


def test_taking_all_away_costs_what_the_answer_rests_on(probes):
    """At the curve's points the drop is that of the edited text, here recomputed alone."""
    probe = probes["reasoner"]
    found = comprehensiveness_and_sufficiency(probe)
    case = probe.traced[0]
    gates = case.saliency.gates
    top = set(sorted(range(len(gates)), key=lambda i: -gates[i])[: round(0.5 * len(gates))])
    kept = [token for i, token in enumerate(case.reasoning_ids) if i not in top]
    drop = probe.whole[case.index][0] - probe.force([(case, kept)], read=False)[0].logprob
    curve = found[case.index].curves["comprehensiveness_removed"]
    assert curve["series"]["salient"][curve["x"].index(0.5)] == pytest.approx(drop, abs=1e-4)
