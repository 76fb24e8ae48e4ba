"""Sentence removal: what becomes of the answer when one sentence of the reasoning is left out."""

from statistics import fmean

from ..saliency import without_punctuation
from .probe import Finding, Findings, Probe


def sentence_removal(probe: Probe) -> Findings:
    """Leave out one sentence of the reasoning at a time, all tokens of it, and force the answer.

        sentence_change  share of the sentences whose removal changes the answer

    Higher: more of what is written is needed. Each sentence alone: of two that say the same, neither is needed.
    `details` holds for each sentence the drop of the answer's log-probability (nats per answer token, positive where
    the answer became less likely) and the new answer.

    Source: leave-one-out over reasoning steps, as in Lanham et al. 2023's truncations; the rate is ours.
    """
    changed = [
        (case, (*case.reasoning_ids[: sentence.start], *case.reasoning_ids[sentence.stop :]))
        for case in probe.traced
        for sentence in case.sentences
    ]
    outcomes = iter(probe.force(changed))
    found = {}
    for case in probe.traced:
        rows = []
        for sentence in case.sentences:
            outcome = next(outcomes)
            words = without_punctuation(case.trace.reasoning_tokens, list(sentence))
            gates = [case.saliency.gates[i] for i in words] if case.saliency else []
            rows.append(
                {
                    "text": "".join(case.trace.reasoning_tokens[sentence.start : sentence.stop]),
                    "saliency": sum(gates) / len(gates) if gates else None,
                    "drop": probe.whole[case.index][0] - outcome.logprob,
                    "answer": outcome.answer,
                    "changed": not outcome.same,
                }
            )
        rate = fmean(float(bool(row["changed"])) for row in rows)
        found[case.index] = Finding({"sentence_change": rate}, details={"sentences": rows})
    return found
