"""evaluate: how right, how long and how dense a model's reasoning is, with 95 % intervals."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from scipy.stats import binomtest, bootstrap

from .generation import generate
from .mask import MaskConfig
from .rewards import score_completions
from .saliency import Saliency, tokens_by_span
from .tasks import Example, Task
from .text import token_kind
from .trace import completion_text, prompt_ids, token_texts


@dataclass(frozen=True)
class Decoding:
    """How completions were written: `temperature` 0 is greedy."""

    temperature: float = 0.0
    max_new_tokens: int = 256


@dataclass(frozen=True)
class Row:
    """One question's outcome. What needs an answer in the asked form, or reasoning, is `None` without it.

    `reasoning_tokens` counts tokens; `density`, the shares and `filler_share` are fractions of reasoning tokens
    (shares: without white space); `reliance` and `answer_logprob` are nats per answer token.
    """

    index: int
    question: str
    truth: str
    completion: str
    correct: bool
    parsed: bool
    reasoning_tokens: int | None = None
    density: float | None = None
    reliance: float | None = None
    answer_logprob: float | None = None
    stop_word_share: float | None = None
    number_share: float | None = None
    symbol_share: float | None = None
    filler_share: float | None = None


@dataclass(frozen=True)
class Metric:
    """A mean over questions with its 95 % interval and the number of questions it is over."""

    value: float | None
    ci95: tuple[float, float] | None
    n: int


@dataclass(frozen=True)
class Evaluation:
    """What `evaluate --json` writes, and the rows beside it."""

    model: str
    task: str
    n: int
    seed: int
    decoding: Decoding
    metrics: dict[str, Metric]
    rows: tuple[Row, ...]
    saliencies: tuple[Saliency | None, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Plain data without rows and saliencies; `accuracy` also stands on its own."""
        data = {k: v for k, v in asdict(replace(self, rows=(), saliencies=())).items() if v != ()}
        return {**data, "accuracy": self.metrics["accuracy"].value}


METRICS: dict[str, Callable[[Row], float | None]] = {
    "accuracy": lambda row: float(row.correct),
    "parsed_rate": lambda row: float(row.parsed),
    "reasoning_tokens": lambda row: row.reasoning_tokens,
    "density": lambda row: row.density,
    "reliance": lambda row: row.reliance,
    "answer_logprob": lambda row: row.answer_logprob,
    "stop_word_share": lambda row: row.stop_word_share,
    "number_share": lambda row: row.number_share,
    "symbol_share": lambda row: row.symbol_share,
    "filler_share": lambda row: row.filler_share,
}


def evaluate(
    model: Any,
    tokenizer: Any,
    task: Task,
    examples: Sequence[Example],
    *,
    name: str = "",
    decoding: Decoding | None = None,
    mask: MaskConfig | None = None,
    seed: int = 0,
) -> Evaluation:
    """Let the model work through examples, learn a mask for each completion that parses, and summarise.

    Args:
        name: how the model is named in the result.
        decoding: greedy by default.
        mask: how masks are learned.
        seed: of sampling and of the bootstrap.

    Raises:
        RewardError: a mask cannot be learned.
    """
    if not examples:
        raise ValueError("nothing to evaluate: the task gave no examples")
    decoding = decoding or Decoding()
    prompts = [task.prompt(example) for example in examples]
    completions = generate(
        model,
        tokenizer,
        [prompt_ids(tokenizer, prompt) for prompt in prompts],
        decoding.max_new_tokens,
        decoding.temperature,
        seed,
    )
    scored = score_completions(
        model, tokenizer, task, prompts, completions, [example.answer for example in examples], mask
    )
    rows = []
    for index, (example, ids, score) in enumerate(zip(examples, completions, scored, strict=True)):
        text = completion_text(tokenizer, ids)
        parts = task.parse(text)
        facts: dict[str, Any] = {}
        if parts is not None:
            tokens = _reasoning_tokens(tokenizer, ids, parts.reasoning_end)
            facts = {"reasoning_tokens": len(tokens), **composition(tokens), **filler_share(task, example, tokens)}
        if score.saliency is not None:
            facts |= {
                "density": score.saliency.density,
                "reliance": score.saliency.reliance,
                "answer_logprob": score.saliency.open,
            }
        rows.append(Row(index, example.question, example.answer, text, score.correct, parts is not None, **facts))
    metrics = summarise(rows, seed)
    saliencies = tuple(score.saliency for score in scored)
    return Evaluation(name, task.name, len(rows), seed, decoding, metrics, tuple(rows), saliencies)


def summarise(rows: Sequence[Row], seed: int = 0) -> dict[str, Metric]:
    """Every metric that at least one row has, with its interval."""
    metrics = {}
    for name, of in METRICS.items():
        values = [float(v) for row in rows if (v := of(row)) is not None]
        if values or name in ("accuracy", "parsed_rate"):
            metrics[name] = mean_with_interval(values, seed)
    return metrics


def mean_with_interval(values: Sequence[float], seed: int = 0) -> Metric:
    """Mean and 95 % interval over the questions: Wilson's for rates (all values 0 or 1), else a percentile bootstrap of
    2,000 resamples."""
    if not values:
        return Metric(None, None, 0)
    data = np.asarray(values, dtype=float)
    mean = float(data.mean())
    if np.isin(data, (0.0, 1.0)).all():
        rate = binomtest(int(data.sum()), len(data)).proportion_ci(method="wilson")
        return Metric(mean, (float(rate.low), float(rate.high)), len(data))
    if np.ptp(data) == 0:
        return Metric(mean, (mean, mean), len(data))
    interval = bootstrap(
        (data,), np.mean, n_resamples=2000, method="percentile", rng=np.random.default_rng(seed)
    ).confidence_interval
    return Metric(mean, (float(interval.low), float(interval.high)), len(data))


def composition(tokens: Sequence[str]) -> dict[str, float]:
    """Shares of stop words, numbers and symbols among the tokens that are not white space; empty without any."""
    kinds = [kind for token in tokens if (kind := token_kind(token)) != "space"]
    if not kinds:
        return {}
    names = {"stop_word_share": "stop_word", "number_share": "number", "symbol_share": "symbol"}
    return {name: kinds.count(kind) / len(kinds) for name, kind in names.items()}


def filler_share(task: Task, example: Example, tokens: Sequence[str]) -> dict[str, float]:
    """Filler tokens over reasoning tokens, where the task knows its filler; 0 for empty reasoning."""
    find = getattr(task, "filler_spans", None)
    if find is None:
        return {}
    filler = tokens_by_span(tokens, find(example, "".join(tokens)))
    return {"filler_share": sum(map(len, filler)) / max(1, len(tokens))}


def _reasoning_tokens(tokenizer: Any, ids: Sequence[int], reasoning_end: int) -> list[str]:
    """Texts of the completion's tokens that end within the reasoning."""
    tokens, at = [], 0
    for text in token_texts(tokenizer, ids):
        at += len(text)
        if at > reasoning_end:
            break
        tokens.append(text)
    return tokens
