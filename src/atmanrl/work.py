"""Work: how far an answer was worked out in its reasoning, from what the question gives.

Text that merely carries an answer has to get it from somewhere. Its numbers, and its words where they carry something,
are exchanged in place, one value at a time; what each of these readings finds is followed back to the question by the
`ledger`.
"""

import random
import zlib
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import nn

from .attention import require_mask_support
from .bypass import tokens_of
from .exchange import Edit, Peers, Text, exchange, surprisals
from .ledger import LEAST_DROP, NEAR_LARGEST, Case, Ledger, Row, Work, piece_drops
from .model_state import Matmuls, frozen, matmul_precision
from .trace import Trace
from .units import Unit, units_of


class WorkError(ValueError):
    """Work cannot be measured: a question cannot be found in its trace, or it is empty."""


def measure_work(
    model: nn.Module,
    tokenizer: Any,
    traces: Sequence[Trace],
    questions: Sequence[str],
    matmuls: Matmuls = "bfloat16",
    max_tokens: int = 16_384,
) -> list[Work]:
    """How far each answer was worked out in its reasoning.

    One reading of each text, one for each number in its reasoning, in whose place another stands, and two or more with
    the question's numbers exchanged; no gradient, no mask. One reading has all words exchanged; where they carry what
    numbers do not, each counts as a number does. What is drawn for a value depends on the value alone, so that a text
    is worth the same whenever it is measured, and a sentence more or less changes no other draw.

    Args:
        questions: each trace's question as it stands in the prompt; what stands there may be used.
        matmuls: how a CPU multiplies float32 matrices; see `model_state.matmul_precision`.
        max_tokens: padded tokens read at once; bounds the memory.

    Raises:
        AttentionError: the attention cannot tell padding from text in the way that is needed here.
        WorkError: a question is empty, or does not stand in its trace's prompt.
    """
    require_mask_support(model)
    peers = Peers(model, tokenizer)
    asked = list(zip(traces, questions, strict=True))
    cases = {one: _case(*one, asked.index(one), peers) for one in dict.fromkeys(asked)}  # equal ones once
    _measure(model, peers, list(cases.values()), matmuls, max_tokens)
    works = {one: Ledger(case, peers).work() for one, case in cases.items()}
    return [works[one] for one in asked]


def _measure(model: nn.Module, peers: Peers, cases: list[Case], matmuls: Matmuls, max_tokens: int) -> None:
    with frozen(model), matmul_precision(matmuls), torch.no_grad():
        _read(model, peers, cases, [_rows(case) for case in cases], max_tokens)
        wordy = [case for case in cases if _needs_words(case)]
        for case in wordy:
            _count_words(case)
        _read(model, peers, wordy, [_rows(case) for case in wordy], max_tokens)
        _read(model, peers, wordy, [_single_rows(case) for case in wordy], max_tokens)


def _case(trace: Trace, question: str, index: int, peers: Peers) -> Case:
    text = question.strip()
    if not text:
        raise WorkError(
            f"the question of trace {index} is empty: there is nothing that the answer could be worked out of"
        )
    columns = tokens_of(trace, text)
    if not columns:
        raise WorkError(f"the question of trace {index} does not stand in its prompt: '{text[:60]}'")
    answer = units_of(trace.texts[trace.cue_end :], trace.cue_end)
    asked = units_of(trace.texts[columns.start : columns.stop], columns.start)
    reasoning = _reasoning(trace, answer)

    def edits(units: Iterable[Unit], part: str = "") -> dict[str, Edit]:
        return {
            value: exchange(same, trace.ids, peers, random.Random(zlib.crc32(f"{part}{value}".encode())))
            for value, same in _grouped(units).items()
        }

    numbers = [unit for unit in reasoning if unit.number]
    return Case(
        trace,
        numbers,
        answer,
        {unit.value for unit in asked},
        edits((unit for unit in asked if unit.number), "?"),
        edits(numbers),
        edits(unit for unit in reasoning if not unit.number),
    )


def _reasoning(trace: Trace, answer: Sequence[Unit]) -> list[Unit]:
    """The reasoning's units; digits that stand apart are the answer's number where they make it up."""
    whole = {unit.value for unit in answer if unit.number}
    return units_of(trace.reasoning_tokens, trace.prompt_end, whole)


def _grouped(units: Iterable[Unit]) -> dict[str, list[Unit]]:
    groups: dict[str, list[Unit]] = {}
    for unit in units:
        groups.setdefault(unit.value, []).append(unit)
    return groups


def _rows(case: Case) -> list[Row]:
    """The text as it is; each value exchanged, and all words; the question's numbers, and with them each value of the
    answer's."""
    wanted = {unit.value for unit in case.answer}
    told = [value for value in case.edits if value in wanted]
    words: list[Row] = [("~",)] if case.words else []
    return [(), *((value,) for value in case.edits), *words, ("?",), ("?", "*"), *(("?", value) for value in told)]


def _count_words(case: Case) -> None:
    """Words count as numbers do from here on, and all is read anew: there are other units."""
    case.reasoning, case.found = _reasoning(case.trace, case.answer), {}
    case.edits, case.words = {**case.edits, **case.words}, {}


def _single_rows(case: Case) -> list[Row]:
    """Each number of the question alone, where a word that does not stand there seems to follow from them."""
    strange = any(
        not unit.number and unit.value not in case.given and case.drop(at, ("?",)) > LEAST_DROP
        for at, unit in enumerate(case.reasoning)
    )
    return [("?1", value) for value in case.question] if strange else []


def _read(model: nn.Module, peers: Peers, cases: Sequence[Case], rows: Sequence[list[Row]], max_tokens: int) -> None:
    """Surprisal of every unit of each case in the readings that its rows name."""
    asked = [(case, row) for case, wanted in zip(cases, rows, strict=True) if case.units for row in wanted]
    texts = [_text(case, row) for case, row in asked]
    for (case, row), text, found in zip(asked, texts, surprisals(model, peers, texts, max_tokens), strict=True):
        if not bool(found.isfinite().all()):
            raise WorkError("the model's logits hold NaN or infinity: its weights are broken")
        at = {case.trace.prompt_end + place: i for i, place in enumerate(text.places)}
        sums = [found[[at[token] for token in unit.tokens]].sum(dim=0) for unit in case.units]
        case.found[row] = torch.stack(sums).cpu()  # (units, 2)


def _text(case: Case, row: Row) -> Text:
    ids = list(case.trace.ids)
    if row[:1] == ("?1",):
        edits = [case.question[row[1]]]
    else:
        edits = [case.edits[name] for name in row if name not in ("?", "*", "~")]
        edits += list(case.edits.values()) if "*" in row else []
        edits += list(case.words.values()) if "~" in row else []
        edits += list(case.question.values()) if "?" in row else []
    for edit in edits:
        for at, token in edit.items():
            ids[at] = token
    start, places = case.trace.prompt_end, case.places
    targets = tuple(case.trace.ids[start + place] for place in places)
    return Text(tuple(ids[:start]), tuple(ids[start:]), places, targets)


def _needs_words(case: Case) -> bool:
    """Whether words carry what numbers do not: a piece of the answer, or a number that the question does not give."""
    if not case.words:
        return False
    for at in range(len(case.units)):
        if at < len(case.reasoning) and case.units[at].value in case.given:
            continue
        largest = max((case.drop(at, (value,)) for value in case.edits), default=0.0)
        if case.drop(at, ("~",)) >= max(LEAST_DROP, NEAR_LARGEST * largest):
            return True
    return not all(
        max(piece_drops(case, piece).values(), default=0.0) >= LEAST_DROP for piece in range(len(case.answer))
    )
