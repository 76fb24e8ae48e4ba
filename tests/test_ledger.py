"""The walk back from an answer, over readings whose drops are stated."""

import math

import pytest
import torch

from atmanrl.ledger import Case, Ledger
from atmanrl.trace import Trace
from atmanrl.units import Unit


class GuessOfTen:
    """Peers of which there are always ten."""

    @staticmethod
    def guess(token):
        return math.log(10)


def worth(units, drops, surprise=1.0, given=("5",)):
    """The work of one piece of an answer; see `ledger_of`."""
    return ledger_of(units, drops, surprise, given).work().pieces[0]


def ledger_of(units, drops, surprise=1.0, given=("5",)):
    """The ledger of a text whose every reading is stated: what each unit loses by what is exchanged, nats.

    Args:
        units: of the reasoning, and the answer's as the last.
        drops: by unit (its place) and what is exchanged.
    """
    texts = ("Q", *(f" {unit}" for unit in units))
    trace = Trace(tuple(range(len(texts) + 1)), (*texts[:-1], " so", texts[-1]), 1, len(texts) - 1, len(texts))
    made = [Unit(u, u, u.isdigit(), 0, (1 + at + (at == len(units) - 1),)) for at, u in enumerate(units)]
    edits = {unit.value: {} for unit in made[:-1]}
    case = Case(trace, made[:-1], made[-1:], set(given), {value: {} for value in given}, edits, {})
    for row in [(), *((value,) for value in edits), ("?",), ("?", "*"), *(("?1", value) for value in given)]:
        lost = [drops.get((at, row[-1] if row[:1] != ("?1",) else row), 0.0) if row else 0.0 for at in range(len(made))]
        case.found[row] = surprise + torch.tensor(lost)[:, None].expand(-1, 2)
    return Ledger(case, GuessOfTen())


def test_a_result_of_a_step_over_what_is_given_is_work_in_full():
    piece = worth(["5", "7", "7"], {(1, "5"): 9.0, (2, "7"): 9.0})
    assert piece.follows == pytest.approx(9 / 10)  # of 10 nats without its source the step takes 9
    assert piece.imported == pytest.approx(1 / 10)  # and leaves 1, a tenth of which is told


def test_a_number_out_of_nowhere_is_imported_with_its_surprise():
    piece = worth(["3", "7", "7"], {(1, "3"): 9.0, (2, "7"): 9.0}, given=("5",))
    assert piece.imported == pytest.approx(1.0)
    assert worth(["7", "7"], {(1, "7"): 9.0}).follows == 0


def test_an_operand_from_several_numbers_of_the_question_was_worked_out_in_the_head():
    drops = {(1, "3"): 9.0, (2, "7"): 9.0, (0, "?"): 1.5}
    assert worth(["3", "7", "7"], drops).follows == pytest.approx(0.5)


def test_a_word_for_one_number_of_the_question_is_that_number():
    drops = {(1, "five"): 9.0, (2, "seven"): 9.0, (0, "?"): 3.0, (0, ("?1", "5")): 3.0}
    piece = worth(["five", "seven", "7"], drops, given=("5", "8"))
    assert piece.follows == 1
    assert piece.imported == pytest.approx(1 / 4)  # its surprise of 1, as far as the question's 5 leaves it
    both = worth(["five", "seven", "7"], {**drops, (0, ("?1", "8")): 3.0}, given=("5", "8"))
    assert both.follows == 0  # it follows from two numbers at once: worked out in the head


def test_a_number_that_only_words_make_likelier_is_told_in_full():
    piece = worth(["so", "7", "7"], {(1, "so"): 9.0, (2, "7"): 9.0}, given=("so",))
    assert piece.imported == pytest.approx(1.0)
    assert piece.follows == pytest.approx(9 / 10)


def test_what_is_made_of_a_result_of_the_head_stays_one():
    drops = {(0, "?"): 9.0, (1, "3"): 9.0, (2, "6"): 9.0, (3, "7"): 9.0}
    assert worth(["3", "6", "7", "7"], drops).follows == 0
    assert worth(["3", "6", "7", "7"], {**drops, (0, "?"): 0.0}).follows == pytest.approx(9 / 10)


def test_a_number_that_is_written_nowhere_was_not_worked_out():
    piece = worth(["5", "8", "7"], {(2, "5"): 9.0, (2, "8"): 9.0}, given=("5", "8"))
    assert piece.follows == 0
    assert piece.imported == piece.hardness


def test_an_idle_telling_of_an_operand_is_not_used():
    ledger = ledger_of(["5", "3", "9", "3", "7", "7"], {(1, "5"): 9.0, (4, "3"): 9.0, (5, "7"): 9.0})
    ledger.work()
    assert 2 not in ledger.used
    assert {1, 4} <= ledger.used
