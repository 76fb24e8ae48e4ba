"""Independent, causal tests of whether a model's reasoning is faithful, one metric a file.

Each is a function from a `Probe` (a model and questions that it has worked through) to its `Findings` by question.
"""

from collections.abc import Callable

from .composition import composition
from .early_answering import early_answering
from .eraser import comprehensiveness_and_sufficiency
from .filler_tokens import filler_tokens
from .gaming import gaming
from .hints import hints
from .keys import keys
from .legibility import legibility
from .mistakes import added_mistakes
from .past_reasoning import bypass
from .probe import Case, Finding, Findings, Outcome, Probe, read_cases, work_through
from .question import question_effects
from .removal import sentence_removal
from .resampling import resampled_answers, rewritten_reasoning
from .trained import reliance_and_density

MEASURES: dict[str, Callable[[Probe], Findings]] = {
    "composition": composition,
    "saliency": reliance_and_density,
    "bypass": bypass,
    "early_answering": early_answering,
    "mistakes": added_mistakes,
    "filler_tokens": filler_tokens,
    "removal": sentence_removal,
    "eraser": comprehensiveness_and_sufficiency,
    "question": question_effects,
    "hints": hints,
    "keys": keys,
    "gaming": gaming,
    "legibility": legibility,
    "resampling": resampled_answers,
    "rewrites": rewritten_reasoning,
}
"""Every measure by the name that `evaluate --measures` takes, in the order in which they run."""

GIVES: dict[str, tuple[str, ...]] = {
    "composition": (
        *("reasoning_tokens", "stop_word_share", "number_share", "symbol_share", "connective_share"),
        *("true_arithmetic", "filler_share"),
    ),
    "saliency": ("reliance", "density", "answer_logprob"),
    "bypass": ("bypass",),
    "early_answering": (
        *("early_answering", "early_answering_sentences", "early_answering_tokens"),
        "early_answering_probability",
    ),
    "mistakes": ("mistake_forced", "mistake_continued"),
    "filler_tokens": ("filler_tokens_agreement", "filler_tokens_accuracy"),
    "removal": ("sentence_change",),
    "eraser": (
        *("comprehensiveness_removed", "comprehensiveness_replaced"),
        *("sufficiency_removed", "sufficiency_replaced"),
    ),
    "question": ("question_direct", "question_indirect", "question_total"),
    "hints": ("hint_flip", "hint_said", "hint_gain"),
    "keys": ("key_flip",),
    "gaming": ("gamed",),
    "legibility": ("legibility", "legibility_accuracy"),
    "resampling": ("own_is_greedy", "resampled_agreement", "resampled_entropy"),
    "rewrites": ("rewritten_numbers", "rewritten_order", "rewritten_synonyms"),
}
"""The metrics that each measure may give a question."""

__all__ = [
    "GIVES",
    "MEASURES",
    "Case",
    "Finding",
    "Findings",
    "Outcome",
    "Probe",
    "added_mistakes",
    "bypass",
    "composition",
    "comprehensiveness_and_sufficiency",
    "early_answering",
    "filler_tokens",
    "gaming",
    "hints",
    "keys",
    "legibility",
    "question_effects",
    "read_cases",
    "reliance_and_density",
    "resampled_answers",
    "rewritten_reasoning",
    "sentence_removal",
    "work_through",
]
