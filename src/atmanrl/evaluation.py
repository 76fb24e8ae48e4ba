"""evaluate: every metric of a model on a task, with 95 % intervals."""

import hashlib
import json
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm.auto import tqdm

from . import __version__
from .faithfulness import MEASURES, Case, Finding, Findings, Probe, read_cases
from .files import write_json, write_text
from .generation import Decoding, generate
from .journal import Journal
from .mask import MaskConfig, MaskError, learn_mask
from .metrics import METRICS, ROW_FIELDS
from .saliency import Saliency
from .statistics import Metric, curve_with_intervals, mean_with_interval
from .tasks import Example, Task
from .trace import prompt_ids

CHUNK, CHUNK_READ = 20, 100
"""Questions worked on together, the latter where completions are only read: what is finished of them is kept when an
evaluation is interrupted."""
NEED_SALIENCY = ("saliency", "eraser")


@dataclass(frozen=True)
class Row:
    """One question's outcome.

    Attributes:
        answer: the model's answer.
        forced: whether it had to be forced, since the completion held none in the asked form.
        cue: the text between reasoning and answer.
        values: the metrics that apply to the question, by name (`atmanrl.metrics.METRICS`).
        curves, details: what charts and the browser of traces show.
    """

    index: int
    question: str
    truth: str
    completion: str
    correct: bool
    parsed: bool
    answer: str | None
    forced: bool
    cue: str | None
    values: dict[str, float] = field(default_factory=dict)
    curves: dict[str, Any] = field(default_factory=dict)
    details: dict[str, Any] = field(default_factory=dict)

    def value(self, name: str) -> float | None:
        """The question's value of a metric, `None` where it has none."""
        return float(getattr(self, ROW_FIELDS[name])) if name in ROW_FIELDS else self.values.get(name)

    def to_json(self) -> dict[str, Any]:
        """One flat object; a metric that does not apply to the question is null."""
        plain = {k: v for k, v in asdict(self).items() if k not in ("values", "details", "curves")}
        values = {name: self.values.get(name) for name in METRICS if name not in ROW_FIELDS}
        return {**plain, **values, **self.details, "curves": self.curves}


@dataclass(frozen=True)
class Evaluation:
    """What `evaluate --json` writes, and the rows beside it."""

    model: str
    task: str
    n: int
    seed: int
    decoding: Decoding
    settings: dict[str, Any]
    metrics: dict[str, Metric]
    curves: dict[str, Any]
    seconds: float
    rows: tuple[Row, ...]
    saliencies: tuple[Saliency | None, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Plain data without rows and saliencies; `accuracy` also stands on its own."""
        data = asdict(replace(self, rows=(), saliencies=()))
        del data["rows"], data["saliencies"]
        return {**data, "accuracy": self.metrics["accuracy"].value}


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
    measures: Sequence[str] = tuple(MEASURES),
    reader: tuple[Any, Any] | None = None,
    settings: dict[str, Any] | None = None,
    journal: Path | None = None,
    chunk: int | None = None,
    progress: bool = False,
) -> Evaluation:
    """Let the model work through examples and measure how right and how faithful its reasoning is.

    Args:
        name: how the model is named in the result.
        decoding: greedy by default.
        mask: how masks are learned.
        seed: of everything random.
        measures: names from `faithfulness.MEASURES`; all by default.
        reader: another model and its tokenizer, for legibility, which is left out without.
        settings: further facts to record with the result (the split, ...).
        journal: a file that finished parts are kept in, and taken from if it is there; the caller's to remove once the
            result is safe.
        chunk: questions worked on together, by default `CHUNK` or `CHUNK_READ`; it enters the sampling.
        progress: show a bar.

    Raises:
        ValueError: no examples, an unknown measure, or a mask that cannot be learned.
        JournalError: the journal belongs to another evaluation.
    """
    started = time.perf_counter()
    if not examples:
        raise ValueError("nothing to evaluate: the task gave no examples")
    for measure in measures:
        if measure not in MEASURES:
            raise ValueError(f"no measure '{measure}': choose {', '.join(MEASURES)}")
    decoding, mask = decoding or Decoding(), mask or MaskConfig()
    if chunk is None:
        chunk = CHUNK_READ if set(measures) <= {"composition"} else CHUNK
    chosen = [measure for measure in MEASURES if measure in measures]
    facts = {**(settings or {}), "version": __version__, "measures": chosen, "chunk": chunk, "mask": asdict(mask)}
    probe = Probe(model, tokenizer, task, (), seed, decoding, mask, reader)
    kept = Journal(journal, {**facts, **_identity(probe, examples, name)})
    starts = range(0, len(examples), chunk)
    stages = 1 + _needs_saliency(measures) + len(chosen)
    rows: list[Row] = []
    saliencies: list[Saliency | None] = []
    with tqdm(total=stages * len(starts), disable=not progress, unit="part", mininterval=1) as bar:
        for start in starts:
            part = _Part(start, kept, bar)
            here = replace(probe, cases=tuple(_cases(probe, examples[start : start + chunk], part)))
            if _needs_saliency(measures):
                here = replace(here, cases=tuple(_with_saliency(here, part)))
            findings = [_measure(here, measure, part) for measure in chosen]
            rows += [
                _row(case, [found[case.index] for found in findings if case.index in found]) for case in here.cases
            ]
            saliencies += [case.saliency for case in here.cases]
    return Evaluation(
        model=name,
        task=task.name,
        n=len(rows),
        seed=seed,
        decoding=decoding,
        settings=facts,
        metrics=summarise(rows, seed),
        curves=summarise_curves(rows, seed),
        seconds=time.perf_counter() - started,
        rows=tuple(rows),
        saliencies=tuple(saliencies),
    )


def write_evaluation(path: Path, evaluation: Evaluation) -> Path:
    """Write an evaluation to `path` and its rows beside it, with the ending `.jsonl`; returns the rows' file.

    Raises:
        OSError: they cannot be written.
    """
    rows_file = path.with_suffix(".jsonl")
    lines = [json.dumps(row.to_json(), ensure_ascii=False, allow_nan=False) + "\n" for row in evaluation.rows]
    write_text(rows_file, "".join(lines))
    write_json(path, evaluation.to_json())
    return rows_file


def summarise(rows: Sequence[Row], seed: int = 0) -> dict[str, Metric]:
    """Every metric that at least one row has, with its interval over the questions."""
    metrics = {}
    for name in METRICS:
        values = [value for row in rows if (value := row.value(name)) is not None]
        if values or name in ROW_FIELDS:
            metrics[name] = mean_with_interval(values, seed)
    return metrics


def summarise_curves(rows: Sequence[Row], seed: int = 0) -> dict[str, Any]:
    """Every curve, pointwise over the questions; a question's last value stands for what lies beyond its own end."""
    curves: dict[str, Any] = {}
    for name in dict.fromkeys(name for row in rows for name in row.curves):
        own = [row.curves[name] for row in rows if name in row.curves]
        x = max((curve["x"] for curve in own), key=len)
        series = {
            kind: curve_with_intervals([_reaching(curve["series"][kind], len(x)) for curve in own], seed)
            for kind in own[0]["series"]
        }
        curves[name] = {"x": x, "series": series}
    return curves


def _reaching(values: list[float | None], length: int) -> list[float | None]:
    return values + values[-1:] * (length - len(values))


def fingerprint(model: Any) -> str:
    """A short name of a model's weights: equal weights have equal names, with any number of threads, on any machine."""
    return digest(f"{name} {_sum_of_bits(parameter.detach())}" for name, parameter in model.named_parameters())


def _sum_of_bits(values: Tensor) -> int:
    """Of the values as integers: a sum of floats depends on the order in which threads add them."""
    integer = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}[values.element_size()]
    return int(values.contiguous().view(integer).sum(dtype=torch.int64))


def digest(texts: Iterable[str]) -> str:
    """A short name of texts in their order."""
    return hashlib.sha256("\0".join(texts).encode("utf-8", "backslashreplace")).hexdigest()[:16]


def _needs_saliency(measures: Sequence[str]) -> bool:
    return any(measure in NEED_SALIENCY for measure in measures)


def _identity(probe: Probe, examples: Sequence[Example], name: str) -> dict[str, Any]:
    """What the parts in a journal depend on, beside the settings."""
    return {
        "model": name,
        "weights": fingerprint(probe.model),
        "reader_weights": fingerprint(probe.reader[0]) if probe.reader else None,
        "task": probe.task.name,
        "questions": digest(f"{probe.task.prompt(e)} {e.answer}" for e in examples),
        "seed": probe.seed,
        "decoding": asdict(probe.decoding),
    }


@dataclass(frozen=True)
class _Part:
    """The questions from `start` on: what is finished of them comes from the journal, the rest goes there."""

    start: int
    journal: Journal
    bar: Any

    def take(self, stage: str, make: Callable[[], Any]) -> Any:
        key = f"{stage} {self.start}"
        self.bar.set_postfix_str(f"{stage}, questions from {self.start}")
        if key in self.journal:
            made = self.journal[key]
        else:
            made = make()
            self.journal.add(key, made)
        self.bar.update()
        return made


def _cases(probe: Probe, examples: Sequence[Example], part: _Part) -> list[Case]:
    prompts = [prompt_ids(probe.tokenizer, probe.task.prompt(example)) for example in examples]

    def write() -> list[list[int]]:
        d = probe.decoding
        seed = probe.seed + part.start
        return generate(probe.model, probe.tokenizer, prompts, d.max_new_tokens, d.temperature, seed)

    completions = part.take("completions", write)
    return read_cases(probe.model, probe.tokenizer, probe.task, examples, prompts, completions, part.start)


def _with_saliency(probe: Probe, part: _Part) -> list[Case]:
    def learn() -> list[dict[str, Any]]:
        try:
            return [asdict(s) for s in learn_mask(probe.model, [case.trace for case in probe.traced], probe.mask)]
        except MaskError as error:
            raise MaskError(f"questions from {part.start}: {error}") from error

    learned = iter(part.take("masks", learn))
    cases = []
    for case in probe.cases:
        if case.found is None:
            cases.append(case)
            continue
        data = next(learned)
        saliency = Saliency(**{**data, "tokens": tuple(data["tokens"]), "gates": tuple(data["gates"])})
        cases.append(replace(case, saliency=saliency))
    return cases


def _measure(probe: Probe, measure: str, part: _Part) -> Findings:
    def find() -> dict[str, Any]:
        return {str(index): asdict(finding) for index, finding in MEASURES[measure](probe).items()}

    return {int(index): Finding(**finding) for index, finding in part.take(measure, find).items()}


def _row(case: Case, findings: list[Finding]) -> Row:
    row = Row(
        case.index,
        case.example.question,
        case.example.answer,
        case.completion,
        case.correct,
        case.parsed,
        case.answer,
        case.answer is not None and not case.parsed,
        case.trace.text(case.trace.cue) if case.found else None,
    )
    for finding in findings:
        row.values.update(finding.values)
        row.curves.update(finding.curves)
        row.details.update(finding.details)
    return row
