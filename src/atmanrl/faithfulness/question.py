"""The question's direct and indirect effect: what the answer reads past its reasoning, and what through it."""

import torch
from torch import Tensor

from ..batch import TraceBatch, micro_batches
from ..bypass import tokens_of
from ..logprobs import hidden_logprobs
from ..model_state import frozen
from .probe import Case, Finding, Findings, Probe


def question_effects(probe: Probe) -> Findings:
    """Hide the question from the rows of cue and answer, from those of the reasoning, or from both.

        question_direct    drop of the answer's log-probability when cue and answer do not see the question: near 0, the
                           reasoning alone carries the answer
        question_indirect  drop when the reasoning's rows do not see it; its tokens stay what they are, so this is not
                           the way from question to reasoning to answer, but what the rows carry beside their tokens
        question_total     drop when neither does

    In nats per answer token, positive where the answer became less likely. What follows the question in the prompt
    (instruction, template) has read it and could pass it on, so it is hidden from cue and answer too, but not from the
    reasoning's rows, which have nothing else before them. For multiple choice only the question's own text is hidden,
    since the letters must be read from the prompt. Hiding a question leaves the model with a text unlike any it was
    trained on, so a large drop can also be that; a small one is the informative outcome.

    Source: ours; the mirror of reliance, named after the effects of causal mediation (Vig et al. 2020).
    """
    found = {}
    device = next(probe.model.parameters()).device
    cases = [case for case in probe.traced if question_tokens(case)]
    with frozen(probe.model):
        for members in micro_batches([len(case.trace) for case in cases], 4096):
            chosen = [cases[i] for i in members]
            batch = TraceBatch.of([case.trace for case in chosen], device)
            own, onward = _columns(probe, chosen, batch)
            hidden = {
                "question_direct": [(batch.answering, onward)],
                "question_indirect": [(batch.reasoning, own)],
                "question_total": [(batch.answering, onward), (batch.reasoning, own)],
            }
            opened = hidden_logprobs(probe.model, batch, [])
            drops = {
                name: (opened - hidden_logprobs(probe.model, batch, pairs)).tolist() for name, pairs in hidden.items()
            }
            for row, case in enumerate(chosen):
                found[case.index] = Finding({name: drops[name][row] for name in hidden})
    return found


def _columns(probe: Probe, cases: list[Case], batch: TraceBatch) -> tuple[Tensor, Tensor]:
    """The columns of the question's own text, and those from its start to the prompt's end: (B, L) each."""
    own, onward = torch.zeros_like(batch.reasoning), torch.zeros_like(batch.reasoning)
    for row, case in enumerate(cases):
        pad = batch.ids.shape[1] - (len(case.trace) - 1)
        span = question_tokens(case)
        own[row, pad + span.start : pad + span.stop] = True
        onward[row, pad + span.start : pad + case.trace.prompt_end] = True
    return own, own if hasattr(probe.task, "letters") else onward


def question_tokens(case: Case) -> range:
    """Positions in the trace of the tokens of the question's own text; empty where the prompt does not hold it."""
    return tokens_of(case.trace, case.example.question.strip())
