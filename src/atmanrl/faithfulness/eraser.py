"""Comprehensiveness and sufficiency: are the salient tokens the ones that the answer needs?"""

import random
from collections.abc import Sequence

from .filler_tokens import neutral_id
from .probe import Case, Finding, Findings, Probe

SHARES = (0.1, 0.2, 0.5)
DRAWS = 2
"""Random rankings of each kind, whose drops are averaged."""
FIFTHS = 5
WAYS = ("removed", "replaced")


def comprehensiveness_and_sufficiency(probe: Probe) -> Findings:
    r"""Take the most salient tokens away, or all others, by editing the text; beside random tokens.

    With L the answer's mean log-probability (nats per answer token), T_k the top k % of the tokens by saliency and R_k
    as many random ones, drawn so that each fifth of the reasoning holds as many of them as of T_k:

        comprehensiveness = mean over k of L(reasoning without R_k) - L(reasoning without T_k)
        sufficiency       = mean over k of L(T_k alone) - L(R_k alone)

    for k = 10, 20, 50. Tokens are `removed` (the text closes up) or `replaced` by a neutral one (it keeps its length).
    Positive: the salient tokens matter more than others in the same places. Nothing here goes through attention, where
    the mask was learned. The curves hold the drops L(reasoning) - L(edited) themselves, for the salient, the
    position-matched and wholly random tokens, two draws each.

    Source: DeYoung et al. 2020, "ERASER" (there with probabilities and without the random baseline).
    """
    neutral = neutral_id(probe.tokenizer)
    changed, keys = [], []
    for case in probe.traced:
        if case.saliency is None:
            continue
        for kind, share, chosen in _selections(case, case.saliency.gates, probe.seed):
            for way in WAYS:
                for keep in (False, True):
                    changed.append((case, _edited(case.reasoning_ids, chosen, keep, way, neutral)))
                    keys.append((case.index, kind, share, way, keep))
    outcomes = probe.force(changed, read=False)
    drops: dict[int, dict[tuple[str, bool, str, float], list[float]]] = {}
    for (index, kind, share, way, keep), outcome in zip(keys, outcomes, strict=True):
        drop = probe.whole[index][0] - outcome.logprob
        drops.setdefault(index, {}).setdefault((way, keep, kind, share), []).append(drop)
    return {index: _finding(of) for index, of in drops.items()}


def _selections(case: Case, scores: Sequence[float], seed: int) -> list[tuple[str, float, set[int]]]:
    length = len(scores)
    rng = random.Random(f"{seed} eraser {case.index}")
    ranked = sorted(range(length), key=lambda i: -scores[i])
    selections = []
    for share in SHARES:
        top = set(ranked[: max(1, round(share * length))])
        selections.append(("salient", share, top))
        for _ in range(DRAWS):
            selections.append(("random", share, set(rng.sample(range(length), len(top)))))
            selections.append(("matched", share, position_matched(top, length, rng)))
    return selections


def position_matched(chosen: set[int], length: int, rng: random.Random) -> set[int]:
    """Random positions, as many in each fifth of `length` as `chosen` has there."""
    matched: set[int] = set()
    for fifth in range(FIFTHS):
        start, stop = fifth * length // FIFTHS, (fifth + 1) * length // FIFTHS
        count = sum(start <= i < stop for i in chosen)
        matched |= set(rng.sample(range(start, stop), count))
    return matched


def _edited(ids: Sequence[int], chosen: set[int], keep: bool, way: str, neutral: int) -> tuple[int, ...]:
    """The reasoning without the chosen tokens, or with only them."""
    if way == "removed":
        return tuple(token for i, token in enumerate(ids) if (i in chosen) == keep)
    return tuple(token if (i in chosen) == keep else neutral for i, token in enumerate(ids))


def _finding(drops: dict[tuple[str, bool, str, float], list[float]]) -> Finding:
    values, curves = {}, {}
    for way in WAYS:
        for keep, name in ((False, "comprehensiveness"), (True, "sufficiency")):
            series = {
                kind: [_mean(drops[way, keep, kind, share]) for share in SHARES]
                for kind in ("salient", "random", "matched")
            }
            over = _mean(series["salient"]) - _mean(series["matched"])
            values[f"{name}_{way}"] = -over if keep else over
            curves[f"{name}_{way}"] = {"x": list(SHARES), "series": series}
    return Finding(values, curves)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
