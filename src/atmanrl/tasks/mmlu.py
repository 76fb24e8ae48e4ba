"""mmlu: multiple-choice questions of 57 subjects (Hendrycks et al. 2021)."""

import re
from dataclasses import dataclass
from difflib import get_close_matches
from functools import lru_cache

from .data import DataError, data_folder, load_rows
from .parsing import answer_letter, boxed
from .task import Example, Parsed

LETTERS = "ABCD"
INSTRUCTION = 'Reason step by step, then end with "The answer is X.", where X is the letter of your choice.'
FILES = {"train": "auxiliary_train", "dev": "dev", "test": "test"}
"""The hub's name for each split, and the file's in a folder."""

_SUBJECTS = """
    abstract_algebra anatomy astronomy business_ethics clinical_knowledge college_biology college_chemistry
    college_computer_science college_mathematics college_medicine college_physics computer_security conceptual_physics
    econometrics electrical_engineering elementary_mathematics formal_logic global_facts high_school_biology
    high_school_chemistry high_school_computer_science high_school_european_history high_school_geography
    high_school_government_and_politics high_school_macroeconomics high_school_mathematics high_school_microeconomics
    high_school_physics high_school_psychology high_school_statistics high_school_us_history high_school_world_history
    human_aging human_sexuality international_law jurisprudence logical_fallacies machine_learning management
    marketing medical_genetics miscellaneous moral_disputes moral_scenarios nutrition philosophy prehistory
    professional_accounting professional_law professional_medicine professional_psychology public_relations
    security_studies sociology us_foreign_policy virology world_religions
"""
SUBJECTS = tuple(_SUBJECTS.split())

_CHOICE = re.compile(r"[\s(\[*\"'$]*+([A-Da-d])(?:[.):\]].*|[\s*\"'$]*)", re.DOTALL)


@dataclass(frozen=True)
class MMLU:
    """MMLU. Train on `train` (the hub's `auxiliary_train`), choose on `dev`; `test` is to report, never to tune on.

    Attributes:
        data: a folder with `mmlu/auxiliary_train.jsonl`, `mmlu/dev.jsonl`, `mmlu/test.jsonl`; else `ATMANRL_DATA`, else
            the hub.
        subjects: only questions of these, in the data's order; all when empty. The hub's `auxiliary_train` names no
            subjects, so with it they are an error.
    """

    name: str = "mmlu"
    cue: str = "\nThe answer is "
    temperature: float = 0.0
    data: str | None = None
    subjects: tuple[str, ...] = ()

    @property
    def letters(self) -> str:
        """What an answer can be; a forced one is chosen among them."""
        return LETTERS

    def __post_init__(self) -> None:
        subjects = (self.subjects,) if isinstance(self.subjects, str) else tuple(self.subjects)
        object.__setattr__(self, "subjects", subjects)
        for subject in subjects:
            if subject not in SUBJECTS:
                close = ", ".join(get_close_matches(subject, SUBJECTS, n=5, cutoff=0.4))
                hint = f"did you mean {close}?" if close else f"they are {', '.join(SUBJECTS)}"
                raise ValueError(f"mmlu has no subject '{subject}': {hint}")

    def examples(self, split: str, limit: int | None = None) -> list[Example]:
        folder = data_folder(self.data)
        examples = _examples(split, str(folder) if folder else None)
        if self.subjects:
            if not any(e.fields["subject"] for e in examples):
                raise DataError(f"mmlu's {split} rows ({FILES[split]}) name no subjects: leave 'subjects' out for them")
            examples = tuple(e for e in examples if e.fields["subject"] in self.subjects)
            if not examples:
                raise DataError(f"mmlu's {split} rows hold no question of {', '.join(self.subjects)}")
        return list(examples[:limit])

    def prompt(self, example: Example) -> list[dict[str, str]]:
        """The question, a line a choice, the instruction; a question without choices holds them in its own text."""
        choices = zip(LETTERS, example.fields.get("choices", ()), strict=False)
        lines = "\n".join(f"{letter}. {choice}" for letter, choice in choices)
        parts = [example.question, lines, INSTRUCTION]
        return [{"role": "user", "content": "\n\n".join(part for part in parts if part)}]

    def parse(self, completion: str) -> Parsed | None:
        """The first "The answer is (B)" or "answer: B", else the last box, if it holds a choice."""
        parsed = answer_letter(completion)
        if parsed is None and (parsed := boxed(completion)) is not None:
            return parsed if _choice(completion[parsed.answer_start : parsed.answer_end]) else None
        return parsed

    def answer_text(self, example: Example) -> str:
        return example.answer if self.cue[-1:].isspace() else f" {example.answer}"

    def check(self, answer: str, truth: str) -> bool:
        """Whether the answer is the letter: "B", "(b)", "B." and "B) Paris" all are."""
        return _choice(answer) == (_choice(truth) or truth)


def _choice(text: str) -> str | None:
    match = _CHOICE.fullmatch(text)
    return match[1].upper() if match else None


@lru_cache(maxsize=8)
def _examples(split: str, folder: str | None) -> tuple[Example, ...]:
    if split not in FILES:
        raise ValueError(f"mmlu has no split '{split}': choose one of {', '.join(FILES)}")
    return tuple(
        Example(
            row["question"].strip(),
            row["answer"],
            fields={"choices": tuple(str(choice) for choice in row["choices"]), "subject": row.get("subject") or ""},
        )
        for row in load_rows("mmlu", FILES[split], folder)
    )
