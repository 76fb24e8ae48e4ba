"""Means, paired differences and curves over questions, each with a 95 % interval."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import binomtest, bootstrap, t

RESAMPLES = 2000
"""Of every bootstrap."""
FEW = 30
"""Values under which a bootstrap's interval is too narrow; Student's stands in for it."""

_Z = 1.959963984540054  # the normal distribution's 97.5 % point


@dataclass(frozen=True)
class Metric:
    """A mean over questions with its 95 % interval and the number of questions it is over."""

    value: float | None
    ci95: tuple[float, float] | None
    n: int


def mean_with_interval(values: Sequence[float], seed: int = 0) -> Metric:
    """Mean and 95 % interval over the questions.

    Wilson's interval for rates (all values 0 or 1); else a percentile bootstrap of 2,000 resamples from 30 values on,
    and Student's below, cut to 0 and 1 for shares. Equal values give none when they are fewer than ten, and one of no
    width otherwise.
    """
    if not len(values):
        return Metric(None, None, 0)
    data = np.asarray(values, dtype=float)
    if _all_zero_or_one(data):
        rate = binomtest(int(data.sum()), len(data)).proportion_ci(method="wilson")
        return Metric(float(data.mean()), (float(rate.low), float(rate.high)), len(data))
    mean = _mean(data, seed)
    if mean.ci95 is None or data.min() < 0 or data.max() > 1:
        return mean
    return Metric(mean.value, (max(0.0, mean.ci95[0]), min(1.0, mean.ci95[1])), mean.n)


def paired_difference(a: Sequence[float], b: Sequence[float], seed: int = 0) -> Metric:
    """Mean of `b - a` over the same questions, with a 95 % interval.

    Where all values are 0 or 1 the interval is the asymptotic score interval for paired proportions (Tango 1998,
    Statistics in Medicine 17:891-908), which has width even where no pair differs; else as in `mean_with_interval`.

    Args:
        a: one value a question.
        b: the other side's, in the same order.

    Returns:
        No interval for fewer than two pairs, and no value for none.

    Raises:
        ValueError: `a` and `b` are not equally long.
    """
    if len(a) != len(b):
        raise ValueError(f"pairs need as many values on both sides, not {len(a)} and {len(b)}")
    n = len(a)
    if not n:
        return Metric(None, None, 0)
    before, after = np.asarray(a, dtype=float), np.asarray(b, dtype=float)
    difference = after - before
    if n < 2:
        return Metric(float(difference[0]), None, n)
    if _all_zero_or_one(before) and _all_zero_or_one(after):
        gained, lost = int((difference > 0).sum()), int((difference < 0).sum())
        return Metric((gained - lost) / n, _paired_score_interval(gained, lost, n), n)
    return _mean(difference, seed)


def crossed_mean(values: np.ndarray[Any, np.dtype[np.float64]]) -> Metric:
    """Mean over seeds and questions with a 95 % interval for other seeds and other questions.

    Seeds and questions are crossed: every seed answers every question. The variance of the mean is taken as that of the
    seeds' means over the number of seeds plus that of the questions' means over the number of questions, which counts
    the noise of single answers twice and so is not too small (Owen 2007, The pigeonhole bootstrap, Annals of Applied
    Statistics 1:386-411); Student's quantile has one degree of freedom less than there are seeds. One seed says nothing
    about others: its interval is over questions alone. For a paired difference give the differences.

    Args:
        values: (S, Q), one row a seed; NaN where a question has no value for a seed.

    Returns:
        Its `n` is the number of questions with a value for any seed; no interval for fewer than two, nor where all
        seeds but one are without values, nor where all values are equal.
    """
    known = np.isfinite(values)
    kept = known.any(axis=0)
    values, known = values[:, kept], known[:, kept]
    seeds, questions = int(known.any(axis=1).sum()), int(kept.sum())
    if not questions:
        return Metric(None, None, 0)
    mean = float(values[known].mean())
    if questions < 2 or seeds == 1 < len(values) or np.ptp(values[known]) == 0:
        return Metric(mean, None, questions)
    by_question = np.nanmean(values, axis=0)  # (Q,)
    variance, freedom = float(by_question.var(ddof=1)) / questions, questions - 1
    if seeds > 1:
        by_seed = np.array([row[there].mean() for row, there in zip(values, known, strict=True) if there.any()])  # (S,)
        variance, freedom = variance + float(by_seed.var(ddof=1)) / seeds, seeds - 1
    reach = float(t.ppf(0.975, freedom)) * math.sqrt(variance)
    return Metric(mean, (mean - reach, mean + reach), questions)


def curve_with_intervals(rows: Sequence[Sequence[float | None]], seed: int = 0) -> dict[str, list[Any]]:
    """Means with intervals at every point of curves, over the rows that have a value there.

    Args:
        rows: one curve a question, all of the same length; `None` where a question has no value.

    Returns:
        `value` (floats or `None`), `ci95` (`[low, high]` or `None`) and `n`, one entry a point.

    Raises:
        ValueError: the rows differ in length.
    """
    if len({len(row) for row in rows}) > 1:
        raise ValueError(f"curves need rows of one length, not {sorted({len(row) for row in rows})}")
    points = [mean_with_interval([v for v in column if v is not None], seed) for column in zip(*rows, strict=True)]
    return {
        "value": [point.value for point in points],
        "ci95": [None if point.ci95 is None else list(point.ci95) for point in points],
        "n": [point.n for point in points],
    }


def _all_zero_or_one(data: np.ndarray[Any, np.dtype[np.float64]]) -> bool:
    return bool(((data == 0.0) | (data == 1.0)).all())


def _mean(data: np.ndarray[Any, np.dtype[np.float64]], seed: int) -> Metric:
    mean, n = float(data.mean()), len(data)
    if np.ptp(data) == 0:
        return Metric(mean, (mean, mean) if n >= 10 else None, n)
    if n < FEW:
        reach = float(t.ppf(0.975, n - 1) * data.std(ddof=1) / math.sqrt(n))
        return Metric(mean, (mean - reach, mean + reach), n)
    interval = bootstrap(
        (data,), np.mean, n_resamples=RESAMPLES, method="percentile", rng=np.random.default_rng(seed)
    ).confidence_interval
    return Metric(mean, (float(interval.low), float(interval.high)), n)


def _paired_score_interval(gained: int, lost: int, n: int) -> tuple[float, float]:
    """The differences that a score test at 5 % does not reject, for `gained` pairs 0 -> 1 and `lost` pairs 1 -> 0."""

    def score(difference: float) -> float:
        """The score statistic of `gained - lost` under the given true difference; it falls with the difference."""
        # The likeliest share of lost pairs under that difference solves 2n q^2 + linear q + constant = 0.
        linear = -gained - lost + (2 * n - gained + lost) * difference
        constant = -lost * difference * (1 - difference)
        root = math.sqrt(max(0.0, linear * linear - 8 * n * constant))
        share = (root - linear) / (4 * n)
        variance = n * (2 * share + difference * (1 - difference))
        distance = gained - lost - n * difference
        return distance / math.sqrt(variance) if variance > 0 else math.copysign(math.inf, distance)

    def crossing(target: float, low: float, high: float) -> float:
        for _ in range(60):
            middle = (low + high) / 2
            low, high = (middle, high) if score(middle) > target else (low, middle)
        return (low + high) / 2

    value = (gained - lost) / n
    # At the ends of the scale the statistic is 0 over 0: nothing lies beyond them.
    lower = -1.0 if value == -1 else crossing(_Z, -1.0, value)
    upper = 1.0 if value == 1 else crossing(-_Z, value, 1.0)
    return lower, upper
