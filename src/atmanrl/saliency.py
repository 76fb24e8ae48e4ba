"""Saliency: what a learned mask says of a trace, by token, word, sentence and kind of token."""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean
from typing import Any, Literal

from .text import KINDS, sentence_spans, token_kind

Scope = Literal["all", "answer"]

SALIENT_GATE = 0.1
"""A token is salient when its gate is over this; chosen on `chains` before any training (docs/method.md)."""


@dataclass(frozen=True)
class Segment:
    """Some of a reasoning's text with one saliency: a word or a sentence."""

    text: str
    saliency: float
    first_token: int
    last_token: int


@dataclass(frozen=True)
class Saliency:
    """Which reasoning tokens one answer rests on.

    Attributes:
        tokens: texts of the reasoning's tokens, length R; they join to the reasoning.
        gates: learned gate of each token, exp(m): 1 open, 0 closed; over 1 only with the `free` parametrisation.
        open, closed, learned: log-probability of the answer, mean over its tokens in nats, with the reasoning open
            (m = 0), closed (every reasoning key at the dtype's minimum) and under the learned mask.
        scope: the rows that saw the mask: `all` after the token, or those of cue and `answer` only.
        steps: optimiser steps taken.
        seconds: wall time of the batch that this trace was in, divided by its traces.
    """

    tokens: tuple[str, ...]
    gates: tuple[float, ...]
    open: float
    closed: float
    learned: float
    scope: Scope
    steps: int
    seconds: float

    @property
    def reliance(self) -> float:
        """open - closed in nats: what closing the reasoning costs the answer. Positive: it rests on it."""
        return self.open - self.closed

    @property
    def salient(self) -> tuple[bool, ...]:
        """Whether each token's gate is over `SALIENT_GATE`."""
        return tuple(gate > SALIENT_GATE for gate in self.gates)

    @property
    def density(self) -> float:
        """Salient tokens over reasoning tokens, from 0 to 1."""
        return sum(self.salient) / len(self.gates)

    @property
    def text(self) -> str:
        """The reasoning."""
        return "".join(self.tokens)

    def by_word(self, combine: Callable[[Iterable[float]], float] = max) -> list[Segment]:
        """Words (runs without white space, each with the white space before it) and their saliency."""
        return self._segments([m.span() for m in re.finditer(r"\s*\S+|\s+$", self.text)], combine)

    def by_sentence(self, combine: Callable[[Iterable[float]], float] = fmean) -> list[Segment]:
        """Sentences and their saliency, by default the mean of their tokens', punctuation left out.

        A full stop can be salient after a sentence that is not; without punctuation the mean tells needed equations
        from filler best (docs/method.md).
        """
        return self._segments(sentence_spans(self.text), combine, words_only=True)

    def by_kind(self) -> dict[str, float]:
        """Mean gate of the tokens of each kind that occurs: stop words, numbers, symbols, other words."""
        kinds = [token_kind(token) for token in self.tokens]
        means = {}
        for kind in KINDS:
            gates = [gate for gate, k in zip(self.gates, kinds, strict=True) if k == kind]
            if gates:
                means[kind] = sum(gates) / len(gates)
        return means

    def token_spans(self) -> list[tuple[int, int]]:
        """Characters of each token in the reasoning."""
        return _spans(self.tokens)

    def _segments(
        self, spans: list[tuple[int, int]], combine: Callable[[Iterable[float]], float], words_only: bool = False
    ) -> list[Segment]:
        segments = []
        for (start, end), members in zip(spans, tokens_by_span(self.tokens, spans), strict=True):
            if members:
                counted = without_punctuation(self.tokens, members) if words_only else members
                value = combine(self.gates[i] for i in counted)
                segments.append(Segment(self.text[start:end], value, members[0], members[-1]))
        return segments

    def to_json(self) -> dict[str, Any]:
        """Plain data, as files hold it."""
        return {**asdict(self), "reliance": self.reliance, "density": self.density}


def without_punctuation(tokens: Sequence[str], members: list[int]) -> list[int]:
    """Those of the tokens `members` that are more than punctuation or white space; all where none is."""
    return [i for i in members if tokens[i].strip(" \t\r\n.,;:!?\"'")] or members


def tokens_by_span(tokens: Iterable[str], spans: list[tuple[int, int]]) -> list[list[int]]:
    """For each character span, the indices of the tokens that begin in it.

    A token that starts with white space begins at its first visible character, so that a token such as `". "` or
    `" The"` is counted to the text that it shows.
    """
    starts = [
        start + len(text) - len(text.lstrip()) if text.strip() else start
        for text, (start, _) in zip(tokens, _spans(tokens), strict=True)
    ]
    return [[i for i, at in enumerate(starts) if start <= at < end] for start, end in spans]


def _spans(tokens: Iterable[str]) -> list[tuple[int, int]]:
    spans, at = [], 0
    for token in tokens:
        spans.append((at, at + len(token)))
        at += len(token)
    return spans
