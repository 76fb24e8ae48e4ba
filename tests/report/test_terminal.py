"""The terminal views: figures present, salient tokens marked with and without colour, model text inert."""

import io
from collections.abc import Collection
from typing import Any

import pytest
from rich.console import Console

from atmanrl.report.terminal import (
    print_comparison,
    print_differences,
    print_explanation,
    print_metrics,
    print_samples,
)


def explanation(tokens: list[str], salient: Collection[int] = (), **more: Any) -> dict[str, Any]:
    gates = [0.9 - i / 1000 if i in salient else 0.2 for i in range(len(tokens))]
    return {
        "model": "tiny",
        "question": "Sam has 14 coins and gets 4. How many?",
        "reasoning": [{"token": t, "saliency": g, "salient": g > 0.5} for t, g in zip(tokens, gates, strict=True)],
        "answer": " 18",
        "answer_logprob": {"open": -0.12, "closed": -5.25, "learned": -0.03},
        "reliance": 5.13,
        "density": len(salient) / len(tokens),
        "scope": "all",
        "steps": 15,
        "seconds": 6.6,
        **more,
    }


def printed(show: Any, *args: Any, colour: bool = False, encoding: str = "utf-8", width: int = 80) -> str:
    raw = io.BytesIO()
    file = io.TextIOWrapper(raw, encoding=encoding, newline="")
    colours: dict[str, Any] = {"force_terminal": colour, "color_system": "truecolor" if colour else None}
    show(*args, Console(file=file, width=width, _environ={}, **colours))
    file.flush()
    return raw.getvalue().decode(encoding)


def test_shows_every_figure() -> None:
    text = printed(print_explanation, explanation(["14", " +", " 4", " =", " 18", "."], {0, 4}, threshold=0.5))
    for wanted in (
        "Sam has 14 coins",
        "-0.12",
        "-5.25",
        "-0.03",
        "5.13",
        "33.3 %",
        "2 of 6 tokens",
        "tiny",
        "15 steps",
    ):
        assert wanted in text
    assert "[14] + 4 = [18]." in text
    assert "over 0.50" in text


def test_nothing_is_minus_nothing() -> None:
    text = printed(print_explanation, explanation(["14"], reliance=-1e-9))
    assert "reliance   0.00" in text


def test_five_most_salient_tokens_highest_first() -> None:
    text = printed(print_explanation, explanation([f" t{i}" for i in range(9)], {1, 2, 4, 5, 7, 8}))
    rows = text[text.index("Most salient") :].splitlines()[1:6]
    assert [row.split("'")[1] for row in rows] == [" t1", " t2", " t4", " t5", " t7"]
    assert "token 2" in rows[0]


def test_colour_shades_and_underlines() -> None:
    text = printed(print_explanation, explanation(["14", " + 4"], {0}), colour=True)
    assert "\x1b[1;4;38;2;" in text
    assert "[14]" not in text
    assert "1.00" in text and "bold, underlined" in text


def test_markup_in_model_text_is_text() -> None:
    hostile = ["[red]", "x", "[/]", " [bold on blue]", ":smile:", " [link=file:///etc]"]
    text = printed(print_explanation, explanation(hostile, question="[red]q[/] [/nope]", answer="[b]4", model="[i]m"))
    assert "".join(hostile) in text
    assert "[red]q[/] [/nope]" in text and "[b]4" in text and "[i]m" in text


@pytest.mark.parametrize("colour", [False, True])
def test_control_characters_are_shown_not_sent(colour: bool) -> None:
    hostile = ["\x1b]0;title\x07", "\x1b[2J", "a\rb", "\x08\x00\x7f\x9b2J", "\u202eevil\u2066"]
    text = printed(print_explanation, explanation(hostile, question="q\x1b[31m", answer="4\x07"), colour=colour)
    for gone in "\x07\x08\x00\x7f\x9b\r\u202e\u2066":
        assert gone not in text
    assert "\\x1b]0;title\\x07" in text and "a\\x0db" in text and "\\u202eevil" in text
    assert "\x1b[2J" not in text and "\x1b]" not in text and "\x1b[31m" not in text
    assert ("\x1b" in text) == colour


def test_white_space_tokens_stay_readable() -> None:
    text = printed(print_explanation, explanation(["a", "\n", "b", "\n\n", "", "c", " ", "\t", "d"], {1, 6}))
    lines = [line.strip() for line in text.splitlines()]
    assert "a[\u21b5]" in lines and "b\u21b5" in lines and "c[ ]    d" in lines
    assert "'\\n'" in text


def test_a_console_that_knows_ascii_only() -> None:
    text = printed(print_explanation, explanation(["é", "\n", "日本", "\ud83d"]), encoding="ascii")
    assert "\\xe9\\n" in text and "\\u65e5\\u672c\\ud83d" in text
    assert "Accuracy" in printed(print_comparison, {"accuracy": 0.9}, {"accuracy": 0.8}, encoding="ascii")


def test_long_lines_wrap() -> None:
    text = printed(print_explanation, explanation(["x" * 10_000, " y"], {0}), width=60)
    assert max(map(len, text.splitlines())) <= 60
    assert text.count("x") >= 10_000


def test_comparison_shows_before_after_and_change() -> None:
    before = {"accuracy": 0.938, "accuracy_ci95": [0.915, 0.956], "reasoning_tokens": 43.2, "filler_share": 0.286}
    after = {"accuracy": 0.922, "accuracy_ci95": [0.897, 0.942], "reasoning_tokens": 24.1, "filler_share": 0.017}
    rest = {"density": 0.22, "reliance": 0.0, "n": 512, "bracketed_[red]": 1.0}
    text = printed(print_comparison, before | rest, after | rest | {"reliance": 1.5, "n": 512})
    rows = {line.split("  ")[0]: line for line in text.splitlines()}
    assert "93.8 % [91.5, 95.6]" in rows["Accuracy"] and "-1.6 pts" in rows["Accuracy"]
    assert "-19.1 (-44 %)" in rows["Reasoning tokens"]
    assert "-26.9 pts (-94 %)" in rows["Filler"]
    assert "+0.0 pts (+0 %)" in rows["Density"]
    assert rows["Reliance (nats)"].endswith("+1.50")
    assert rows["Questions"].count("512") == 2
    assert "Bracketed [red]" in rows


def test_a_figure_that_is_missing_is_said_to_be() -> None:
    text = printed(
        print_comparison, {"accuracy": 0.9, "reliance": None}, {"accuracy": 0.8, "density": 0.5, "reliance": 1.0}
    )
    assert text.count("n/a") == 2


def test_metrics_with_interval_and_n() -> None:
    result = {
        "model": "smollm2",
        "task": "gsm8k",
        "n": 50,
        "seed": 0,
        "decoding": {"temperature": 0},
        "accuracy": 0.1,
        "metrics": {
            "reasoning_tokens": {"value": 101.2, "ci95": [90.1, 112.3], "n": 50},
            "stop_word_share": {"value": 0.31, "ci95": [0.29, 0.33], "n": 44},
        },
    }
    text = printed(print_metrics, result)
    for wanted in (
        "smollm2",
        "gsm8k",
        "temperature=0",
        "10.0 %",
        "101.2",
        "[90.1, 112.3]",
        "31.0 %",
        "[29.0, 33.0]",
        "44",
    ):
        assert wanted in text
    result["metrics"]["accuracy"] = {"value": 0.1, "ci95": [0.03, 0.2], "n": 50}  # type: ignore[index]
    text = printed(print_metrics, result)
    assert text.count("Accuracy") == 1 and "[3.0, 20.0]" in text


def test_metrics_stand_under_their_criteria_in_the_order_of_the_table() -> None:
    names = ("reliance", "new_thing", "early_answering", "accuracy", "density", "hint_flip")
    metrics = {name: {"value": 0.5, "ci95": [0.4, 0.6], "n": 9} for name in names}
    text = printed(print_metrics, {"model": "m", "task": "t", "n": 9, "seed": 0, "accuracy": 0.5, "metrics": metrics})
    wanted = ("Task", "Accuracy", "Causal relevance", "Early answering", "Flips to", "Saliency (trained on)",
              "Reliance", "Density", "Other", "New thing")  # fmt: skip
    places = [text.index(name) for name in wanted]
    assert places == sorted(places)
    assert text.count("Causal relevance") == 1


def difference(metric: str, group: str, verdict: str, **more: Any) -> dict[str, Any]:
    return {"metric": metric, "group": group, "a": 0.4, "b": 0.55, "difference": 0.15, "ci95": [0.02, 0.28], "n": 60,
            "verdict": verdict, "sentence": f"About {metric}.", **more}  # fmt: skip


def test_differences_with_their_sentences() -> None:
    comparison = {
        "a": "[red]before", "b": "after\x1b[31m", "questions": 60, "notes": ["They differ in seed."],
        "rows": [
            difference("early_answering", "Causal relevance", "higher"),
            difference("reliance", "Saliency (trained on)", "none", difference=-0.5, ci95=[-1.25, 0.25], a=2.0, b=1.5),
            difference("density", "Saliency (trained on)", "none", ci95=None, n=1, sentence=""),
        ],
    }  # fmt: skip
    text = printed(print_differences, comparison, width=120)
    lines = {line.strip().split("  ")[0]: line for line in text.splitlines()}
    assert "A: [red]before" in text and "B: after\\x1b[31m" in text and "60 questions" in text
    for wanted in ("40.0 %", "55.0 %", "+15.0 pts [+2.0, +28.0]", "60"):
        assert wanted in lines["Early answering, area by fraction"]
    assert "-0.50 [-1.25, +0.25]" in lines["Reliance (nats)"]
    assert lines["Density"].split()[-3:] == ["+15.0", "pts", "1"]
    assert text.index("Causal relevance") < text.index("Saliency (trained on)") < text.index("- About early_answering.")
    assert text.count("Saliency (trained on)") == 1 and text.count("\n- ") == 3 and "- They differ in seed." in text
    assert "+15.0" in printed(print_differences, comparison, encoding="ascii")


def test_a_long_sentence_wraps_beside_its_dash() -> None:
    row = difference("reliance", "Saliency (trained on)", "none", sentence="word " * 40)
    text = printed(print_differences, {"a": "a", "b": "b", "questions": 1, "rows": [row]}, width=60)
    assert max(map(len, text.splitlines())) <= 60
    assert "\n  word" in text


def test_samples_show_markup_as_text() -> None:
    samples = [
        {"correct": True, "saliency_reward": 0.5, "reliance": 2.0, "density": 0.5, "completion": "x",
         "salient": "so [red][[ 1 + 1]][/red] \x1b[31m"},
        {"correct": False, "saliency_reward": 0.0, "reliance": None, "density": None, "completion": "no answer",
         "salient": ""},
    ]  # fmt: skip
    console = Console(file=io.StringIO(), width=100, color_system=None)
    print_samples(7, samples, console)
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    assert "Step 7" in shown
    assert "so [red][[ 1 + 1]][/red]" in shown
    assert "\x1b" not in shown
    assert "no answer" in shown
    assert "n/a" in shown


def test_samples_of_work_show_what_the_reward_is_of() -> None:
    sample = {
        "correct": True,
        "saliency_reward": 0.4,
        "work": 0.8,
        "used": 0.5,
        "completion": "x",
        "salient": "[[1]] x",
    }
    console = Console(file=io.StringIO(), width=100, color_system=None)
    print_samples(7, [sample], console)
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    for wanted in ("Work", "80.0 %", "Used", "50.0 %", "[[needed]]"):
        assert wanted in shown
    assert "Reliance" not in shown
