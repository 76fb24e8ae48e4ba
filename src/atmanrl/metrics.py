"""Every metric there is: what it is called, what it says, its unit, which way is more faithful, and where it is from.

A table of plain data for views and comparisons; how a metric is computed stands in its file under `faithfulness/`.
"""

from dataclasses import dataclass
from typing import Literal

Group = Literal["Task", "Causal relevance", "Interpretability", "Consistency", "Saliency (trained on)"]
Unit = Literal["rate", "nats", "tokens", "count"]

TRAINED_ON: Group = "Saliency (trained on)"
"""The group that proves nothing where it was trained on."""
NEAR_TRAINED_ON = (
    "comprehensiveness_removed",
    "comprehensiveness_replaced",
    "sufficiency_removed",
    "sufficiency_replaced",
    "question_direct",
)
"""As little: ERASER of the tokens that the mask picked, and what is nearly bypass."""


@dataclass(frozen=True)
class Description:
    """One metric.

    Attributes:
        label: what tables call it.
        group: the criterion that it tests; `Saliency (trained on)` proves nothing where it was trained on.
        unit: `rate` is a share from 0 to 1, shown in percent; `nats` are per answer token.
        better: which way speaks for reasoning that matters; `None` where neither does by itself.
        what: one sentence.
    """

    label: str
    group: Group
    unit: Unit
    better: Literal["higher", "lower"] | None
    what: str


def _of(
    group: Group, rows: dict[str, tuple[str, Unit, Literal["higher", "lower"] | None, str]]
) -> dict[str, Description]:
    return {name: Description(label, group, unit, better, what) for name, (label, unit, better, what) in rows.items()}


METRICS: dict[str, Description] = {
    **_of(
        "Task",
        {
            "accuracy": ("Accuracy", "rate", "higher", "Right answers."),
            "parsed_rate": (
                "Answers in the asked form",
                "rate",
                None,
                "Completions that hold an answer in the asked form.",
            ),
            "answer_logprob": (
                "Answer log-probability",
                "nats",
                None,
                "Of the model's own answer after its own reasoning.",
            ),
        },
    ),
    **_of(
        "Causal relevance",
        {
            "early_answering": (
                "Early answering, area by fraction",
                "rate",
                "higher",
                "Share of the reasoning over which a forced answer is not yet the final one (Lanham et al. 2023).",
            ),
            "early_answering_sentences": (
                "Early answering, area by sentence",
                "rate",
                "higher",
                "The same, cut at sentence boundaries.",
            ),
            "early_answering_tokens": (
                "Early answering, area by tokens",
                "tokens",
                "higher",
                "The same area over absolute tokens, which shorter reasoning does not inflate.",
            ),
            "early_answering_probability": (
                "Early answering, area over the answer's probability",
                "rate",
                "higher",
                "Mean over the cuts of one minus the answer's probability (geometric mean of its tokens').",
            ),
            "mistake_forced": (
                "Mistake added, answer forced",
                "rate",
                "higher",
                "Answers that change when one number of one step is changed and the rest kept (Lanham et al. 2023).",
            ),
            "mistake_continued": (
                "Mistake added, model goes on",
                "rate",
                "higher",
                "Answers that change when the model goes on by itself after the changed step.",
            ),
            "filler_tokens_agreement": (
                "Answer kept under neutral tokens",
                "rate",
                "lower",
                "Forced answers that stay when as many neutral tokens stand for the reasoning (Lanham et al. 2023).",
            ),
            "filler_tokens_accuracy": (
                "Accuracy under neutral tokens",
                "rate",
                "lower",
                "Forced answers that are right with as many neutral tokens for reasoning.",
            ),
            "sentence_change": (
                "Sentences that change the answer",
                "rate",
                "higher",
                "Sentences of the reasoning whose removal changes the forced answer.",
            ),
            "comprehensiveness_removed": (
                "Comprehensiveness over random, removed",
                "nats",
                "higher",
                "Drop of the answer when the most salient 10, 20, 50 % of tokens are removed, less the drop for "
                "position-matched random tokens (ERASER, DeYoung et al. 2020).",
            ),
            "comprehensiveness_replaced": (
                "Comprehensiveness over random, replaced",
                "nats",
                "higher",
                "The same with the tokens replaced by neutral ones.",
            ),
            "sufficiency_removed": (
                "Sufficiency over random, removed",
                "nats",
                "higher",
                "The answer on the most salient 10, 20, 50 % of tokens alone, less on random ones in like places.",
            ),
            "sufficiency_replaced": (
                "Sufficiency over random, replaced",
                "nats",
                "higher",
                "The same with all other tokens replaced by neutral ones.",
            ),
            "question_direct": (
                "Question read past the reasoning",
                "nats",
                "lower",
                "Drop of the answer when the question is hidden from the rows of cue and answer: its direct effect.",
            ),
            "question_indirect": (
                "Question read by the reasoning's rows",
                "nats",
                None,
                "Drop when the question is hidden from the reasoning's rows, whose tokens stay as they are.",
            ),
            "question_total": ("Question hidden from all", "nats", None, "Drop when both lose the question."),
            "hint_flip": (
                "Flips to a wrong hint",
                "rate",
                "lower",
                "Answers that become the wrong one that the prompt suggests (Turpin et al. 2023).",
            ),
            "hint_said": (
                "Hint owned up to",
                "rate",
                "higher",
                "Of the answers that flipped to a hint, those whose reasoning mentions it (Chen et al. 2025).",
            ),
            "key_flip": (
                "Answers that are a wrong key",
                "rate",
                "lower",
                "Answers that are the wrong key in the question, of the questions that hold one.",
            ),
            "hint_gain": (
                "Right by a right hint",
                "rate",
                "lower",
                "Wrong or missing answers that become right when the prompt suggests the right one.",
            ),
        },
    ),
    **_of(
        "Interpretability",
        {
            "reasoning_tokens": ("Reasoning tokens", "tokens", None, "Length of the reasoning."),
            "stop_word_share": ("Stop words", "rate", None, "Share of the reasoning's visible tokens."),
            "number_share": ("Numbers", "rate", None, "Share of the reasoning's visible tokens."),
            "symbol_share": ("Symbols", "rate", None, "Share of the reasoning's visible tokens."),
            "connective_share": (
                "Connectives",
                "rate",
                None,
                "Share of visible tokens: because, so, then, therefore ...",
            ),
            "true_arithmetic": ("Arithmetic that is true", "rate", "higher", "Equations in the reasoning that hold."),
            "filler_share": ("Filler", "rate", "lower", "Tokens of sentences that state no needed step, where known."),
            "legibility": (
                "Legible to another model",
                "rate",
                "higher",
                "Answers that another model finds from the reasoning alone, without the question.",
            ),
            "legibility_accuracy": (
                "Another model right",
                "rate",
                "higher",
                "Right answers of another model from the reasoning alone.",
            ),
        },
    ),
    **_of(
        "Consistency",
        {
            "own_is_greedy": (
                "Own answer is the greedy one",
                "rate",
                None,
                "Where it is not, the answer was a rare sample; the tests ask what becomes of the greedy one.",
            ),
            "resampled_agreement": (
                "Same reasoning, same answer",
                "rate",
                "higher",
                "Answers sampled anew from the fixed reasoning that equal the greedy one.",
            ),
            "resampled_entropy": ("Entropy of resampled answers", "nats", "lower", "Of the sampled answers, whole."),
            "rewritten_numbers": ("Same under other number formats", "rate", "higher", "Forced answers that stay."),
            "rewritten_order": ("Same under another free order", "rate", "higher", "Forced answers that stay."),
            "rewritten_synonyms": ("Same under synonyms", "rate", "higher", "Forced answers that stay."),
        },
    ),
    **_of(
        "Saliency (trained on)",
        {
            "reliance": ("Reliance", "nats", "higher", "Drop of the answer when all reasoning is closed by attention."),
            "bypass": (
                "Bypass",
                "nats",
                "lower",
                "Largest drop of the answer when one sentence of the question is kept from the rows of cue and answer.",
            ),
            "gamed": (
                "Tricks rewarded over the worked solution",
                "rate",
                "lower",
                "Questions for which a trick (answer told at once, bare numbers, padding) has the larger reward.",
            ),
            "density": ("Density", "rate", "higher", "Salient tokens over reasoning tokens."),
        },
    ),
}
"""In the order in which tables show them."""

ROW_FIELDS = {"accuracy": "correct", "parsed_rate": "parsed"}
"""Metrics that stand in a row under another name."""
