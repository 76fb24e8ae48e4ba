"""The HTML views: model text stays text, pages stand alone, every token can be reached and read."""

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from atmanrl.report.html import demo_html, explanation_html, write_html

HOSTILE = [
    "<script>alert(1)</script>",
    "</style>",
    "</div></main>",
    "\"'><img src=//evil.example/x onerror=alert(1)>",
    "<!--",
    "&amp;&lt;",
    "{{ 7 * 7 }}{% raw %}",
    "\u202eevil",
    " \u0645\u0631\u062d\u0628\u0627",
    "\n",
    "\n\n",
    "",
    " ",
    "\t",
    " https://evil.example/",
    "x" * 10_000,
    "日本",
    "👩🏽\u200d💻",
    "]]>",
    " 14",
]
VOID = {"meta", "link", "img", "br", "hr", "input"}


class Page(HTMLParser):
    """What a browser would make of a page, as far as the tests ask."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.reasonings: list[str] = []
        self.text = ""
        self.style = ""
        self.open: list[str] = []
        self.depth = 0
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        self.tags.append((tag, found))
        if tag not in VOID:
            self.open.append(tag)
        if found.get("class") == "reasoning":
            self.reasonings.append("")
            self.depth = len(self.open)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open[-1] == tag, f"</{tag}> closes {self.open[-1:]}"
        if len(self.open) == self.depth:
            self.depth = 0
        self.open.pop()

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "style":
            self.style += data
            return
        self.text += data
        if self.depth:
            self.reasonings[-1] += data

    def tokens(self) -> list[dict[str, str]]:
        return [attrs for _, attrs in self.tags if attrs.get("class", "").split()[:1] == ["token"]]


def explanation(tokens: list[str] | None = None, **more: Any) -> dict[str, Any]:
    tokens = HOSTILE if tokens is None else tokens
    gates = [round((i % 8) / 7, 3) for i in range(len(tokens))]
    reasoning = [{"token": t, "saliency": g, "salient": g > 0.5} for t, g in zip(tokens, gates, strict=True)]
    return {
        "model": "</title><script>m</script>",
        "question": "<b>How</b> many?",
        "reasoning": reasoning,
        "answer": "<i>18</i>",
        "answer_logprob": {"open": -0.12, "closed": -5.25, "learned": -0.03},
        "reliance": 5.13,
        "density": 0.375,
        "scope": "all",
        "steps": 15,
        "seconds": 6.6,
        **more,
    }


OPTIONAL: dict[str, Any] = {
    "cue": "\n<u>#### ",
    "threshold": 0.5,
    "kinds": {"stop_word": 0.09, "number": 0.81},
    "sentences": [{"text": "<s>14 + 4 = 18.", "saliency": 0.97}],
    "correct": False,
    "bypass": {"value": 0.21, "sentence": "<em>Sam</em> gets 4."},
}


def demo(**more: Any) -> dict[str, Any]:
    before = explanation(filler=[i % 2 == 0 for i in range(len(HOSTILE))])
    after = explanation([" 14", " + 4"], filler=[False, False])
    return {
        "model": "tiny",
        "task": "<b>chains</b>",
        "seed": 3,
        "seconds": 214.6,
        "before": {
            "accuracy": 0.938,
            "accuracy_ci95": [0.915, 0.956],
            "filler_share": 0.286,
            "density": 0.22,
            "n": 512,
        },
        "after": {"accuracy": 0.922, "accuracy_ci95": [0.897, 0.942], "filler_share": 0.017, "density": 0.45, "n": 512},
        "curves": {"filler_share": [[1, 0.286], [20, 0.1], [40, 0.017]], "<i>reward": [[1, -0.5], [40, 1.25]]},
        "traces": [{"question": "<b>Q</b>", "truth": "18<", "before": before, "after": after}],
        "command": "atmanrl demo --seed 3 > <out>",
        **more,
    }


PAGES = {
    "explanation": lambda: explanation_html(explanation()),
    "explanation with all": lambda: explanation_html(explanation(**OPTIONAL)),
    "demo": lambda: demo_html(demo()),
}


@pytest.mark.parametrize("name", PAGES)
def test_model_text_stays_text_and_the_page_stands_alone(name: str) -> None:
    html = PAGES[name]()
    page = Page(html)
    assert not page.open
    tags = {tag for tag, _ in page.tags}
    assert not tags & {"script", "img", "link", "iframe", "object", "base", "form", "i", "u", "s", "em"}
    for _, attrs in page.tags:
        assert not any(key.startswith("on") for key in attrs)
        for key in ("href", "src", "xlink:href", "action"):
            assert attrs.get(key, "#").startswith("#")
        assert "url(" not in attrs.get("style", "")
    assert "url(" not in page.style and "@import" not in page.style and "//" not in page.style
    policy = [attrs["content"] for _, attrs in page.tags if attrs.get("http-equiv") == "Content-Security-Policy"]
    assert policy == ["default-src 'none'; style-src 'unsafe-inline'"]


@pytest.mark.parametrize("name", PAGES)
def test_links_within_the_page_lead_somewhere(name: str) -> None:
    page = Page(PAGES[name]())
    ids = [attrs["id"] for _, attrs in page.tags if "id" in attrs]
    assert len(ids) == len(set(ids))
    links = [attrs["href"][1:] for tag, attrs in page.tags if tag == "a"]
    assert links[0] == "main" and set(links) <= set(ids)
    assert {attrs["aria-labelledby"] for _, attrs in page.tags if "aria-labelledby" in attrs} <= set(ids)


def test_the_reasoning_is_the_tokens_joined_exactly() -> None:
    page = Page(explanation_html(explanation()))
    assert page.reasonings == ["".join(HOSTILE)]


def test_control_characters_are_written_out() -> None:
    page = Page(explanation_html(explanation(["a\x00b", "\x1b[31m", "c\r\n", "\x85"])))
    assert page.reasonings == ["a\\x00b\\x1b[31mc\\x0d\n\\x85"]


def test_each_token_can_be_reached_and_tells_its_number() -> None:
    data = explanation()
    page = Page(explanation_html(data))
    assert sum(attrs.get("tabindex") == "0" for _, attrs in page.tags) == len(HOSTILE)
    for attrs, token in zip(page.tokens(), data["reasoning"], strict=True):
        number = f"{token['saliency']:.2f}"
        assert attrs["tabindex"] == "0" and attrs["data-saliency"] == number
        assert f"saliency {number}" in attrs["aria-label"]
        assert ("salient" in attrs["class"].split()) == token["salient"]
        assert attrs["aria-label"].endswith(", salient") == token["salient"]
        assert attrs["style"] == f"--s:{number}"
    labels = [attrs["aria-label"].partition(":")[0] for attrs in page.tokens()]
    assert labels[9] == "line break" and labels[11] == "part of a character" and labels[12] == "space"
    assert ".token:focus::after" in page.style and ".token:hover::after" in page.style


def test_direction_is_kept_inside_its_token() -> None:
    page = Page(explanation_html(explanation()))
    assert "bidi" in page.tokens()[7]["class"].split()
    assert ".bidi { unicode-bidi: isolate; }" in page.style


def test_gates_over_one_and_missing_ones() -> None:
    data = explanation(["a", "b"])
    data["reasoning"] = [
        {"token": "a", "saliency": 1.37, "salient": True},
        {"token": "b", "saliency": None, "salient": False},
    ]
    first, second = Page(explanation_html(data)).tokens()
    assert (first["style"], first["data-saliency"]) == ("--s:1.00", "1.37")
    assert (second["style"], second["data-saliency"]) == ("--s:0.00", "n/a")


def test_explanation_figures() -> None:
    text = Page(explanation_html(explanation(**OPTIONAL))).text
    for wanted in (
        "\u22120.12",
        "\u22125.25",
        "\u22120.03",
        "5.13",
        "37.5 %",
        "scope all",
        "15 steps",
        "over 0.50",
        "wrong",
    ):
        assert wanted in text
    for wanted in ("\\n<u>####", "Stop word", "0.81", "<s>14 + 4 = 18.", "0.97", "0.21", "<em>Sam</em> gets 4."):
        assert wanted in text
    assert "Bypass" not in Page(explanation_html(explanation())).text


def test_demo_shows_both_sides() -> None:
    page = Page(demo_html(demo()))
    for wanted in (
        "93.8 %",
        "[91.5, 95.6]",
        "92.2 %",
        "\u22121.6 pts",
        "28.6 %",
        "1.7 %",
        "(\u221294 %)",
        "512",
        "seed 3",
    ):
        assert wanted in page.text
    assert "atmanrl demo --seed 3 > <out>" in page.text and "True answer: 18<" in page.text
    assert page.reasonings == ["".join(HOSTILE), " 14 + 4"]
    filler = ["filler" in attrs["class"].split() for attrs in page.tokens()]
    assert filler == [i % 2 == 0 for i in range(len(HOSTILE))] + [False, False]
    assert f"{len(HOSTILE)} tokens, {len(HOSTILE) // 2} filler" in page.text


def test_demo_shows_the_leaked_key_before_and_after_side_by_side() -> None:
    rates = {"n": 512, "key_flip": 0.408, "wrong_key_accuracy": 0.354}
    trace = demo()["traces"][0]
    before = {**trace["before"], "bypass": {"value": 6.02, "sentence": "<em>The key</em> says 9."}}
    shown = {**trace, "question": "<b>Leaked</b>", "before": before}
    leaked = {"before": rates, "after": {**rates, "key_flip": 0.014}, "traces": [shown]}
    page = Page(demo_html(demo(leaked_key=leaked)))
    for wanted in (
        "A leaked answer key",
        "40.8 %",
        "1.4 %",
        "35.4 %",
        "<b>Leaked</b>",
        "<em>The key</em> says 9.",
        "6.02",
    ):
        assert wanted in page.text
    assert page.reasonings == ["".join(HOSTILE), " 14 + 4"] * 2
    bare = Page(demo_html(demo(leaked_key={**leaked, "traces": []})))
    assert "There is no story" in bare.text and len(bare.reasonings) == 2


def test_curves_are_drawn_and_described() -> None:
    page = Page(demo_html(demo()))
    labels = [attrs["aria-label"] for tag, attrs in page.tags if tag == "svg"]
    assert labels == [
        "Filler: 28.6 % at step 1, 1.7 % at step 40",
        "<i>reward: \u22120.50 at step 1, 1.25 at step 40",
    ]
    for tag, attrs in page.tags:
        if tag == "polyline":
            points = [tuple(map(float, point.split(","))) for point in attrs["points"].split()]
            assert all(0 <= x <= 320 and 0 <= y <= 190 for x, y in points)
            assert points == sorted(points)


@pytest.mark.parametrize(
    "points",
    [[], [[0, None]], [[0, float("nan")]], [[5, 0.0]], [[0, 1.0], [1, 1.0]], [[0, 0.0], [1, 0.0]], [[0, -3], [2, -3]],
     [[0, 1e-9], [1, 3e-9]], [[0, 0.5], [1, None], [2, 1e6]]],
)  # fmt: skip
def test_curves_of_little_or_no_data(points: list[list[float]]) -> None:
    page = Page(demo_html(demo(curves={"reward": points}, traces=[])))
    numbers = re.findall(r"-?\d+\.?\d*", " ".join(attrs["points"] for tag, attrs in page.tags if tag == "polyline"))
    assert all(0 <= float(number) <= 320 for number in numbers)


def test_write_html(tmp_path: Path) -> None:
    path = tmp_path / "runs" / "report.html"
    html = explanation_html(explanation([" lone \ud83d"]))
    write_html(path, html)
    assert "\u2713" not in path.read_bytes().decode("utf-8")
    assert [child.name for child in path.parent.iterdir()] == ["report.html"]
