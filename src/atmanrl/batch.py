"""Traces as one batch of tensors, padded on the left to one length."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from .saliency import Scope
from .trace import Trace


@dataclass(frozen=True)
class TraceBatch:
    """Traces padded on the left to one length L, each without its last token, whose row predicts nothing needed.

    Attributes:
        ids: (B, L) input ids.
        present: (B, L) true where there is a token, false on padding.
        reasoning: (B, L) true on the reasoning's tokens, the columns of the mask.
        answering: (B, L) true on the rows of cue and answer.
        targets: (B, A) ids of the answers, padded on the left.
        target_present: (B, A) true on real answer tokens.
    """

    ids: Tensor
    present: Tensor
    reasoning: Tensor
    answering: Tensor
    targets: Tensor
    target_present: Tensor

    @classmethod
    def of(cls, traces: Sequence[Trace], device: torch.device) -> "TraceBatch":
        length = max(len(trace) for trace in traces) - 1
        answers = max(len(trace.answer) for trace in traces)
        ids = torch.zeros(len(traces), length, dtype=torch.long)  # (B, L)
        present = torch.zeros(len(traces), length, dtype=torch.bool)  # (B, L)
        reasoning, answering = present.clone(), present.clone()
        targets = torch.zeros(len(traces), answers, dtype=torch.long)  # (B, A)
        target_present = torch.zeros(len(traces), answers, dtype=torch.bool)  # (B, A)
        for row, trace in enumerate(traces):
            pad = length - (len(trace) - 1)
            ids[row, pad:] = torch.tensor(trace.ids[:-1])
            present[row, pad:] = True
            reasoning[row, pad + trace.prompt_end : pad + trace.reasoning_end] = True
            answering[row, pad + trace.reasoning_end :] = True
            targets[row, answers - len(trace.answer) :] = torch.tensor(trace.ids[trace.cue_end :])
            target_present[row, answers - len(trace.answer) :] = True
        return cls(*(t.to(device) for t in (ids, present, reasoning, answering, targets, target_present)))

    def repeat(self, count: int) -> "TraceBatch":
        """A batch of one trace as `count` rows of it, without copying."""
        return TraceBatch(*(getattr(self, field.name).expand(count, -1) for field in fields(self)))

    def sees(self, scope: Scope) -> Tensor:
        """(B, L) true on the rows that see the mask: those of cue and `answer`, or `all`."""
        return self.answering if scope == "answer" else torch.ones_like(self.answering)

    def first_live(self, scope: Scope) -> int:
        """The first column whose row the mask can change in any trace; all rows before it can be cached."""
        if scope == "answer":
            return int(self.answering.any(dim=0).float().argmax())
        return int(self.reasoning.any(dim=0).float().argmax()) + 1


def positions(present: Tensor) -> Tensor:
    """The place of each token in its own text, from 0, given where there are tokens; both (B, L)."""
    return (present.long().cumsum(dim=1) - 1).clamp(min=0)


def prompt_columns(traces: Sequence[Trace], spans: Sequence[Sequence[range]]) -> Tensor:
    """Spans of positions in each trace as columns of a batch of them: (S, B, L), S the most spans of any."""
    length = max(len(trace) for trace in traces) - 1
    columns = torch.zeros(max(map(len, spans), default=0), len(traces), length, dtype=torch.bool)
    for row, (trace, own) in enumerate(zip(traces, spans, strict=True)):
        pad = length - (len(trace) - 1)
        for number, span in enumerate(own):
            columns[number, row, pad + span.start : pad + span.stop] = True
    return columns


def micro_batches(lengths: Sequence[int], max_tokens: int, rows: Sequence[int] | None = None) -> Iterator[list[int]]:
    """Indices grouped so that (group size) x (longest of the group) stays within `max_tokens`.

    A text longer than the bound gets a group of its own.

    Args:
        rows: what the members of a group should be alike in; by default their lengths.
    """
    rows = lengths if rows is None else rows
    group: list[int] = []
    for index in sorted(range(len(lengths)), key=lambda i: (rows[i], lengths[i], i)):
        longest = max(lengths[i] for i in (*group, index))
        if group and (len(group) + 1) * longest > max_tokens:
            yield group
            group = []
        group.append(index)
    if group:
        yield group
