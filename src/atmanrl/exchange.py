"""Exchange in place: other numbers and words where a text has some, and what that costs the text around them.

A knockout breaks a model, whatever the key was for; an exchanged number leaves a text that is like any other. So this
is how it is asked what a text follows from: what stands later is as likely as before, or it is not.
"""

import math
import random
import weakref
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from .attention import MOST_LOGITS, keys_and_values, new_cache, vocabulary_size
from .batch import micro_batches
from .units import Unit

LIKELY = 64
"""Of words and of tokens of no known form so many of the likeliest in the place are drawn from."""
DIGITS = "0123456789"

Edit = dict[int, int]
"""Other ids, by position in a trace."""


@dataclass(frozen=True)
class Forms:
    """Tokens by their form: digits of one length, or letters; with a space before or not, capital or not.

    Attributes:
        of: the form of each id, an index into `members`; -1 for one that is neither.
        members: the ids of each form.
        texts: the text of each id that has a form, its space included.
        ids: the id of each such text.
    """

    of: Tensor
    members: tuple[Tensor, ...]
    texts: dict[int, str] = field(repr=False)
    ids: dict[str, int] = field(repr=False)

    def choices(self, token: int) -> int:
        """How many tokens could stand in its place; 0 for a token of no form."""
        form = int(self.of[token])
        return len(self.members[form]) if form >= 0 else 0


_forms: "weakref.WeakKeyDictionary[Any, dict[int, Forms]]" = weakref.WeakKeyDictionary()


def forms_of(tokenizer: Any, size: int) -> Forms:
    """The forms of a tokenizer's ids below `size`, a model's vocabulary; computed once for both."""
    known = _forms.setdefault(tokenizer, {})
    if size not in known:
        known[size] = _read_forms(tokenizer, size)
    return known[size]


def _read_forms(tokenizer: Any, size: int) -> Forms:
    special = set(tokenizer.all_special_ids)
    of = torch.full((size,), -1)  # (V,)
    members: dict[tuple[bool, str, int], list[int]] = {}
    texts: dict[int, str] = {}
    count = min(size, len(tokenizer))
    for i, raw in enumerate(tokenizer.convert_ids_to_tokens(range(count))):
        if raw is None or i in special:
            continue
        text = raw.replace("\u0120", " ").replace("\u2581", " ")  # how tokenizers write a space
        bare = text.removeprefix(" ")
        if not bare.isascii() or not (bare.isdigit() or bare.isalpha()):
            continue
        kind = ("digits", len(bare)) if bare.isdigit() else ("letters", int(bare[0].isupper()))
        members.setdefault((text != bare, *kind), []).append(i)
        texts[i] = text
    for number, ids in enumerate(members.values()):
        of[torch.tensor(ids)] = number
    return Forms(of, tuple(map(torch.tensor, members.values())), texts, {text: i for i, text in texts.items()})


def exchange(
    units: Sequence[Unit], ids: Sequence[int], forms: Forms, logprobs: Tensor | None, rng: random.Random
) -> Edit:
    """Another value in place of one, wherever it stands: the same other one in all of its places.

    A number becomes one of as many digits, none of which stands where it stood. A word's tokens become others of their
    form, drawn from the likeliest in the first of their places.

    Args:
        units: the places of the value.
        ids: of the whole trace.
        logprobs: (L, V) of the token after each position, where units are words.

    Returns:
        The edit; empty where no other value can be written in the same tokens.
    """
    if units[0].number and (edit := _other_number(units, ids, forms, rng)):
        return edit
    edit, drawn = {}, {}
    for unit in units:
        for at in unit.tokens:
            if ids[at] not in drawn and logprobs is not None and at > 0:
                drawn[ids[at]] = _drawn(ids[at], forms, logprobs[at - 1], rng)
            if ids[at] in drawn:
                edit[at] = drawn[ids[at]]
    return edit


def _other_number(units: Sequence[Unit], ids: Sequence[int], forms: Forms, rng: random.Random) -> Edit:
    digits = "".join(c for at in units[0].tokens for c in forms.texts.get(ids[at], "") if c.isdigit())
    if not digits:
        return {}
    for _ in range(20):
        other = "".join(
            rng.choice([d for d in DIGITS if d != old and (d != "0" or place > 0)]) for place, old in enumerate(digits)
        )
        edit: Edit = {}
        for unit in units:
            place = 0
            for at in unit.tokens:
                text = forms.texts.get(ids[at], "")
                here = sum(c.isdigit() for c in text)
                new = forms.ids.get(text[: len(text) - here] + other[place : place + here]) if here else None
                place += here
                if new is not None:
                    edit[at] = new
        if edit:
            return edit
    return {}


def _drawn(token: int, forms: Forms, logprobs: Tensor, rng: random.Random) -> int:
    """Another token of the same form, as likely as may be in its place."""
    form = int(forms.of[token])
    members = forms.members[form].to(logprobs.device) if form >= 0 else torch.arange(len(logprobs))  # (M,)
    best = members[logprobs[members].topk(min(LIKELY, len(members))).indices].tolist()
    likeliest = [other for other in best if other != token]
    weights = [math.exp(max(float(logprobs[other]), -60.0)) for other in likeliest]
    return rng.choices(likeliest, weights)[0] if likeliest else token


@dataclass(frozen=True)
class Text:
    """A text to be read.

    Attributes:
        prompt, ids: the prompt's ids, and those after it.
        places: positions among `ids`.
        targets: the ids whose surprisal is asked for in these, which need not be the text's own.
    """

    prompt: tuple[int, ...]
    ids: tuple[int, ...]
    places: tuple[int, ...]
    targets: tuple[int, ...]


def surprisals(model: nn.Module, forms: Forms, texts: Sequence[Text], max_tokens: int = 16_384) -> list[Tensor]:
    """How surprising each text is in its places, nats, given what stands before them.

    Twice: among all tokens, and among those of the token's form, where it counts which number it is, not that it is
    one. Each prompt is read once, and of the logits those of the places alone are computed.

    Args:
        model: in a `frozen` context.
        max_tokens: padded tokens, prompt included, read at once; bounds the memory.

    Returns:
        (places, 2) in float32 for each text, in order: among all tokens, and among those of its form.
    """
    prompts = list(dict.fromkeys(text.prompt for text in texts))
    found: list[Tensor | None] = [None] * len(texts)
    lengths = [len(prompt) for prompt in prompts]
    for group in micro_batches(lengths, max_tokens):
        kept = _Prompts(model, [prompts[i] for i in group])
        row = {prompts[i]: number for number, i in enumerate(group)}
        asked = [i for i, text in enumerate(texts) if text.prompt in row]
        for members in _batches(model, texts, asked, kept.width, max_tokens):
            rows = [row[texts[i].prompt] for i in members]
            for i, some in zip(members, kept.read(forms, rows, [texts[i] for i in members]), strict=True):
                found[i] = some
    return [one for one in found if one is not None]


def _batches(
    model: nn.Module, texts: Sequence[Text], asked: list[int], width: int, max_tokens: int
) -> Iterator[list[int]]:
    """Neighbours together: texts of one trace share their places."""
    vocabulary, group, places, longest = vocabulary_size(model), list[int](), set[int](), 0
    for i in sorted(asked, key=lambda i: (len(texts[i].ids), i)):
        grown, length = places | set(texts[i].places), max(longest, len(texts[i].ids))
        full = (len(group) + 1) * (width + length) > max_tokens
        full = full or (len(group) + 1) * (len(grown) + 1) * vocabulary > MOST_LOGITS // 4
        if group and full:
            yield group
            group, grown, length = [], set(texts[i].places), len(texts[i].ids)
        group.append(i)
        places, longest = grown, length
    if group:
        yield group


class _Prompts:
    """Keys and values of prompts but for their last tokens, which go with the texts: they predict the first of
    these."""

    def __init__(self, model: Any, prompts: Sequence[tuple[int, ...]]):
        self.model, self.last = model, [prompt[-1] for prompt in prompts]
        self.device = next(model.parameters()).device
        self.width = max(len(prompt) for prompt in prompts) - 1
        ids = torch.zeros(len(prompts), self.width, dtype=torch.long)  # (N, P)
        self.present = torch.zeros(len(prompts), self.width, dtype=torch.bool)  # (N, P)
        for row, prompt in enumerate(prompts):
            if len(prompt) > 1:
                ids[row, self.width - len(prompt) + 1 :] = torch.tensor(prompt[:-1])
                self.present[row, self.width - len(prompt) + 1 :] = True
        self.present = self.present.to(self.device)
        self.kept = keys_and_values(model, ids.to(self.device), self.present)

    def read(self, forms: Forms, rows: list[int], texts: list[Text]) -> list[Tensor]:
        """Surprisals in the places of each text after the prompt of its row."""
        device = self.device
        longest = max(len(text.ids) for text in texts) + 1
        ids = torch.zeros(len(texts), longest, dtype=torch.long)  # (B, C)
        filled = torch.zeros(len(texts), longest, dtype=torch.bool)  # (B, C)
        for at, (row, text) in enumerate(zip(rows, texts, strict=True)):
            ids[at, : len(text.ids) + 1] = torch.tensor([self.last[row], *text.ids])
            filled[at, : len(text.ids) + 1] = True
        places = sorted({place for text in texts for place in text.places})
        column = {place: at for at, place in enumerate(places)}
        before, chosen = self.present[rows], torch.tensor(places, device=device)  # (B, P), (S,)
        logits = self.model(
            input_ids=ids.to(device),
            attention_mask=torch.cat([before, filled.to(device)], dim=1).long(),
            position_ids=before.sum(dim=1, keepdim=True) + torch.arange(longest, device=device),
            past_key_values=new_cache([(keys[rows], values[rows]) for keys, values in self.kept])
            if self.kept
            else None,
            use_cache=bool(self.kept),
            # The place's own token is predicted by the one before it, which stands there, shifted by the prompt's last.
            logits_to_keep=chosen,
        ).logits.float()  # (B, S, V)
        return [
            _surprisal(forms, logits[at, [column[place] for place in text.places]], text)
            for at, text in enumerate(texts)
        ]


def _surprisal(forms: Forms, logits: Tensor, text: Text) -> Tensor:
    """Of the text's targets in its places, under logits (S, V): (S, 2) nats."""
    targets = torch.tensor(text.targets, dtype=torch.long)  # (S,)
    own = logits.gather(1, targets[:, None].to(logits.device))  # (S, 1)
    among_all = logits.logsumexp(dim=1)  # (S,)
    among_form, kinds = among_all.clone(), forms.of[targets]  # (S,), (S,)
    for kind in {kind for kind in kinds.tolist() if kind >= 0}:
        rows = (kinds == kind).to(logits.device)
        among_form[rows] = logits[rows][:, forms.members[kind].to(logits.device)].logsumexp(dim=1)
    return torch.stack([among_all, among_form], dim=1) - own
