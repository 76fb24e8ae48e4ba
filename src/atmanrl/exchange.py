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
from torch.nn.utils.rnn import pad_sequence

from .attention import MOST_LOGITS, keys_and_values, new_cache, vocabulary_size
from .batch import micro_batches
from .units import Unit

PEERS = 24
"""Of a token that holds no digits, so many of its form count as its like."""
DIGITS = "0123456789"

Edit = dict[int, int]
"""Other ids, by position in a trace."""


@dataclass(frozen=True)
class Forms:
    """Tokens by their form: digits of one length, letters, or neither; with a space before or not, capital or not.

    Attributes:
        of: the form of each id, an index into `members`; -1 for one that stands for no text.
        members: the ids of each form, ascending.
        digits: the text of each id that holds digits alone, its space included.
        ids: the id of each such text.
    """

    of: Tensor
    members: tuple[Tensor, ...]
    digits: dict[int, str] = field(repr=False)
    ids: dict[str, int] = field(repr=False)


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
    digits: dict[int, str] = {}
    count = min(size, len(tokenizer))
    for i, raw in enumerate(tokenizer.convert_ids_to_tokens(range(count))):
        if raw is None or i in special:
            continue
        text = raw.replace("\u0120", " ").replace("\u2581", " ")  # how tokenizers write a space
        bare = text.removeprefix(" ")
        if bare.isascii() and bare.isdigit():
            kind = ("digits", len(bare))
            digits[i] = text
        else:
            kind = ("letters", int(bare[0].isupper())) if bare.isascii() and bare.isalpha() else ("other", 0)
        members.setdefault((text != bare, *kind), []).append(i)
    for number, ids in enumerate(members.values()):
        of[torch.tensor(ids)] = number
    return Forms(of, tuple(map(torch.tensor, members.values())), digits, {text: i for i, text in digits.items()})


class Peers:
    """What could stand in a token's place, itself among them.

    For digits these are all of their form. Of other forms there are too many, most of them unlike it: its peers are the
    `PEERS` whose embeddings in the model are nearest to its own, by the cosine after the mean is taken off. A number
    word's are number words, in every language and script in which the model knows them.
    """

    def __init__(self, model: Any, tokenizer: Any):
        self.forms = forms_of(tokenizer, vocabulary_size(model))
        self.embeddings = model.get_input_embeddings().weight.detach()  # (V, D)
        self.known: dict[int, Tensor] = {}
        self.directions: dict[int, Tensor] = {}

    def of(self, token: int) -> Tensor:
        """Ids of a token's peers, on the CPU; itself alone where it stands for no text."""
        if token not in self.known:
            self.known[token] = self._nearest(token)
        return self.known[token]

    def guess(self, token: int) -> float:
        """Nats that a guess among the peers costs."""
        return math.log(len(self.of(token)))

    def _nearest(self, token: int) -> Tensor:
        form = int(self.forms.of[token])
        if form < 0:
            return torch.tensor([token])
        members = self.forms.members[form]
        if token in self.forms.digits or len(members) <= PEERS:
            return members
        if form not in self.directions:
            own = self.embeddings[members.to(self.embeddings.device)].float()  # (M, D)
            self.directions[form] = nn.functional.normalize(own - own.mean(dim=0), dim=1)
        directions = self.directions[form]  # (M, D)
        alike = directions @ directions[int(torch.searchsorted(members, token))]  # (M,)
        return members[alike.topk(PEERS).indices.cpu()]


def exchange(units: Sequence[Unit], ids: Sequence[int], peers: Peers, rng: random.Random) -> Edit:
    """Another value in place of one, wherever it stands: the same other one in all of its places.

    A number becomes one of as many digits, none of which stands where it stood. A word's tokens become peers of theirs.

    Args:
        units: the places of the value.
        ids: of the whole trace.

    Returns:
        The edit; empty where no other value can be written in the same tokens.
    """
    if units[0].number and (edit := _other_number(units, ids, peers.forms, rng)):
        return edit
    edit, drawn = {}, {}
    for unit in units:
        for at in unit.tokens:
            others = [peer for peer in peers.of(ids[at]).tolist() if peer != ids[at]]
            if others and ids[at] not in drawn:
                drawn[ids[at]] = rng.choice(others)
            if others:
                edit[at] = drawn[ids[at]]
    return edit


def _other_number(units: Sequence[Unit], ids: Sequence[int], forms: Forms, rng: random.Random) -> Edit:
    digits = "".join(c for at in units[0].tokens for c in forms.digits.get(ids[at], "") if c.isdigit())
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
                text = forms.digits.get(ids[at], "")
                here = sum(c.isdigit() for c in text)
                new = forms.ids.get(text[: len(text) - here] + other[place : place + here]) if here else None
                place += here
                if new is not None:
                    edit[at] = new
        if edit:
            return edit
    return {}


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


def surprisals(model: nn.Module, peers: Peers, texts: Sequence[Text], max_tokens: int = 16_384) -> list[Tensor]:
    """How surprising each text is in its places, nats, given what stands before them.

    Twice: among all tokens, and among the token's peers, where it counts which number it is, not that it is one. Each
    prompt is read once, and of the logits those of the places alone are computed.

    Args:
        model: in a `frozen` context.
        max_tokens: padded tokens, prompt included, read at once; bounds the memory.

    Returns:
        (places, 2) in float32 for each text, in order: among all tokens, and among its peers.
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
            for i, some in zip(members, kept.read(peers, rows, [texts[i] for i in members]), strict=True):
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

    def read(self, peers: Peers, rows: list[int], texts: list[Text]) -> list[Tensor]:
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
            _surprisal(peers, logits[at, [column[place] for place in text.places]], text)
            for at, text in enumerate(texts)
        ]


def _surprisal(peers: Peers, logits: Tensor, text: Text) -> Tensor:
    """Of the text's targets in its places, under logits (S, V): (S, 2) nats."""
    targets = torch.tensor(text.targets, dtype=torch.long, device=logits.device)  # (S,)
    own = logits.gather(1, targets[:, None])  # (S, 1)
    alike = pad_sequence([peers.of(target) for target in text.targets], batch_first=True, padding_value=-1)  # (S, N)
    alike = alike.to(logits.device)
    among_peers = logits.gather(1, alike.clamp(min=0)).masked_fill(alike < 0, -math.inf).logsumexp(dim=1)  # (S,)
    return torch.stack([logits.logsumexp(dim=1), among_peers], dim=1) - own
