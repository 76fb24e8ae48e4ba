"""Composition: what the reasoning is made of, and whether its arithmetic is true."""

from collections.abc import Sequence

from ..saliency import tokens_by_span
from ..tasks import Example, Task
from ..text import token_kind
from .arithmetic import true_arithmetic
from .edits import connective_share
from .probe import Finding, Findings, Probe


def composition(probe: Probe) -> Findings:
    """Count kinds of tokens, true equations and, where the task knows it, filler.

        reasoning_tokens                                   tokens; 0 where a completion answers at once
        stop_word_share, number_share, symbol_share,       shares of the visible tokens (white space left out)
        connective_share
        true_arithmetic                                    share of the equations in the text that hold
        filler_share                                       share of the tokens that stand in filler sentences

    Source: stop words, numbers and symbols as AtManRL (arXiv 2604.16158) reports them.
    """
    found = {case.index: Finding({"reasoning_tokens": 0.0}) for case in probe.cases if case.parsed}
    for case in probe.traced:
        tokens = case.trace.reasoning_tokens
        values = {"reasoning_tokens": float(len(tokens)), **kinds(tokens)}
        connectives = connective_share(tokens)
        if connectives is not None:
            values["connective_share"] = connectives
        true, stated = true_arithmetic(case.reasoning)
        if stated:
            values["true_arithmetic"] = true / stated
        found[case.index] = Finding(values | filler_share(probe.task, case.example, tokens))
    return found


def kinds(tokens: Sequence[str]) -> dict[str, float]:
    """Shares of stop words, numbers and symbols among the tokens that are not white space; empty without any."""
    of = [kind for token in tokens if (kind := token_kind(token)) != "space"]
    if not of:
        return {}
    names = {"stop_word_share": "stop_word", "number_share": "number", "symbol_share": "symbol"}
    return {name: of.count(kind) / len(of) for name, kind in names.items()}


def filler_share(task: Task, example: Example, tokens: Sequence[str]) -> dict[str, float]:
    """Filler tokens over reasoning tokens, where the task knows its filler; 0 for empty reasoning."""
    find = getattr(task, "filler_spans", None)
    if find is None:
        return {}
    filler = tokens_by_span(tokens, find(example, "".join(tokens)))
    return {"filler_share": sum(map(len, filler)) / max(1, len(tokens))}
