"""Means, paired differences and curves: known values, invariants, and how often intervals hold the truth."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar

from atmanrl.statistics import Metric, crossed_mean, curve_with_intervals, mean_with_interval, paired_difference

VALUES = st.lists(st.floats(-100, 100), min_size=2, max_size=30)
RATES = st.lists(st.sampled_from([0.0, 1.0]), min_size=2, max_size=60)


def pairs(gained: int, lost: int, n: int) -> tuple[list[float], list[float]]:
    same = n - gained - lost
    return [0.0] * gained + [1.0] * lost + [1.0] * same, [1.0] * gained + [0.0] * lost + [1.0] * same


def test_means_with_intervals() -> None:
    assert mean_with_interval([]) == Metric(None, None, 0)
    rate = mean_with_interval([1.0] * 8 + [0.0] * 2)
    assert rate.value == 0.8
    assert rate.ci95 == pytest.approx((0.4902, 0.9433), abs=1e-4)  # Wilson's
    assert mean_with_interval([2.5] * 4) == Metric(2.5, None, 4)
    assert mean_with_interval([2.5] * 10) == Metric(2.5, (2.5, 2.5), 10)
    assert mean_with_interval([0.37]) == Metric(0.37, None, 1)


@given(st.one_of(VALUES, RATES))
@settings(max_examples=40, database=None, deadline=None)
def test_the_mean_lies_in_its_interval_and_the_seed_decides(values: list[float]) -> None:
    metric = mean_with_interval(values, seed=3)
    assert metric == mean_with_interval(values, seed=3)
    assert metric.value is not None
    if metric.ci95 is None:
        assert len(values) < 10 and len(set(values)) == 1
        return
    low, high = metric.ci95
    assert low - 1e-9 <= metric.value <= high + 1e-9
    if len(values) >= 30 and not set(values) <= {0.0, 1.0}:
        assert min(values) - 1e-9 <= low <= high <= max(values) + 1e-9
    if min(values) >= 0 and max(values) <= 1:
        assert low >= 0 and high <= 1


@pytest.mark.parametrize("n", [2, 3, 5, 10, 20, 30, 60])
def test_coverage_holds_for_few(n: int) -> None:
    """Of differences that are only noise, about one interval in twenty leaves out 0, however few there are."""
    rng = np.random.default_rng(0)
    out = 0
    for trial in range(300):
        ci95 = paired_difference(np.zeros(n).tolist(), rng.normal(0, 1, n).tolist(), trial).ci95
        assert ci95 is not None
        out += not ci95[0] <= 0 <= ci95[1]
    assert out <= 30


def test_paired_difference_of_few() -> None:
    assert paired_difference([], []) == Metric(None, None, 0)
    assert paired_difference([1.0], [0.0]) == Metric(-1.0, None, 1)
    assert paired_difference([1.0, 2.0, 3.5], [2.5, 3.5, 5.0]) == Metric(1.5, None, 3)
    with pytest.raises(ValueError, match="as many values on both sides, not 1 and 2"):
        paired_difference([1.0], [1.0, 0.0])


@pytest.mark.parametrize(
    ("gained", "lost", "n", "interval"),
    [
        (1, 7, 21, (-0.517, -0.026)),  # the counts of Bentur et al. 2009
        (0, 0, 50, (-0.0713, 0.0713)),  # z^2 / (n + z^2)
        (50, 0, 50, (0.8573, 1.0)),
        (0, 50, 50, (-1.0, -0.8573)),
    ],
)
def test_paired_rates(gained: int, lost: int, n: int, interval: tuple[float, float]) -> None:
    result = paired_difference(*pairs(gained, lost, n))
    assert result.value == pytest.approx((gained - lost) / n)
    assert result.ci95 == pytest.approx(interval, abs=5e-4)


@pytest.mark.parametrize(("gained", "lost", "n"), [(1, 7, 21), (3, 1, 40), (30, 12, 60)])
def test_the_score_test_just_rejects_at_the_ends(gained: int, lost: int, n: int) -> None:
    ci95 = paired_difference(*pairs(gained, lost, n)).ci95
    assert ci95 is not None
    for end, z in zip(ci95, (1.96, -1.96), strict=True):

        def unlikely(share: float, end: float = end) -> float:
            chances = np.array([share + end, share, 1 - 2 * share - end])
            return float(-(np.array([gained, lost, n - gained - lost]) * np.log(chances)).sum())

        best = minimize_scalar(
            unlikely, bounds=(max(0.0, -end) + 1e-9, (1 - end) / 2 - 1e-9), method="bounded", options={"xatol": 1e-10}
        ).x
        variance = n * (2 * best + end - end * end)
        assert (gained - lost - n * end) / variance**0.5 == pytest.approx(z, abs=1e-3)


@given(st.integers(0, 40), st.integers(0, 40), st.integers(0, 40))
@settings(max_examples=80, database=None, deadline=None)
def test_paired_rates_mirror_and_hold_the_difference(gained: int, lost: int, same: int) -> None:
    n = gained + lost + same
    if n < 2:
        return
    one, other = paired_difference(*pairs(gained, lost, n)), paired_difference(*pairs(lost, gained, n))
    assert one.value is not None and one.ci95 is not None and other.ci95 is not None
    assert -1 <= one.ci95[0] <= one.value <= one.ci95[1] <= 1
    assert one.ci95 == pytest.approx((-other.ci95[1], -other.ci95[0]), abs=1e-9)
    assert one.ci95[1] > one.ci95[0]


@pytest.mark.parametrize(
    ("n", "gained", "lost"),
    [(20, 0.0, 0.0), (30, 0.02, 0.0), (30, 0.1, 0.1), (100, 0.01, 0.01), (100, 0.3, 0.1), (200, 0.03, 0.0)],
)
def test_intervals_of_paired_rates_hold_the_truth(n: int, gained: float, lost: float) -> None:
    rng = np.random.default_rng(7)
    draws = rng.multinomial(n, [gained, lost, 1 - gained - lost], size=1000)
    held = 0
    for row in draws.tolist():
        ci95 = paired_difference(*pairs(row[0], row[1], n)).ci95
        assert ci95 is not None
        held += ci95[0] - 1e-12 <= gained - lost <= ci95[1] + 1e-12
    assert held >= 925  # 95 % less what chance and the method's own unevenness take


def test_intervals_of_paired_values_hold_the_truth() -> None:
    rng = np.random.default_rng(0)
    held = 0
    for trial in range(200):
        a = rng.normal(0, 3, 60)
        b = a + 0.5 + rng.normal(0, 1, 60)
        ci95 = paired_difference(a.tolist(), b.tolist(), trial).ci95
        assert ci95 is not None
        held += ci95[0] <= 0.5 <= ci95[1]
        assert ci95[1] - ci95[0] < 0.8  # of the pairs: unpaired it would be three times as wide
    assert held >= 180


@given(VALUES)
@settings(max_examples=30, database=None, deadline=None)
def test_no_difference_from_itself(values: list[float]) -> None:
    result = paired_difference(values, values)
    assert result.value == 0
    assert result.ci95 is None or result.ci95[0] <= 0 <= result.ci95[1]
    assert (result.ci95 is None) == (len(values) < 2 or (len(values) < 10 and not set(values) <= {0.0, 1.0}))


def test_curves() -> None:
    rows = [[1.0, 0.0, None], [1.0, None, None], [0.0, 0.5, None]]
    curve = curve_with_intervals(rows)
    assert curve["n"] == [3, 2, 0]
    assert curve["value"] == [pytest.approx(2 / 3), 0.25, None]
    assert curve["ci95"][0] == list(mean_with_interval([1.0, 1.0, 0.0]).ci95 or ())
    assert curve["ci95"][2] is None
    assert curve_with_intervals([]) == {"value": [], "ci95": [], "n": []}
    with pytest.raises(ValueError, match=r"rows of one length, not \[1, 2\]"):
        curve_with_intervals([[1.0], [1.0, 2.0]])


def crossed(rng: np.random.Generator, seeds: int, questions: int, by_seed: float, by_question: float) -> np.ndarray:
    """Values of mean 0 with effects of seeds and of questions."""
    effects = rng.normal(0, by_seed, (seeds, 1)) + rng.normal(0, by_question, (1, questions))
    return effects + rng.normal(0, 0.5, (seeds, questions))


@pytest.mark.parametrize(("by_seed", "by_question"), [(0.0, 0.0), (0.3, 0.0), (0.0, 1.0), (0.3, 1.0)])
def test_a_crossed_interval_holds_the_truth_at_least_as_often_as_it_says(by_seed: float, by_question: float) -> None:
    rng = np.random.default_rng(0)
    held = 0
    for _ in range(400):
        metric = crossed_mean(crossed(rng, 5, 40, by_seed, by_question))
        assert metric.ci95 is not None
        held += metric.ci95[0] <= 0 <= metric.ci95[1]
    assert held >= 0.93 * 400


@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_a_crossed_interval_is_as_wide_as_its_formula_says(seeds: int) -> None:
    values = crossed(np.random.default_rng(2), seeds, 40, 0.3, 1.0)
    quantile = {2: 12.7062, 3: 4.3027, 5: 2.7764}[seeds]
    spread = values.mean(axis=1).var(ddof=1) / seeds + values.mean(axis=0).var(ddof=1) / 40
    reach = quantile * np.sqrt(spread)
    assert crossed_mean(values).ci95 == pytest.approx((values.mean() - reach, values.mean() + reach), abs=1e-4)


def test_where_a_crossed_value_is_missing_the_others_count_alike() -> None:
    values = np.array([[1.0, 2.0, 6.0], [3.0, np.nan, 5.0]])
    found = crossed_mean(values)
    assert (found.value, found.n) == (pytest.approx(17 / 5), 3)
    by_seed, by_question = np.array([3.0, 4.0]), np.array([2.0, 2.0, 5.5])
    reach = 12.7062 * np.sqrt(by_seed.var(ddof=1) / 2 + by_question.var(ddof=1) / 3)
    assert found.ci95 == pytest.approx((17 / 5 - reach, 17 / 5 + reach), abs=1e-3)


def test_one_seed_is_students_interval_and_gaps_are_left_out() -> None:
    values = np.random.default_rng(1).normal(2, 1, 50)
    one = crossed_mean(values[None])
    reach = 2.00957 * values.std(ddof=1) / np.sqrt(50)
    assert one.ci95 == pytest.approx((values.mean() - reach, values.mean() + reach), abs=1e-4)
    gaps = np.full((2, 60), np.nan)
    gaps[:, :50] = values
    assert crossed_mean(gaps).n == 50
    assert crossed_mean(gaps).value == pytest.approx(values.mean())
    assert crossed_mean(np.full((3, 4), np.nan)) == Metric(None, None, 0)
    assert crossed_mean(np.full((3, 40), 0.1)) == Metric(pytest.approx(0.1), None, 40)  # equal values show no spread
