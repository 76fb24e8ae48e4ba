"""The command `atmanrl`: demo, explain, train, evaluate, compare, report, study.

Exit status: 0 done; 2 for what the user can mend, one line on stderr; 1 for our own fault; 130 stopped by Ctrl-C, or a
study that is not finished.
"""

import argparse
import os
import shlex
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from .arguments import UsageError, command_line, read_overrides, split_words


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command line; returns the exit status."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    dotted, plain = split_words(words)
    args, rest = command_line().parse_known_args(plain)
    args.words = words
    try:
        args.overrides = read_overrides([*dotted, *rest])
        _quieten()
        return int(COMMANDS[args.command](args) or 0)
    except KeyboardInterrupt:
        print("atmanrl: stopped", file=sys.stderr)
        return 130
    except Exception as error:
        if os.environ.get("ATMANRL_DEBUG"):
            raise
        theirs = _is_theirs(error)
        said = " ".join(str(error).split()) or type(error).__name__
        if _disk_full(error):
            said = f"the disk is full: make room, or write elsewhere ({said})"
        elif not theirs:
            said = f"internal error: {type(error).__name__}: {said} (ATMANRL_DEBUG=1 shows the traceback)"
        print(f"atmanrl: {said}", file=sys.stderr)
        return 2 if theirs else 1


# How a full disk reads when a library written in another language meets it while it saves weights.
_DISK_FULL = ("No space left", "os error 28", "PytorchStreamWriter failed", "unexpected pos")


def _is_theirs(error: Exception) -> bool:
    """What a user can mend: values, files, a full disk, and rewards that fail for one of these."""
    return isinstance(error, ValueError | OSError) or isinstance(error.__cause__, ValueError) or _disk_full(error)


def _disk_full(error: Exception) -> bool:
    return any(phrase in str(error) for phrase in _DISK_FULL)


def _mask(args: argparse.Namespace) -> Any:
    """The mask's config from `--mask.FIELD VALUE`, for commands that take no recipe."""
    from pydantic import TypeAdapter, ValidationError

    from .mask import MaskConfig

    unknown = [key for key in args.overrides if not key.startswith("mask.")]
    if unknown:
        raise UsageError(f"unknown option --{unknown[0]}; see atmanrl {args.command} --help")
    fields = {key.removeprefix("mask."): value for key, value in args.overrides.items()}
    try:
        return TypeAdapter(MaskConfig).validate_python(fields)
    except ValidationError as error:
        first = error.errors()[0]
        raise UsageError(f"--mask.{'.'.join(map(str, first['loc']))}: {first['msg']}") from error


def _quieten() -> None:
    """Leave stderr to what concerns the user."""
    warnings.filterwarnings("ignore")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    from huggingface_hub.utils import logging as hub_logging
    from transformers.utils import logging

    hub_logging.set_verbosity_error()
    logging.set_verbosity_error()
    logging.disable_progress_bar()


def _writable(*paths: Path | None) -> None:
    """Refuse before the work what could not be written after it."""
    for path in paths:
        if path is None:
            continue
        if path.is_dir():
            raise UsageError(f"'{path}' is a folder: name a file to write")
        parent = next(p for p in (path.parent, *path.parent.parents) if p.exists())
        if not parent.is_dir() or not os.access(parent, os.W_OK):
            raise UsageError(f"cannot write '{path}': '{parent}' is not a folder that can be written to")


def _demo(args: argparse.Namespace) -> None:
    from .demo import run_demo
    from .report.terminal import print_comparison

    _no_overrides(args)
    summary = run_demo(args.output_dir, args.seed or 0, args.device or "cpu", args.dtype)
    print_comparison(summary["before"], summary["after"])
    print("\nA leaked answer key:")
    print_comparison(summary["leaked_key"]["before"], summary["leaked_key"]["after"])
    print(f"\n{summary['seconds_total']:.0f} s; report: {Path(args.output_dir) / 'report.html'}")


def _explain(args: argparse.Namespace) -> None:
    from .attribution import METHODS
    from .explanation import explain
    from .files import write_json
    from .models import load_model
    from .report.html import explanation_html, write_html
    from .report.terminal import print_explanation
    from .tasks import load_task

    mask = _mask(args)
    if args.method not in ("mask", *METHODS):
        raise UsageError(f"--method: no '{args.method}'; choose mask, {', '.join(METHODS)}")
    _writable(args.json, args.html)
    task = load_task(args.task or "gsm8k", args.data)
    example = _example(args, task)
    model, tokenizer = load_model(args.model, args.device, args.dtype)
    explanation = explain(
        model,
        tokenizer,
        task,
        example,
        name=args.model,
        reasoning_from=args.reasoning_from,
        reasoning=args.reasoning,
        answer=args.answer,
        mask=mask,
        method=args.method,
        max_new_tokens=args.max_new_tokens,
    ).to_json()
    print_explanation(explanation)
    if args.json:
        write_json(args.json, explanation)
    if args.html:
        write_html(args.html, explanation_html(explanation))


def _example(args: argparse.Namespace, task: Any) -> Any:
    """The example that `explain` is about."""
    from .tasks import Example

    for name in ("question", "reasoning", "answer"):
        if getattr(args, name) is not None and not getattr(args, name).strip():
            raise UsageError(f"--{name} is empty")
    if (args.question is None) == (args.index is None):
        raise UsageError("give either --question Q or --index I (with --task T)")
    if args.question is not None:
        if args.reasoning is None and args.reasoning_from == "reference":
            raise UsageError("a question of your own has no worked solution: give --reasoning R")
        return Example(args.question, args.answer or "")
    if args.task is None:
        raise UsageError("--index needs --task T")
    if args.answer is not None or args.reasoning is not None:
        raise UsageError("--reasoning and --answer go with --question, not with --index")
    examples = task.examples(args.split)
    if not 0 <= args.index < len(examples):
        raise UsageError(f"--index {args.index} is out of range: {args.task} {args.split} has 0 to {len(examples) - 1}")
    return examples[args.index]


def _train(args: argparse.Namespace) -> int:
    from accelerate import PartialState

    from .recipe import load_recipe
    from .training import train

    overrides = dict(args.overrides)
    for name in ("seed", "device", "dtype", "data", "output_dir"):
        if getattr(args, name) is not None:
            overrides[name] = getattr(args, name)
    recipe = load_recipe(args.recipe, overrides)
    if args.max_steps is not None:
        kind = "grpo" if recipe.sft is None else "sft"
        recipe = load_recipe(args.recipe, {**overrides, f"{kind}.max_steps": args.max_steps})
    trained = train(recipe, resume=args.resume)
    if trained is None:
        again = args.words if args.resume else [*args.words, "--resume"]
        print(f"saved; go on with: atmanrl {shlex.join(again)}")
        return 130
    if PartialState().is_main_process:
        print(f"trained model: {trained}")
    return 0


def _evaluate(args: argparse.Namespace) -> None:
    from .evaluation import evaluate, write_evaluation
    from .faithfulness import MEASURES
    from .generation import Decoding
    from .models import load_model
    from .report.terminal import print_metrics
    from .tasks import load_task

    mask = _mask(args)
    if args.temperature is not None and args.temperature < 0:
        raise UsageError(f"--temperature must be 0 or more, not {args.temperature}")
    measures = tuple(args.measures.split(",")) if args.measures else tuple(MEASURES)
    for measure in measures:
        if measure not in MEASURES:
            raise UsageError(f"--measures: no '{measure}'; choose from {','.join(MEASURES)}")
    rows_file = args.json.with_suffix(".jsonl") if args.json else None
    journal = args.json.with_suffix(".part.jsonl") if args.json else None
    if rows_file is not None and rows_file == args.json:
        raise UsageError(f"--json {args.json}: choose a name that does not end in .jsonl, which holds the rows")
    for file in (args.json, rows_file, journal):
        if file is not None and file.resolve() == Path(args.task).resolve():
            raise UsageError(f"--json {args.json} would write over the questions in {args.task}: choose another name")
    _writable(args.json, rows_file, journal)
    task = load_task(args.task, args.data)
    examples = task.examples(args.split, args.limit)
    model, tokenizer = load_model(args.model, args.device, args.dtype)
    temperature = task.temperature if args.temperature is None else args.temperature
    if journal is not None and journal.exists():
        print(f"going on with {journal}", flush=True)
    try:
        result = evaluate(
            model,
            tokenizer,
            task,
            examples,
            name=args.model,
            decoding=Decoding(temperature, args.max_new_tokens),
            mask=mask,
            seed=args.seed or 0,
            measures=measures,
            reader=load_model(args.reader, args.device, args.dtype) if args.reader else None,
            settings={"split": args.split, "reader": args.reader},
            journal=journal,
            progress=True,
        )
    except KeyboardInterrupt:
        if journal is not None and journal.exists():
            print(f"\nwhat is finished is in {journal}; the same command goes on from there", file=sys.stderr)
        raise
    print_metrics(result.to_json())
    if args.json and journal:
        rows_file = write_evaluation(args.json, result)
        journal.unlink(missing_ok=True)
        print(f"metrics: {args.json}; a row a question: {rows_file}")


def _compare(args: argparse.Namespace) -> None:
    from .comparison import compare
    from .files import write_json
    from .report.terminal import print_differences

    _no_overrides(args)
    _writable(args.json)
    differences = compare(args.a, args.b, args.seed or 0)
    print_differences(differences)
    if args.json:
        write_json(args.json, differences)


def _report(args: argparse.Namespace) -> None:
    from .report.html import write_html
    from .report.page import load_arms, report_html

    _no_overrides(args)
    _writable(args.output)
    if args.output.suffix in (".json", ".jsonl"):
        raise UsageError(f"--output {args.output} is a page: choose a name that ends in .html")
    write_html(args.output, report_html(load_arms(args.runs)))
    print(f"report: {args.output}")


def _study(args: argparse.Namespace) -> int:
    from accelerate import PartialState

    from .files import write_json
    from .report.html import write_html
    from .report.study import print_study, study_html
    from .study import claim_folder, run_study
    from .study_config import load_study
    from .study_results import summarise_study

    if PartialState().num_processes > 1:
        raise UsageError("a study runs in one process: start it without accelerate launch or torchrun")
    overrides = dict(args.overrides)
    for name in ("device", "output_dir"):
        if getattr(args, name) is not None:
            overrides[name] = getattr(args, name)
    config = load_study(args.recipe, overrides)
    claim_folder(config)
    finished = run_study(config, args.minutes, lambda text: print(text, flush=True))
    summary = summarise_study(config)
    print_study(summary)
    folder = Path(config.output_dir)
    write_json(folder / "study.json", summary)
    write_html(folder / "report.html", study_html(summary))
    print(f"report: {folder / 'report.html'}; as data: {folder / 'study.json'}")
    if not finished:
        print(f"not finished; the same command goes on: atmanrl {shlex.join(args.words)}")
    return 0 if finished else 130


def _no_overrides(args: argparse.Namespace) -> None:
    if args.overrides:
        raise UsageError(f"unknown option --{next(iter(args.overrides))}; see atmanrl {args.command} --help")


COMMANDS: dict[str, Callable[[argparse.Namespace], int | None]] = {
    "demo": _demo,
    "explain": _explain,
    "train": _train,
    "evaluate": _evaluate,
    "compare": _compare,
    "report": _report,
    "study": _study,
}

if __name__ == "__main__":
    sys.exit(main())
