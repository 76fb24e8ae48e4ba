"""Log-probabilities of answers, and of reasoning, under masks."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from .attention import (
    GATED,
    SUPPRESSED,
    KeysAndValues,
    attention_implementation,
    compute_dtype,
    kept_cache,
    keys_and_values,
)
from .batch import TraceBatch, positions
from .saliency import Scope


class AnswerScorer:
    """Scores the answers of a batch of traces under masks on their reasoning.

    Rows before the first that sees the mask do not depend on it: their keys and values are computed once and kept.

    Args:
        model: a causal language model in a `frozen` context.
        batch: the traces.
        scope: the rows that see the mask.
        first_row: the first row that is computed anew at each call; by default the first that the mask can change. 0
            keeps nothing: the slow reference.
        before: keys and values of the rows before it, where they are known already.
        unread: (B, L) columns of the prompt that the rows of cue and answer do not see.
    """

    def __init__(
        self,
        model: nn.Module,
        batch: TraceBatch,
        scope: Scope,
        first_row: int | None = None,
        before: KeysAndValues | None = None,
        unread: Tensor | None = None,
    ):
        self.model, self.batch, self.scope = model, batch, scope
        self.first_row = batch.first_live(scope) if first_row is None else first_row
        self.positions = positions(batch.present)[:, self.first_row :]  # (B, Q)
        self.rows = batch.sees(scope)[:, self.first_row :]  # (B, Q)
        if before is None:
            before = keys_and_values(model, batch.ids[:, : self.first_row], batch.present[:, : self.first_row])
        self.before = before
        self.options: dict[str, Any] = {}
        if unread is not None:
            hidden = batch.answering[:, self.first_row :, None] & unread[:, None, :]  # (B, Q, K)
            self.options["visible"] = ~hidden

    def __call__(self, mask: Tensor) -> Tensor:
        """Log-probability of each answer, mean over its tokens, nats.

        Args:
            mask: (B, L) m of every column, 0 outside the reasoning; may need gradient. For a batch of one trace, any
                number of masks (N, L).

        Returns:
            (B,) in float32, or (N,).
        """
        rows = self.rows.expand(len(mask), -1)
        return self._scored(GATED, len(mask), key_mask=mask, mask_rows=rows, **self.options)

    def suppressed(self, factors: Tensor) -> Tensor:
        """The same with attention logits multiplied, not shifted: every key's logits in all rows, counted from the
        smallest that the row sees, by its factor. The token's own row is among them, so it must not be kept.

        Args:
            factors: (N, L) of every column, 1 where nothing changes.

        Returns:
            (N,) in float32.
        """
        return self._scored(SUPPRESSED, len(factors), key_factors=factors)

    def following(self, mask: Tensor, weight: float) -> Tensor:
        """The same, and the log-probability of each reasoning token under the mask, weighted by its own gate.

        The gates of the weighting have no gradient: a token is not closed for being hard to predict. Reasoning tokens
        that no computed row predicts, the first two of the longest, are left out: no mask changes them.

        Args:
            mask: (B, L) m of every column; may need gradient.
            weight: of a fully open reasoning token, in answer tokens.

        Returns:
            (B,) log-probability a token of the answer, float32, nats.
        """
        batch = self.batch
        rows = torch.arange(len(self.rows[0]), device=mask.device)
        logits = self._logits(GATED, len(mask), rows, key_mask=mask, mask_rows=self.rows, **self.options)  # (B, Q, V)
        after = slice(self.first_row + 1, None)
        targets = torch.cat([batch.ids[:, after], batch.targets[:, -1:]], dim=1)  # (B, Q)
        gates = torch.where(batch.reasoning[:, after], mask[:, after].detach().exp(), 0.0)  # (B, Q - 1)
        counts = torch.cat([weight * gates, torch.zeros_like(gates[:, :1])], dim=1)  # (B, Q)
        counts[:, -batch.targets.shape[1] :] += batch.target_present
        logprobs = torch.where(counts > 0, token_logprobs(logits, targets), 0.0)  # (B, Q)
        return (counts * logprobs).sum(dim=1) / batch.target_present.sum(dim=1)

    def _scored(self, implementation: str, count: int, **options: Any) -> Tensor:
        """Log-probability of each answer under an attention of ours, which is given the options."""
        keep = last_rows(self.batch.ids.shape[1] - self.first_row, self.batch.targets)
        logits = self._logits(implementation, count, keep, **options)  # (B, A, V)
        targets, present = self.batch.targets, self.batch.target_present
        return mean_logprob(logits, targets.expand(count, -1), present.expand(count, -1))

    def _logits(self, implementation: str, count: int, keep: Tensor, **options: Any) -> Tensor:
        """Logits of the rows to `keep`, places among those that are computed."""
        batch, before = self.batch, self.before
        if count != len(batch.ids):
            batch = batch.repeat(count)
            before = [(k.expand(count, -1, -1, -1), v.expand(count, -1, -1, -1)) for k, v in before]
        with attention_implementation(self.model, implementation):
            logits: Tensor = self.model(
                input_ids=batch.ids[:, self.first_row :],
                attention_mask=batch.present.long(),
                position_ids=self.positions.expand(count, -1),
                past_key_values=kept_cache(before) if before else None,
                use_cache=bool(before),
                logits_to_keep=keep,
                **options,
            ).logits
        return logits

    @property
    def closed_mask(self) -> Tensor:
        """(B, L) every reasoning key at the dtype's minimum."""
        low = torch.finfo(compute_dtype(self.model)).min
        return torch.where(self.batch.reasoning, low, 0.0)


def attention_received(model: nn.Module, batch: TraceBatch) -> Tensor:
    """Attention of the rows that predict the answer to every column, mean over layers, heads and those rows: (B, L).

    Args:
        model: in a `frozen` context; its eager implementation is used, which holds all weights at once.
    """
    rows = batch.targets.shape[1]
    with attention_implementation(model, "eager"), torch.no_grad():
        weights = model(
            input_ids=batch.ids,
            attention_mask=batch.present.long(),
            position_ids=positions(batch.present),
            use_cache=False,
            output_attentions=True,
            logits_to_keep=1,
        ).attentions
    predicting = batch.target_present[:, :, None].float()  # (B, A, 1)
    total = torch.zeros(*predicting.shape[:2], batch.ids.shape[1], device=batch.ids.device)  # (B, A, L)
    for layer in weights:
        total += layer[:, :, -rows:].float().mean(dim=1) * predicting
    return total.sum(dim=1) / predicting.sum(dim=1) / len(weights)


def hidden_logprobs(model: nn.Module, batch: TraceBatch, hidden: Sequence[tuple[Tensor, Tensor]]) -> Tensor:
    """Log-probability of each answer with some keys closed to some rows, mean over its tokens, nats.

    Args:
        model: in a `frozen` context.
        hidden: pairs of rows that lose sight and the keys that they lose, each (B, L); never a row's own.

    Returns:
        (B,) in float32.
    """
    length = batch.ids.shape[1]
    itself = torch.eye(length, dtype=torch.bool, device=batch.ids.device)  # (Q, K)
    closed = torch.zeros(len(batch.ids), length, length, dtype=torch.bool, device=batch.ids.device)  # (B, Q, K)
    for rows, columns in hidden:
        closed |= rows[:, :, None] & columns[:, None, :] & ~itself
    with attention_implementation(model, GATED), torch.no_grad():
        logits = model(
            input_ids=batch.ids,
            attention_mask=batch.present.long(),
            position_ids=positions(batch.present),
            use_cache=False,
            visible=~closed,
            logits_to_keep=last_rows(length, batch.targets),
        ).logits  # (B, A, V)
    return mean_logprob(logits, batch.targets, batch.target_present)


def last_rows(rows: int, targets: Tensor) -> Tensor:
    """The places, among `rows`, of those that predict the targets (B, A): what `logits_to_keep` takes.

    As a number it would slice, and of a slice the language-model head multiplies a copy of its weights a trace.
    """
    return torch.arange(rows - targets.shape[1], rows, device=targets.device)


def token_logprobs(logits: Tensor, targets: Tensor) -> Tensor:
    """Log-probability of targets (B, A) under logits (B, A, V): (B, A), nats, float32."""
    return logits.float().log_softmax(dim=-1).gather(-1, targets[..., None]).squeeze(-1)


def mean_logprob(logits: Tensor, targets: Tensor, present: Tensor) -> Tensor:
    """The same, mean over the present targets: (B,)."""
    return torch.where(present, token_logprobs(logits, targets), 0.0).sum(dim=1) / present.sum(dim=1)
