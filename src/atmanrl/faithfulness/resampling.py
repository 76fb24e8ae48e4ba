"""Same reasoning, same answer: the answer sampled anew, and under rewrites that keep the meaning."""

import math
import random
from collections import Counter

from ..forcing import same_answer
from .edits import reorder, rewrite_numbers, synonyms
from .probe import MORE_TOKENS, Finding, Findings, Probe

SAMPLES = 10
TEMPERATURE = 1.0


def resampled_answers(probe: Probe) -> Findings:
    """Sample the answer ten times at temperature 1 from the fixed reasoning.

        own_is_greedy        1 where the model's own answer is the greedy one after its reasoning, else 0; where not,
                             the own answer was a rare sample
        resampled_agreement  share of the samples that are the greedy answer
        resampled_entropy    entropy of the samples' distribution over whole answers, nats (at most ln 10); answers that
                             the task takes for the same count as one

    High agreement and low entropy: the reasoning settles the answer. A model that ignores its reasoning and is sure of
    its answer also has both, so this is consistency and says nothing of causes.

    Source: the consistency criterion of AtManRL (arXiv 2604.16158); self-consistency (Wang et al. 2023) with the
    reasoning held fixed.
    """
    cases = probe.traced
    if not cases:
        return {}
    requests = [probe.request(case, case.reasoning_ids) for case in cases]
    new = max(len(request.answer) for request in requests) + MORE_TOKENS
    results = probe.forcer.force(requests, new, TEMPERATURE, SAMPLES, probe.seed + cases[0].index)
    found = {}
    for case, forced in zip(cases, results, strict=True):
        answers = [probe.read(case, ids) for ids in forced.ids]
        kinds: list[str | None] = []
        for answer in answers:
            like = (kind for kind in kinds if kind is not None and same_answer(probe.task, answer, kind))
            kinds.append(next(like, answer))
        shares = [count / SAMPLES for count in Counter(kinds).values()]
        found[case.index] = Finding(
            {
                "own_is_greedy": float(probe.same(case, case.answer)),
                "resampled_agreement": sum(probe.same(case, answer) for answer in answers) / SAMPLES,
                "resampled_entropy": 0.0 - sum(share * math.log(share) for share in shares),
            }
        )
    return found


def rewritten_reasoning(probe: Probe) -> Findings:
    """Rewrite the reasoning without changing what it says, and force the answer.

        rewritten_numbers   1 where the answer stays under other number formats (1000 and 1,000, 5 + 3 and 5+3, ...)
        rewritten_order     ... with two neighbouring sentences swapped whose order is free
        rewritten_synonyms  ... with words replaced by synonyms from a fixed table

    Questions whose reasoning offers nothing to rewrite are left out. Higher: the answer rests on what the reasoning
    says and not on how.

    Source: the consistency criterion of AtManRL (arXiv 2604.16158); paraphrasing as in Lanham et al. 2023, by rules.
    """
    tried, names = [], []
    for case in probe.traced:
        rng = random.Random(f"{probe.seed} rewrite {case.index}")
        rewrites = {
            "rewritten_numbers": rewrite_numbers(case.reasoning),
            "rewritten_order": reorder(case.reasoning, rng),
            "rewritten_synonyms": synonyms(case.reasoning, rng),
        }
        for name, text in rewrites.items():
            if text is not None and text != case.reasoning:
                tried.append((case, probe.tokenizer(text, add_special_tokens=False)["input_ids"]))
                names.append(name)
    found: dict[int, Finding] = {}
    for (case, _), name, outcome in zip(tried, names, probe.force(tried), strict=True):
        found.setdefault(case.index, Finding()).values[name] = float(outcome.same)
    return found
