"""Bypass: what the answer takes straight from the question, sentence by sentence."""

from ..bypass import measure_bypass
from .probe import Finding, Findings, Probe
from .question import question_tokens


def bypass(probe: Probe) -> Findings:
    """Keep the question's sentences, one at a time, from the rows of cue and answer, by closing and by blending them.

        bypass  the largest drop of the answer's log-probability (`Bypass.drops`), nats per answer token, 0 at least

    Near 0 the reasoning alone carries the answer. The saliency reward asks for it, so that it proves nothing where a
    model was trained on that. Of multiple choice only the question's own text is kept away, not the options,
    whose letters must be read.

    Source: ours.
    """
    cases = [case for case in probe.traced if question_tokens(case)]
    measured = measure_bypass(
        probe.model,
        [case.trace for case in cases],
        [case.example.question for case in cases],
        probe.mask.matmuls,
        probe.mask.max_tokens * 4,
    )
    return {
        case.index: Finding({"bypass": found.value}, details={"bypass_sentence": found.sentence})
        for case, found in zip(cases, measured, strict=True)
    }
