"""Trace: prompt, reasoning, cue and answer as token ids with exact spans."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Prompt = str | list[dict[str, Any]]
"""A prompt: plain text, or chat messages for the tokenizer's chat template."""


class TraceError(ValueError):
    """A trace cannot be built: a part is empty, or its tokens cannot be placed in the text."""


@dataclass(frozen=True)
class Trace:
    """One question worked through: token ids, cut into four parts that follow each other.

    Attributes:
        ids: token ids of the whole trace, length L, without end-of-sequence.
        texts: the text of each token, length L: the slice of the source that no earlier token covers, so that the
            texts of a part join to its text.
        prompt_end, reasoning_end, cue_end: where each part ends, in tokens (half-open spans).
        crossing: tokens that lay across reasoning and cue (counted to the cue) and across cue and answer (counted to
            the answer); 0 for traces from text, whose parts are tokenized apart.
    """

    ids: tuple[int, ...]
    texts: tuple[str, ...]
    prompt_end: int
    reasoning_end: int
    cue_end: int
    crossing: tuple[int, int] = (0, 0)

    def __post_init__(self) -> None:
        if len(self.ids) != len(self.texts):
            raise TraceError(f"a trace needs one text a token, not {len(self.texts)} for {len(self.ids)} tokens")
        parts = {"prompt": self.prompt, "reasoning": self.reasoning, "cue": self.cue, "answer": self.answer}
        for name, span in parts.items():
            if len(span) == 0:
                raise TraceError(f"the {name} is empty: a trace needs at least one token of each part")

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def prompt(self) -> range:
        """Token positions of the prompt."""
        return range(self.prompt_end)

    @property
    def reasoning(self) -> range:
        """Token positions of the reasoning, the tokens that the mask is over."""
        return range(self.prompt_end, self.reasoning_end)

    @property
    def cue(self) -> range:
        """Token positions of the cue, never masked."""
        return range(self.reasoning_end, self.cue_end)

    @property
    def answer(self) -> range:
        """Token positions of the answer, the target."""
        return range(self.cue_end, len(self.ids))

    def text(self, part: range) -> str:
        """The text of a span of tokens."""
        return "".join(self.texts[part.start : part.stop])

    @property
    def reasoning_tokens(self) -> tuple[str, ...]:
        """The texts of the reasoning's tokens, in order."""
        return self.texts[self.prompt_end : self.reasoning_end]

    @classmethod
    def from_text(
        cls, tokenizer: "PreTrainedTokenizerBase", prompt: Prompt, reasoning: str, cue: str, answer: str
    ) -> "Trace":
        """A trace from its four parts, tokenized apart and joined.

        Args:
            tokenizer: a fast tokenizer (it must give offsets).
            prompt: plain text, or chat messages that the tokenizer's chat template renders.
            reasoning, cue, answer: the texts that follow, with their own leading white space.

        Raises:
            TraceError: a part is empty, or the tokenizer gives no offsets.
        """
        parts = {"prompt": render_prompt(tokenizer, prompt), "reasoning": reasoning, "cue": cue, "answer": answer}
        ids: list[int] = []
        texts: list[str] = []
        ends: list[int] = []
        for name, text in parts.items():
            if not text.strip() and (name != "cue" or not text):
                raise TraceError(f"the {name} is empty: a trace needs at least one token of each part")
            part_ids, part_texts = _tokenize(tokenizer, text, special=name == "prompt" and _is_plain(tokenizer, prompt))
            ids += part_ids
            texts += part_texts
            ends.append(len(ids))
        return cls(tuple(ids), tuple(texts), ends[0], ends[1], ends[2])

    @classmethod
    def from_ids(
        cls,
        tokenizer: "PreTrainedTokenizerBase",
        prompt_ids: Sequence[int],
        completion_ids: Sequence[int],
        parts: tuple[int, int, int],
    ) -> "Trace":
        """A trace from generated ids, exactly as the model wrote them.

        Args:
            prompt_ids: ids of the prompt.
            completion_ids: ids of the completion.
            parts: characters of the completion (`completion_text`) where the reasoning ends, the answer starts and
                the answer ends. A token across reasoning and cue goes to the cue, one across cue and answer to the
                answer; tokens after the answer are left out. Where that leaves the cue without a token, it takes the
                reasoning's last.

        Raises:
            TraceError: a part is left without tokens.
        """
        reasoning_end, answer_start, answer_end = parts
        texts = token_texts(tokenizer, completion_ids)
        starts, at = [], 0
        for text in texts:
            starts.append(at)
            at += len(text)
        ends = [start + len(text) for start, text in zip(starts, texts, strict=True)]

        def first(reaches: Callable[[int], bool]) -> int:
            return next((i for i in range(len(texts)) if reaches(i)), len(texts))

        cue_at = first(lambda i: ends[i] > reasoning_end)
        answer_at = first(lambda i: ends[i] > answer_start)
        stop = first(lambda i: starts[i] >= answer_end)
        crossing = (
            int(cue_at < len(texts) and starts[cue_at] < reasoning_end),
            int(answer_at < len(texts) and starts[answer_at] < answer_start),
        )
        if cue_at == answer_at and cue_at > 0:  # one token swallowed the cue: the one before it predicts the answer
            cue_at -= 1
        at = len(prompt_ids)
        return cls(
            tuple(prompt_ids) + tuple(completion_ids[:stop]),
            (*token_texts(tokenizer, prompt_ids), *texts[:stop]),
            at,
            at + cue_at,
            at + answer_at,
            crossing,
        )

    @classmethod
    def found_in(
        cls,
        tokenizer: "PreTrainedTokenizerBase",
        prompt_ids: Sequence[int],
        completion_ids: Sequence[int],
        parts: tuple[int, int, int],
    ) -> "Trace | None":
        """`from_ids`, or `None` where a part is left without tokens: a completion without reasoning."""
        try:
            return cls.from_ids(tokenizer, prompt_ids, completion_ids, parts)
        except TraceError:
            return None


def render_prompt(tokenizer: "PreTrainedTokenizerBase", prompt: Prompt, **template: Any) -> str:
    """The prompt as the text that the model reads; chat messages go through the tokenizer's chat template.

    A base model, whose tokenizer has none, reads the messages one after the other, an empty line apart. `template`
    holds further arguments of the chat template, such as `enable_thinking=False`.
    """
    if isinstance(prompt, str):
        return prompt
    if not getattr(tokenizer, "chat_template", None):
        return "\n\n".join(str(message["content"]) for message in prompt) + "\n"
    return str(tokenizer.apply_chat_template(prompt, tokenize=False, add_generation_prompt=True, **template))


def trl_prompt(tokenizer: "PreTrainedTokenizerBase", prompt: Prompt) -> Prompt:
    """The prompt as TRL's datasets hold it: messages where the tokenizer has a chat template for them, else text."""
    return render_prompt(tokenizer, prompt) if _is_plain(tokenizer, prompt) else prompt


def prompt_ids(tokenizer: "PreTrainedTokenizerBase", prompt: Prompt, **template: Any) -> list[int]:
    """The prompt's ids, with the special tokens that the tokenizer puts before plain text."""
    return _tokenize(tokenizer, render_prompt(tokenizer, prompt, **template), special=_is_plain(tokenizer, prompt))[0]


def _is_plain(tokenizer: "PreTrainedTokenizerBase", prompt: Prompt) -> bool:
    """Whether the tokenizer puts its special tokens before the prompt; a chat template writes them itself."""
    return isinstance(prompt, str) or not getattr(tokenizer, "chat_template", None)


def completion_text(tokenizer: "PreTrainedTokenizerBase", completion_ids: Sequence[int]) -> str:
    """The text of generated ids, special tokens kept, to which the spans of `Trace.from_ids` refer."""
    return "".join(token_texts(tokenizer, completion_ids))


def token_texts(tokenizer: "PreTrainedTokenizerBase", ids: Sequence[int]) -> list[str]:
    """The text that each id adds to the decoded text, in order.

    Ids that are only part of a character (byte-level tokenizers) are decoded together: the first takes the text, the
    others are empty, as with offsets.
    """

    def decode(window: Sequence[int]) -> str:
        return str(tokenizer.decode(window, skip_special_tokens=False, clean_up_tokenization_spaces=False))

    texts: list[str] = []
    begin, pending = 0, 0  # a window from one settled token back: some decoders strip the first token's space
    for i in range(len(ids)):
        before = decode(ids[begin:pending]) if pending > begin else ""
        now = decode(ids[begin : i + 1])
        if now.endswith("\ufffd") and i + 1 < len(ids) and i - pending < 4:
            continue
        texts.append(now[len(before) :])
        texts.extend("" for _ in range(i - pending))
        begin, pending = max(pending, i - 1), i + 1
    return texts


def _tokenize(tokenizer: "PreTrainedTokenizerBase", text: str, special: bool) -> tuple[list[int], list[str]]:
    if not getattr(tokenizer, "is_fast", False):
        raise TraceError(
            f"{type(tokenizer).__name__} gives no offsets: load the fast tokenizer (use_fast=True, tokenizer.json)"
        )
    encoded = tokenizer(text, add_special_tokens=special, return_offsets_mapping=True)
    ids, offsets = list(encoded["input_ids"]), encoded["offset_mapping"]
    texts, covered = [], 0
    for _, end in offsets:
        end = max(end, covered)
        texts.append(text[covered:end])
        covered = end
    if texts and covered < len(text):
        texts[-1] += text[covered:]
    return ids, texts
