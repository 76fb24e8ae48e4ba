"""The command line's words: commands, options, dotted overrides."""

import argparse
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


def command_line() -> Parser:
    """The parser of all commands."""
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

    train = commands.add_parser(
        "train", parents=[common, data], help="run a recipe; --any.field VALUE overrides", allow_abbrev=False
    )
    train.add_argument("recipe", help="a YAML file, or a bundled recipe's name")
    train.add_argument("--output-dir", metavar="DIR")
    train.add_argument("--max-steps", type=_positive, metavar="N")
    train.add_argument("--resume", action="store_true", help="go on from the newest complete checkpoint")

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

    compare = commands.add_parser("compare", help="two evaluations of the same questions: paired differences")
    compare.add_argument("a", metavar="A.json", type=Path)
    compare.add_argument("b", metavar="B.json", type=Path)
    compare.add_argument("--seed", type=int, help="of the bootstrap (0)")
    compare.add_argument("--json", metavar="F", type=Path, help="write the differences as data")

    report = commands.add_parser("report", help="one page of evaluations and runs, side by side")
    report.add_argument(
        "runs", metavar="RUN", nargs="+", type=Path, help="an evaluation's JSON file, or a run's folder"
    )
    report.add_argument("--output", metavar="F", type=Path, default=Path("report.html"), help="(report.html)")

    study = commands.add_parser(
        "study", help="arms x tasks x seeds: train, evaluate, compare; goes on after a stop", allow_abbrev=False
    )
    study.add_argument("recipe", help="a study's YAML file, or a bundled one's name")
    study.add_argument("--output-dir", metavar="DIR")
    study.add_argument("--device", help="cpu, cuda, ...; by default cuda where there is one")
    study.add_argument("--minutes", type=float, metavar="N", help="begin nothing new after so long")
    return parser


def _positive(text: str) -> int:
    try:
        value = int(text)
    except ValueError:
        value = 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"'{text}' is not a whole number from 1")
    return value


def split_words(words: list[str]) -> tuple[list[str], list[str]]:
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


def read_overrides(rest: list[str]) -> dict[str, Any]:
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
