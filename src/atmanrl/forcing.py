"""Forced answers: what a model answers, and how likely a given answer is, after a text that we chose.

Many texts after few prompts: each prompt is read once and its keys and values are shared by all texts after it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .attention import MOST_LOGITS, KeysAndValues, keys_and_values, new_cache, require_mask_support, vocabulary_size
from .generation import before_end, end_ids
from .logprobs import mean_logprob
from .model_state import frozen
from .tasks import Task

SPREAD = 32
"""Tokens by which texts of one batch may differ in length; bounds the padding."""


@dataclass(frozen=True)
class Request:
    """One text after one prompt.

    Attributes:
        prompt: which of the forcer's prompts.
        context: ids after the prompt up to the answer, one at least: reasoning, perhaps none of it, and cue.
        answer: ids whose log-probability is asked for; none when only the forced answer is.
    """

    prompt: int
    context: tuple[int, ...]
    answer: tuple[int, ...] = ()


@dataclass(frozen=True)
class Forced:
    """What came of a request.

    Attributes:
        logprob: of the answer asked for, mean over its tokens, nats; NaN where none was asked for.
        ids: what the model went on to write, one sequence a sample, each before the first end-of-sequence.
    """

    logprob: float
    ids: tuple[tuple[int, ...], ...] = ()


class Forcer:
    """Scores and forces answers after the same prompts.

    Args:
        model: a causal language model.
        tokenizer: its tokenizer.
        prompts: token ids of the prompts, whose keys and values are held until the forcer goes.
        first: ids that a forced answer may start with (`first_ids`); any when `None`.
        max_tokens: padded tokens, prompt included, in one batch; bounds the memory.

    Raises:
        AttentionError: the attention cannot tell padding from text in the way that is needed here.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        prompts: Sequence[Sequence[int]],
        first: Sequence[int] | None = None,
        max_tokens: int = 16_384,
    ):
        require_mask_support(model)
        self.first = first
        self.model, self.tokenizer, self.max_tokens = model, tokenizer, max_tokens
        self.device = next(model.parameters()).device
        self.stops = end_ids(model, tokenizer)
        longest = max(len(prompt) for prompt in prompts)
        ids = torch.zeros(len(prompts), longest, dtype=torch.long)  # (N, P)
        present = torch.zeros(len(prompts), longest, dtype=torch.bool)  # (N, P)
        for row, prompt in enumerate(prompts):
            ids[row, longest - len(prompt) :] = torch.tensor(list(prompt))
            present[row, longest - len(prompt) :] = True
        self.present = present.to(self.device)
        with frozen(model):
            self.kept = keys_and_values(model, ids.to(self.device), self.present, max_tokens)

    def force(
        self,
        requests: Sequence[Request],
        max_new_tokens: int = 0,
        temperature: float = 0.0,
        samples: int = 1,
        seed: int = 0,
    ) -> list[Forced]:
        """Score every request's answer and, where `max_new_tokens` is over 0, let the model go on after its context.

        Args:
            max_new_tokens: of each continuation at most.
            temperature: 0 is greedy.
            samples: continuations of each request.
            seed: of the sampling; the caller's random state stays as it is.

        Returns:
            One result a request, in order. Equal requests are computed once.
        """
        unique = list(dict.fromkeys(requests))
        results: dict[Request, Forced] = {}
        generator = torch.Generator(device=self.device).manual_seed(seed)
        with frozen(self.model), torch.no_grad():
            for members in self._batches(unique, samples):
                results.update(
                    zip(members, self._batch(members, max_new_tokens, temperature, samples, generator), strict=True)
                )
        return [results[request] for request in requests]

    def _batches(self, requests: list[Request], samples: int) -> Iterator[list[Request]]:
        group: list[Request] = []
        answers = 0
        vocabulary = vocabulary_size(self.model)
        for request in sorted(requests, key=lambda r: (len(r.context), len(r.answer))):
            answers = max(answers, len(request.answer))
            length = self.present.shape[1] + len(request.context) + answers
            spread = len(request.context) - len(group[0].context) if group else 0
            full = (len(group) + 1) * length * samples > self.max_tokens
            full = full or (len(group) + 1) * (spread + answers + 1) * vocabulary > MOST_LOGITS
            if group and (full or spread > SPREAD):
                yield group
                group, answers = [], len(request.answer)
            group.append(request)
        if group:
            yield group

    def _batch(
        self, members: list[Request], new: int, temperature: float, samples: int, generator: torch.Generator
    ) -> list[Forced]:
        rows = torch.tensor([request.prompt for request in members], device=self.device)
        texts = [[*request.context, *request.answer] for request in members]
        contexts = torch.tensor([len(request.context) for request in members], device=self.device)  # (B,)
        width, prompt_width = max(map(len, texts)), self.present.shape[1]
        ids = torch.tensor([[*text, *[0] * (width - len(text))] for text in texts], device=self.device)  # (B, C)
        # Padding stands right of the text, so that each row stays in one piece with its prompt (sliding windows).
        filled = (
            torch.arange(width, device=self.device) < torch.tensor(list(map(len, texts)), device=self.device)[:, None]
        )
        present = torch.cat([self.present[rows], filled], dim=1)  # (B, P + C)
        starts = self.present[rows].sum(dim=1)  # (B,)
        cache = new_cache([(keys[rows], values[rows]) for keys, values in self.kept])
        first, last = int(contexts.min()) - 1, max(map(len, texts))
        logits = self.model(
            input_ids=ids,
            attention_mask=present.long(),
            position_ids=starts[:, None] + torch.arange(width, device=self.device),
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=torch.arange(first, last, device=self.device),
        ).logits.float()  # (B, last - first, V)
        scores = self._scores(members, logits, contexts - 1 - first)
        if not new:
            return [Forced(score) for score in scores]
        at = logits[torch.arange(len(members)), contexts - 1 - first]  # (B, V)
        if self.first is not None:
            allowed = torch.full_like(at[:1], float("-inf"))  # (1, V)
            allowed[:, list(self.first)] = 0.0
            at = at + allowed
        # Turned to the right, so that every row ends with its context; what comes round to the left is not seen.
        shift = width - contexts  # (B,)
        total = prompt_width + width
        order = (torch.arange(total, device=self.device) - shift[:, None]) % total  # (B, P + C)
        seen = torch.arange(total, device=self.device) >= total - (starts + contexts)[:, None]  # (B, P + C)
        turned = [(_turn(layer.keys, order, samples), _turn(layer.values, order, samples)) for layer in cache.layers]
        seen, at, lengths = (t.repeat_interleave(samples, dim=0) for t in (seen, at, starts + contexts))
        written = self._write(turned, seen, lengths, at, new, temperature, generator)
        return [Forced(score, tuple(written[row * samples : (row + 1) * samples])) for row, score in enumerate(scores)]

    def _scores(self, members: list[Request], logits: Tensor, at: Tensor) -> list[float]:
        longest = max(len(request.answer) for request in members)
        if not longest:
            return [float("nan")] * len(members)
        answers = [[*request.answer, *[0] * (longest - len(request.answer))] for request in members]
        targets = torch.tensor(answers, device=self.device)  # (B, A)
        lengths = torch.tensor([len(request.answer) for request in members], device=self.device)
        present = torch.arange(longest, device=self.device) < lengths[:, None]  # (B, A)
        where = (at[:, None] + torch.arange(longest, device=self.device)).clamp(max=logits.shape[1] - 1)  # (B, A)
        picked = logits[torch.arange(len(members), device=self.device)[:, None], where]  # (B, A, V)
        return [float(score) for score in mean_logprob(picked, targets, present)]

    def _write(
        self,
        kept: KeysAndValues,
        seen: Tensor,
        lengths: Tensor,
        logits: Tensor,
        new: int,
        temperature: float,
        generator: torch.Generator,
    ) -> list[tuple[int, ...]]:
        cache, ids = new_cache(kept), []
        stops = torch.tensor(sorted(self.stops), device=self.device)
        ended = torch.zeros(len(seen), dtype=torch.bool, device=self.device)
        for step in range(new):
            if temperature > 0:
                token = torch.multinomial((logits / temperature).softmax(dim=-1), 1, generator=generator)  # (B, 1)
            else:
                token = logits.argmax(dim=-1, keepdim=True)
            ids.append(token)
            ended |= torch.isin(token[:, 0], stops)
            if step == new - 1 or ended.all():
                break
            seen = torch.cat([seen, torch.ones_like(seen[:, :1])], dim=1)
            logits = (
                self.model(
                    input_ids=token,
                    attention_mask=seen.long(),
                    position_ids=(lengths + step)[:, None],
                    past_key_values=cache,
                    use_cache=True,
                )
                .logits[:, -1]
                .float()
            )  # (B, V)
        return [tuple(before_end(row, self.stops)) for row in torch.cat(ids, dim=1).tolist()]


def _turn(tensor: Tensor, order: Tensor, samples: int) -> Tensor:
    """Keys or values (B, H, L, D) with their columns in another order a row, each row as often as it is sampled."""
    turned = tensor.gather(2, order[:, None, :, None].expand_as(tensor))
    return turned.repeat_interleave(samples, dim=0)


def first_ids(task: Task, tokenizer: Any) -> list[int] | None:
    """Ids that an answer of the task can start with: those of its `letters`, for multiple choice; `None` for any."""
    letters = getattr(task, "letters", None)
    if letters is None:
        return None
    written = [tokenizer(text, add_special_tokens=False)["input_ids"] for c in letters for text in (c, f" {c}")]
    return sorted({ids[0] for ids in written if len(ids) == 1}) or None


def read_answer(task: Task, cue: str, text: str) -> str | None:
    """The answer in what a model wrote after a cue, without white space around it: what the task can parse of it, else
    its first line; `None` for an empty one."""
    start = 1 + len(cue)
    parts = task.parse("." + cue + text)
    if parts is not None and parts.answer_end > start:
        return text[max(0, parts.answer_start - start) : parts.answer_end - start].strip()
    return text.split("\n")[0].strip() or None


def same_answer(task: Task, answer: str | None, other: str) -> bool:
    """Whether an answer is the other one, for the task or letter by letter."""
    return answer is not None and (answer.strip() == other.strip() or task.check(answer, other.strip()))
