"""Results in the terminal, readable with and without colour."""

import re
from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

from rich.box import SIMPLE_HEAD
from rich.color import Color
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.style import Style
from rich.table import Table
from rich.text import Text

from . import format as fmt

Item = TypeVar("Item")
_COOL, _HOT = (104, 98, 88), (255, 176, 0)
_BIDI = re.compile("[\u200e\u200f\u061c\u2028-\u202e\u2066-\u2069]")


def print_explanation(explanation: dict[str, Any], console: Console | None = None) -> None:
    """Show one trace as `explain --json` holds it: the reasoning shaded by saliency, and what the answer rests on.

    Where the console has no colour, salient tokens stand in brackets. Model text is shown as text: no markup, escape
    sequence or control character in it is interpreted.
    """
    console = console or Console()
    reasoning = explanation["reasoning"]
    logprob = explanation["answer_logprob"]

    _section(console, "Question", _text(console, explanation["question"].strip()))
    shaded, legend = _shaded(console, reasoning), _legend(console, explanation.get("threshold"))
    _section(console, "Reasoning", Group(shaded, Text(), legend))
    answer = _text(console, explanation["answer"].strip())
    if explanation.get("correct") is not None:
        truth = _plain(console, str(explanation.get("truth")))
        answer.append("  (correct)" if explanation["correct"] else f"  (wrong: the true answer is {truth})", "dim")
    _section(console, "Answer", answer)

    facts = Table.grid(padding=(0, 2))
    facts.add_column()
    facts.add_column(justify="right")
    facts.add_column(style="dim")
    for name, meaning in (
        ("open", "with the reasoning as it is"),
        ("closed", "with all of it hidden"),
        ("learned", "under the learned mask"),
    ):
        facts.add_row(name, fmt.figure("", logprob[name]), f"nats per answer token, {meaning}")
    facts.add_row("reliance", fmt.figure("reliance", explanation["reliance"]), "nats per answer token, open - closed")
    salient = sum(bool(token["salient"]) for token in reasoning)
    facts.add_row(
        "density", fmt.figure("density", explanation["density"]), f"{salient} of {len(reasoning)} tokens salient"
    )
    bypass = explanation.get("bypass")
    if bypass:
        facts.add_row(
            "bypass",
            fmt.figure("bypass", bypass["value"]),
            _text(console, f"nats per answer token, read past it: {bypass['sentence'] or 'nothing'}"),
        )
    _section(console, "What the answer rests on", facts)

    top = Table.grid(padding=(0, 2))
    top.add_column(justify="right")
    top.add_column()
    top.add_column(style="dim")
    for token in fmt.most_salient(reasoning):
        quoted = Text.assemble("'", _text(console, fmt.one_line(token["token"])), "'")
        top.add_row(fmt.figure("", token["saliency"]), quoted, f"token {token['position']}")
    _section(console, "Most salient tokens", top if top.row_count else Text("none is salient", "dim"))
    facts_line = [explanation["model"], *fmt.how_found(explanation), fmt.duration(explanation["seconds"])]
    console.print(_text(console, ", ".join(facts_line), "dim"))


def print_comparison(before: dict[str, Any], after: dict[str, Any], console: Console | None = None) -> None:
    """Show metrics before and after training side by side, with 95 % intervals where there are any."""
    console = console or Console()
    table = _table("Metric", "Before", "After", "Change")
    for row in fmt.compared(before, after):
        sides = [Text.assemble(row[side], (f" {row[f'{side}_ci95']}".rstrip(), "dim")) for side in ("before", "after")]
        table.add_row(_text(console, row["label"]), *sides, f"{row['change']} {row['relative']}".rstrip())
    console.print(table)


def print_metrics(result: dict[str, Any], console: Console | None = None) -> None:
    """Show what `evaluate --json` holds: accuracy and every metric with its 95 % interval and n."""
    console = console or Console()
    metrics = dict(result["metrics"])
    accuracy = result["accuracy"]
    if "accuracy" not in metrics:
        whole = accuracy if isinstance(accuracy, dict) else {"value": accuracy, "n": result["n"]}
        metrics = {"accuracy": whole, **metrics}
    facts = {key: result[key] for key in ("model", "task", "n", "seed", "decoding") if result.get(key) is not None}
    shown = [f"{key} {_phrase(value)}" if key != "model" else str(value) for key, value in facts.items()]
    console.print(_text(console, ", ".join(shown), "bold"))
    table = _table("Metric", "Value", "95 % interval", "n")
    names = fmt.in_table_order(metrics)
    for name, indent in _grouped(table, names, [fmt.group(name) for name in names]):
        metric = metrics[name]
        cells = (fmt.figure(name, metric["value"]), fmt.interval(name, metric.get("ci95")), str(metric.get("n", "")))
        table.add_row(_text(console, indent + fmt.label(name)), *cells)
    console.print(table)


def print_differences(comparison: dict[str, Any], console: Console | None = None) -> None:
    """Show what `compare` finds: every metric of both sides with the paired difference, then each finding in words.

    Args:
        comparison: `a`, `b` (what the sides are called), `questions` (how many both answered) and `rows`, each with
            `metric`, `group`, `a`, `b`, `difference`, `ci95`, `n`, `verdict` (higher, lower or none) and `sentence`;
            `notes`, sentences on the whole, may be there.
        console: where to; the standard output by default.
    """
    console = console or Console()
    a, b, rows = comparison["a"], comparison["b"], comparison["rows"]
    console.print(_text(console, f"A: {a}\nB: {b}\n{comparison['questions']} questions that both answered", "bold"))
    table = _table("Metric", "A", "B", "B - A [95 % interval]", "n")
    for row, indent in _grouped(table, rows, [row["group"] for row in rows]):
        name = row["metric"]
        apart = Text.assemble(
            fmt.difference(name, row["difference"]), (f" {fmt.difference_interval(name, row['ci95'])}".rstrip(), "dim")
        )
        style = "bold" if row["verdict"] in ("higher", "lower") else ""
        cells = (fmt.figure(name, row["a"]), fmt.figure(name, row["b"]), apart, str(row["n"]))
        table.add_row(_text(console, indent + fmt.label(name)), *cells, style=style)
    console.print(table)
    console.print()
    sentences = [row["sentence"] for row in rows if row.get("sentence")]
    for sentence in [*sentences, *comparison.get("notes", [])]:
        bullet = Table.grid(padding=(0, 1))
        bullet.add_row("-", _text(console, sentence))
        console.print(bullet)


def print_samples(step: int, samples: list[dict[str, Any]], console: Console | None = None) -> None:
    """Show completions of a training step: right or wrong, their reward and what it is of, the reasoning with its
    [[salient]] stretches; with [[needed sentences]] where work was measured."""
    console = console or Console()
    by_work = any(sample.get("work") is not None for sample in samples)
    columns = ("work", "used") if by_work else ("reliance", "density")
    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False, title=f"Step {step}", title_justify="left")
    for name in ("", "Saliency reward", *map(fmt.label, columns)):
        table.add_column(name, justify="right")
    table.add_column(Text(f"Completion, [[{'needed' if by_work else 'salient'}]]"), overflow="fold", ratio=1)
    for sample in samples:
        figures = [fmt.figure(k, sample[k]) for k in ("saliency_reward", *columns)]
        shown = sample["salient"] or sample["completion"]
        table.add_row("right" if sample["correct"] else "wrong", *figures, _text(console, shown.strip()))
    console.print(table)


def _section(console: Console, title: str, body: RenderableType) -> None:
    console.print(Text(title, "bold"))
    console.print(Padding(body, (0, 0, 0, 2), expand=False))
    console.print()


def _table(first: str, *others: str) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
    table.add_column(first)
    for name in others:
        table.add_column(name, justify="right")
    return table


def _grouped(table: Table, items: Sequence[Item], groups: Sequence[str]) -> Iterator[tuple[Item, str]]:
    """Each item with the indent of its row, after a row that names its group wherever a new one starts."""
    last = None
    for item, group in zip(items, groups, strict=True):
        if group != last:
            table.add_row(Text(group, "bold"))
            last = group
        yield item, "  "


def _shaded(console: Console, reasoning: list[dict[str, Any]]) -> Text:
    colour = _has_colour(console)
    text = Text(overflow="fold")
    for token in reasoning:
        shown = token["token"].replace("\n", _newline(console) + "\n")
        lead = shown[: len(shown) - len(shown.lstrip(" "))] if shown.strip(" ") else ""
        body = shown[len(lead) :]
        if colour:
            text.append(_plain(console, shown), _shade(token["saliency"], bool(token["salient"])))
        elif token["salient"]:
            breaks = body[len(body.rstrip("\n")) :]
            text.append(_plain(console, f"{lead}[{body.rstrip(chr(10))}]{breaks}"))
        else:
            text.append(_plain(console, shown))
    return text


def _legend(console: Console, threshold: float | None) -> Text:
    over = "" if threshold is None else f" (over {threshold:.2f})"
    if not _has_colour(console):
        return Text(f"[in brackets]: salient tokens{over}")
    text = Text("saliency ")
    for level in (0.0, 0.25, 0.5, 0.75, 1.0):
        text.append(f" {level:.2f} ", _shade(level, salient=False))
    text.append("  ")
    text.append("bold, underlined", "bold underline")
    text.append(f": salient{over}")
    return text


def _shade(saliency: float | None, salient: bool) -> Style:
    weight = Style(bold=True, underline=True) if salient else Style.null()
    level = min(max(saliency or 0.0, 0.0), 1.0)
    if level < 0.2:
        return weight
    red, green, blue = (round(cool + level * (hot - cool)) for cool, hot in zip(_COOL, _HOT, strict=True))
    ink = "#000000" if level > 0.3 else "#ffffff"
    return weight + Style(color=ink, bgcolor=Color.from_rgb(red, green, blue))


def _has_colour(console: Console) -> bool:
    return console.color_system is not None and not console.no_color


def _newline(console: Console) -> str:
    return "\u21b5" if console.encoding.startswith("utf") else "\\n"


def _text(console: Console, text: str, style: str = "") -> Text:
    return Text(_plain(console, text), style, overflow="fold")


def _plain(console: Console, text: str) -> str:
    """`text` that a terminal shows and does not obey, in characters that it can encode."""
    text = _BIDI.sub(lambda match: f"\\u{ord(match.group()):04x}", fmt.harmless(text).replace("\t", "    "))
    return text.encode(console.encoding, errors="backslashreplace").decode(console.encoding)


def _phrase(value: Any) -> str:
    return " ".join(f"{key}={item}" for key, item in value.items()) if isinstance(value, dict) else str(value)
