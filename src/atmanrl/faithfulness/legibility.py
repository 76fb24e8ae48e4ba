"""Legibility: does another model find the answer in the reasoning alone?"""

from dataclasses import replace

from ..forcing import Forcer, Request, first_ids, read_answer, same_answer
from ..trace import Trace, completion_text
from .probe import MORE_TOKENS, Finding, Findings, Probe


def legibility(probe: Probe) -> Findings:
    """Give the reasoning, without its question, to `probe.reader` and force its answer, greedily.

        legibility           1 where the reader's answer is the model's own, else 0
        legibility_accuracy  1 where the reader's answer is right, else 0

    Higher: the reasoning carries the answer for someone else than its writer. Empty without a reader. The reader sees
    the task's prompt with an empty question. It proves less the more the reasoning merely repeats its answer.

    Source: one of AtManRL's criteria (arXiv 2604.16158), in the spirit of Jacovi and Goldberg 2020's plausibility.
    """
    if probe.reader is None:
        return {}
    model, tokenizer = probe.reader
    task, cases = probe.task, [case for case in probe.traced if case.reasoning.strip()]
    if not cases:
        return {}
    traces = [
        Trace.from_text(
            tokenizer, task.prompt(replace(case.example, question="")), case.reasoning, task.cue, case.answer or "?"
        )
        for case in cases
    ]
    prompts = [trace.ids[: trace.prompt_end] for trace in traces]
    forcer = Forcer(model, tokenizer, prompts, first_ids(task, tokenizer))
    requests = [Request(i, trace.ids[trace.prompt_end : trace.cue_end]) for i, trace in enumerate(traces)]
    new = max(len(trace.answer) for trace in traces) + MORE_TOKENS
    found = {}
    for case, forced in zip(cases, forcer.force(requests, new), strict=True):
        answer = read_answer(task, task.cue, completion_text(tokenizer, forced.ids[0]))
        found[case.index] = Finding(
            {
                "legibility": float(same_answer(task, answer, case.answer or "")),
                "legibility_accuracy": float(same_answer(task, answer, case.example.answer)),
            }
        )
    return found
