"""The command `atmanrl`: demo, explain, train, evaluate, compare, report.

Exit status: 0 done; 2 for what the user can mend, one line on stderr; 1 for our own fault; 130 stopped by Ctrl-C.
"""

import argparse
import os
import shlex
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import yaml

from . import __version__


class UsageError(ValueError):
    """The command line asks for something that does not fit together."""


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}; see {self.prog} --help\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command line; returns the exit status."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    dotted, plain = _split(words)
    args, rest = _parser().parse_known_args(plain)
    args.words = words
    try:
        args.overrides = _overrides([*dotted, *rest])
        _quieten()
        return int(args.run(args) or 0)
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


def _parser() -> Parser:
    parser = Parser(prog="atmanrl", description="See what an answer rests on, and train for reasoning that matters.")
    parser.add_argument("--version", action="version", version=f"atmanrl {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=Parser)

    common = Parser(add_help=False)
    common.add_argument("--device", help="cpu, cuda, ...; by default cuda where there is one")
    common.add_argument("--dtype", help="float32, bfloat16, ...")
    common.add_argument("--seed", type=int, help="of everything random (0)")
    data = Parser(add_help=False)
    data.add_argument("--data", metavar="DIR", help="folder with gsm8k/ and mmlu/; else $ATMANRL_DATA, else the hub")

    demo = commands.add_parser("demo", parents=[common], help="train the bundled model on a CPU, before and after")
    demo.add_argument("--output-dir", default="runs/demo", metavar="DIR")
    demo.set_defaults(run=_demo)

    explain = commands.add_parser("explain", parents=[common, data], help="which reasoning tokens an answer rests on")
    explain.add_argument("--model", required=True, help="tiny, smollm2, a hub id, a folder or a .gguf file")
    explain.add_argument("--task", help="chains, gsm8k, mmlu or a .jsonl file (gsm8k)")
    explain.add_argument("--index", type=int, help="which row of the split, from 0")
    explain.add_argument("--split", default="test", help="train, dev or test (test)")
    explain.add_argument(
        "--reasoning-from",
        choices=("model", "reference"),
        default="model",
        help="the model's own reasoning and answer (default), or the worked solution and the true answer",
    )
    explain.add_argument("--question", metavar="Q", help="a question of your own instead of --index")
    explain.add_argument("--reasoning", metavar="R", help="its reasoning; the model's where not given")
    explain.add_argument("--answer", metavar="A", help="its answer; the model's where not given")
    explain.add_argument(
        "--method",
        default="mask",
        metavar="M",
        help="mask; or attention, gradient, integrated_gradients, occlusion, atman",
    )
    explain.add_argument("--max-new-tokens", type=_positive, default=256, metavar="N", help="the model's at most (256)")
    explain.add_argument("--json", metavar="F", type=Path, help="write the explanation as data")
    explain.add_argument("--html", metavar="F", type=Path, help="write it as a page that opens from disk")
    explain.set_defaults(run=_explain)

    train = commands.add_parser(
        "train", parents=[common, data], help="run a recipe; --any.field VALUE overrides", allow_abbrev=False
    )
    train.add_argument("recipe", help="a YAML file, or a bundled recipe's name")
    train.add_argument("--output-dir", metavar="DIR")
    train.add_argument("--max-steps", type=_positive, metavar="N")
    train.add_argument("--resume", action="store_true", help="go on from the newest complete checkpoint")
    train.set_defaults(run=_train)

    evaluate = commands.add_parser("evaluate", parents=[common, data], help="how right and how faithful a model is")
    evaluate.add_argument("--model", required=True, help="tiny, smollm2, a hub id, a folder or a .gguf file")
    evaluate.add_argument("--task", required=True, help="chains, gsm8k, mmlu or a .jsonl file")
    evaluate.add_argument("--split", default="test")
    evaluate.add_argument("--limit", type=_positive, metavar="N", help="only the first N questions")
    evaluate.add_argument("--temperature", type=float, help="0 is greedy (the task's own by default)")
    evaluate.add_argument("--max-new-tokens", type=_positive, default=256, metavar="N")
    evaluate.add_argument("--measures", metavar="A,B", help="only these, such as saliency,early_answering (all)")
    evaluate.add_argument("--reader", metavar="M", help="another model, which the reasoning must be legible to")
    evaluate.add_argument(
        "--json", metavar="F", type=Path, help="also writes the rows beside it, as F with .jsonl; goes on after a stop"
    )
    evaluate.set_defaults(run=_evaluate)

    compare = commands.add_parser("compare", help="two evaluations of the same questions: paired differences")
    compare.add_argument("a", metavar="A.json", type=Path)
    compare.add_argument("b", metavar="B.json", type=Path)
    compare.add_argument("--seed", type=int, help="of the bootstrap (0)")
    compare.add_argument("--json", metavar="F", type=Path, help="write the differences as data")
    compare.set_defaults(run=_compare)

    report = commands.add_parser("report", help="one page of evaluations and runs, side by side")
    report.add_argument(
        "runs", metavar="RUN", nargs="+", type=Path, help="an evaluation's JSON file, or a run's folder"
    )
    report.add_argument("--output", metavar="F", type=Path, default=Path("report.html"), help="(report.html)")
    report.set_defaults(run=_report)
    return parser


def _positive(text: str) -> int:
    try:
        value = int(text)
    except ValueError:
        value = 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"'{text}' is not a whole number from 1")
    return value


def _split(words: list[str]) -> tuple[list[str], list[str]]:
    """Dotted overrides with their values, wherever they stand, and the other words."""
    dotted, plain = [], []
    pending = list(words)
    while pending:
        word = pending.pop(0)
        key, equals, _ = word.partition("=")
        if word.startswith("--") and "." in key:
            dotted.append(word)
            if not equals and pending:
                dotted.append(pending.pop(0))
        else:
            plain.append(word)
    return dotted, plain


def _overrides(rest: list[str]) -> dict[str, Any]:
    """`--mask.steps 20 --grpo.beta=0.1` as dotted keys and YAML values."""
    overrides: dict[str, Any] = {}
    pending = list(rest)
    while pending:
        word = pending.pop(0)
        if not word.startswith("--"):
            raise UsageError(f"unexpected argument '{word}'; see atmanrl --help")
        key, equals, value = word[2:].partition("=")
        if not equals:
            if not pending:
                raise UsageError(f"{word} needs a value")
            value = pending.pop(0)
        try:
            overrides[key] = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise UsageError(f"{word}: '{value}' is not a YAML value") from error
    return overrides


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
    print(f"\n{summary['seconds']:.0f} s; report: {Path(args.output_dir) / 'report.html'}")


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
    if args.max_steps is not None:
        overrides["grpo.max_steps"] = args.max_steps
    recipe = load_recipe(args.recipe, overrides)
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
        print(f"going on with {journal}", file=sys.stderr)
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


def _no_overrides(args: argparse.Namespace) -> None:
    if args.overrides:
        raise UsageError(f"unknown option --{next(iter(args.overrides))}; see atmanrl {args.command} --help")


if __name__ == "__main__":
    sys.exit(main())
