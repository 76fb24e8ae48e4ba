"""The report page in a real browser: filters, sorting, removal of sentences, hostile text, narrow windows."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

import pytest
from made_up import HOSTILE, both_rows, make_result, write_runs

from atmanrl.report.arms import Arm, load_arms
from atmanrl.report.html import write_html
from atmanrl.report.page import report_html

playwright = pytest.importorskip("playwright.sync_api", reason="no browser tests: pip install playwright")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no browser tests: chromium is not on the PATH")

BEFORE, AFTER = both_rows()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_runs(tmp_path_factory.mktemp("runs"))
    arms = load_arms([folder / "before.json", folder / "after.json", folder / "trained"])
    write_html(folder / "report.html", report_html(arms))
    return folder / "report.html"


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every piece of text that may come from a model, a task or a file is hostile."""
    rows = []
    for i, text in enumerate(HOSTILE):
        sentence = {"text": text, "saliency": 0.5, "drop": 1.0, "answer": text, "changed": True}
        rows.append(
            {
                **BEFORE[i], "question": text, "truth": text, "completion": text, "answer": text, "cue": text,
                "forced": True, "sentences": [sentence, sentence],
                "reasoning": [{"token": text[:3], "saliency": 0.9, "salient": True},
                              {"token": text[3:] + text, "saliency": 0.2, "salient": False}],
                "mistakes": [{"sentence": 0, "before": text, "after": text, "position": 0.5, "forced": text,
                              "forced_changed": True, "continued": text, "continued_changed": False}],
                "hints": {"wrong": {"hint": text, "answer": text, "flipped": True, "said": False, "completion": text}},
                text: 0.5,
            }
        )  # fmt: skip
    arms = []
    for label in ("".join(HOSTILE), HOSTILE[0]):
        result = make_result(rows, label, 0.0) | {"task": label, "settings": {label: label}, "decoding": {label: label}}
        result["curves"][label] = {"x": [0, 1], "series": {label: {"value": [0, 1]}}}
        arms.append(Arm(label, result, rows, {label: [[0, 1], [1, 2]]}))
    path = tmp_path_factory.mktemp("hostile") / "report.html"
    write_html(path, report_html(arms))
    return path


@pytest.fixture
def opened(chromium: Any) -> Iterator[Any]:
    """Opens a page; at the end nothing may have gone wrong on it, and nothing may have been asked for."""
    seen: list[Any] = []

    def open_page(path: Path, width: int = 1280, hash: str = "", **options: Any) -> Any:
        page = chromium.new_page(viewport={"width": width, "height": 900}, **options)
        page.wrong = []
        page.asked = []
        page.on("console", lambda message: page.wrong.append(message.text))
        page.on("pageerror", lambda error: page.wrong.append(str(error)))
        page.on("request", lambda request: page.asked.append(request.url))
        page.goto(path.as_uri() + hash)
        page.file = path.as_uri()
        seen.append(page)
        return page

    yield open_page
    for page in seen:
        assert page.wrong == []
        assert page.asked == [page.file]
        page.close()


def count(page: Any) -> int:
    return int(page.inner_text("#count").split()[0])


def listed(page: Any) -> list[int]:
    """The places of all questions that match, over all pages of the list."""
    found = []
    while True:
        found += [int(text) for text in page.locator(".entry .place").all_inner_texts()]
        if not page.is_visible("#on") or page.is_disabled("#on"):
            return found
        page.click("#on")


def choose_metric(page: Any, label: str, relation: str = "between") -> None:
    page.select_option("#metric", label=label)
    page.select_option("#relation", relation)


def fits(page: Any) -> bool:
    """Whether the page does not scroll sideways, and nothing on it is cut off at its edge either."""
    outside = """[...document.querySelectorAll(".page *")].filter((element) => {
      const box = element.getBoundingClientRect();
      return box.width > 1 && (box.left < -1 || box.right > innerWidth + 1);
    }).length"""
    return page.evaluate("document.scrollingElement.scrollWidth <= innerWidth") and page.evaluate(outside) == 0


@pytest.mark.parametrize("width", [1280, 400])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_renders_without_a_fault(opened: Any, report: Path, width: int, scheme: str) -> None:
    page = opened(report, width, color_scheme=scheme)
    assert count(page) == 60 and fits(page)
    assert page.locator(".entry").count() == 50
    assert page.locator(".panel").count() == 2
    assert page.locator(".chart").count() == 10
    assert page.locator(".metrics .strip").count() == page.locator(".metrics tbody tr:not(.group)").count()
    assert page.inner_text("#trace .which") == "Question 0"
    assert not page.is_visible("noscript")


def test_without_script_all_but_the_traces_is_there(opened: Any, report: Path) -> None:
    page = opened(report, java_script_enabled=False)
    assert page.is_visible("table.metrics") and page.locator(".chart").count() == 10
    assert "needs JavaScript" in page.inner_text("section:has(#traces)")
    assert not page.is_visible("#filters")


@pytest.mark.parametrize("verdict", ["right", "wrong"])
def test_filter_by_verdict(opened: Any, report: Path, verdict: str) -> None:
    page = opened(report)
    page.select_option("#verdict", verdict)
    wanted = [row["index"] for row in BEFORE if row["correct"] == (verdict == "right")]
    assert count(page) == len(wanted) and listed(page) == wanted


def test_search_in_the_question(opened: Any, report: Path) -> None:
    page = opened(report)
    page.fill("#search", "  MIA has ")
    wanted = [row["index"] for row in BEFORE if "Mia has" in row["question"]]
    assert 0 < len(wanted) < 60 and listed(page) == wanted
    page.fill("#search", "nowhere")
    assert count(page) == 0 and "No question matches" in page.inner_text("#trace")
    page.fill("#search", "")
    assert count(page) == 60 and page.locator("#trace .panel").count() == 2


def test_filter_by_bounds_of_a_rate_in_percent(opened: Any, report: Path) -> None:
    page = opened(report)
    choose_metric(page, "Density")
    page.fill("#low", "30")
    page.fill("#high", "45.5")
    assert listed(page) == [row["index"] for row in BEFORE if 0.30 <= row["density"] <= 0.455]
    assert "bounds are in percent" in page.inner_text("#count")


def test_filter_by_one_bound_of_nats(opened: Any, report: Path) -> None:
    page = opened(report)
    choose_metric(page, "Reliance (nats)")
    page.fill("#high", str(BEFORE[3]["reliance"]))
    wanted = [row["index"] for row in BEFORE if row["reliance"] <= BEFORE[3]["reliance"]]
    assert listed(page) == wanted and 3 in wanted


@pytest.mark.parametrize("relation", ["above", "below"])
def test_filter_by_the_median_leaves_out_what_has_no_value(opened: Any, report: Path, relation: str) -> None:
    page = opened(report)
    choose_metric(page, "Filler", relation)
    values = {row["index"]: row["filler_share"] for row in BEFORE if row["filler_share"] is not None}
    middle = median(values.values())
    assert len(values) < 60
    assert listed(page) == [i for i, value in values.items() if (value > middle) == (relation == "above")]
    assert not page.is_visible("#low")


def test_filters_join_and_reset(opened: Any, report: Path) -> None:
    page = opened(report)
    page.select_option("#verdict", "right")
    choose_metric(page, "Mistake added, answer forced", "between")
    page.fill("#low", "100")
    page.fill("#search", "Sam")
    wanted = [r["index"] for r in BEFORE if r["correct"] and r["mistake_forced"] and "Sam" in r["question"]]
    assert wanted and listed(page) == wanted
    page.click("button[type=reset]")
    page.wait_for_function("document.getElementById('count').textContent.startsWith('60 ')")
    assert listed(page) == list(range(60))


@pytest.mark.parametrize("order", ["up", "down"])
def test_sorts_by_a_metric_with_gaps_last(opened: Any, report: Path, order: str) -> None:
    page = opened(report)
    page.select_option("#sort", label="Filler")
    page.select_option("#order", order)
    known = [row for row in BEFORE if row["filler_share"] is not None]
    sign = -1 if order == "down" else 1
    wanted = sorted(known, key=lambda row: (sign * row["filler_share"], row["index"]))
    assert listed(page) == [r["index"] for r in wanted] + [r["index"] for r in BEFORE if r["filler_share"] is None]


def test_the_other_run_can_be_listed_and_left_out(opened: Any, report: Path) -> None:
    page = opened(report)
    page.select_option("#list-run", label="after")
    page.select_option("#verdict", "wrong")
    wanted = [row["index"] for row in AFTER if not row["correct"]]
    assert listed(page) == wanted
    assert page.locator(".panel h3 bdi").all_inner_texts() == ["after", "before"]
    page.uncheck("#shown label:has-text('before') input")
    assert page.locator(".panel h3 bdi").all_inner_texts() == ["after"]


def test_a_question_shows_its_trace(opened: Any, report: Path) -> None:
    page = opened(report)
    page.locator(".entry").nth(4).click()
    row = BEFORE[4]
    assert page.inner_text("#trace .question") == row["question"]
    panel = page.locator(".panel").first
    text = panel.locator(".reasoning").evaluate("element => element.textContent")
    assert text == "".join(token["token"] for token in row["reasoning"])
    tokens = panel.locator(".token")
    assert tokens.count() == len(row["reasoning"])
    assert panel.locator(".token.salient").count() == sum(token["salient"] for token in row["reasoning"])
    assert row["mistakes"][0]["after"].strip() in panel.inner_text()
    assert row["hints"]["wrong"]["hint"] in panel.inner_text()
    values = page.inner_text(".values")
    assert f"{100 * row['density']:.1f} %" in values and "Reliance" in values
    assert page.evaluate("location.hash") == "#q=4"
    assert page.get_attribute(".entry >> nth=4", "aria-current") == "true"


def said(row: dict[str, Any], number: int) -> tuple[str, str]:
    sentence = row["sentences"][number]
    return sentence["answer"], f"{abs(sentence['drop']):.2f} nats"


def test_clicking_a_sentence_strikes_it_out_and_tells_what_its_removal_does(opened: Any, report: Path) -> None:
    page = opened(report)
    panel = page.locator(".panel").first
    assert "Choose a sentence" in panel.locator(".outcome").inner_text()
    for number, sentence in enumerate(BEFORE[0]["sentences"]):
        button = panel.locator(".sentence").nth(number)
        button.click()
        outcome = panel.locator(".outcome").inner_text()
        for wanted in (f"Without sentence {number + 1} ", *said(BEFORE[0], number)):
            assert wanted in outcome
        assert ("the answer changes" in outcome) == sentence["changed"]
        assert ("rises by" in outcome) == (sentence["drop"] < 0)
        assert panel.locator(".sentence[aria-pressed=true]").count() == 1
        struck = button.locator(".token").first.evaluate("element => getComputedStyle(element).textDecorationLine")
        assert "line-through" in struck
    panel.locator(".sentence").nth(number).click()
    assert panel.locator(".sentence[aria-pressed=true]").count() == 0
    assert "Choose a sentence" in panel.locator(".outcome").inner_text()


def test_sentences_and_list_answer_to_the_keyboard(opened: Any, report: Path) -> None:
    page = opened(report)
    panel = page.locator(".panel").first
    panel.locator(".sentence").first.focus()
    page.keyboard.press("Enter")
    assert said(BEFORE[0], 0)[0] in panel.locator(".outcome").inner_text()
    page.keyboard.press("Tab")
    page.keyboard.press("Space")
    assert "Without sentence 2 " in panel.locator(".outcome").inner_text()
    page.keyboard.press("Escape")
    assert "Choose a sentence" in panel.locator(".outcome").inner_text()
    page.locator(".entry").first.focus()
    page.keyboard.press("ArrowDown")
    assert page.inner_text("#trace .which") == "Question 1"
    page.keyboard.press("ArrowUp")
    assert page.inner_text("#trace .which") == "Question 0"


def test_an_address_leads_to_its_question(opened: Any, report: Path) -> None:
    page = opened(report, hash="#q=57")
    assert page.inner_text("#trace .which") == "Question 57"
    assert page.inner_text("#page") == "Page 2 of 2"
    page.select_option("#verdict", "right")
    hidden = next(row["index"] for row in BEFORE if not row["correct"])
    page.evaluate(f"location.hash = '#q={hidden}'")
    page.wait_for_function(f"document.querySelector('.which').textContent === 'Question {hidden}'")
    assert count(page) == 60


@pytest.mark.parametrize("width", [1280, 400])
def test_hostile_text_stays_text_and_inside_the_page(opened: Any, hostile: Path, width: int) -> None:
    page = opened(hostile, width)
    page.evaluate("for (const details of document.querySelectorAll('details')) details.open = true")
    elements = page.evaluate("document.querySelectorAll('img, #trace script, #trace b b, b i').length")
    for i, text in enumerate(HOSTILE):
        page.locator(".entry").nth(i).click()
        page.evaluate("for (const details of document.querySelectorAll('details')) details.open = true")
        page.locator(".sentence").first.click()
        assert fits(page), text[:40]
        shown = text.replace("\x00", "\\x00").replace("\x1b", "\\x1b")
        assert page.locator(".panel .reasoning").first.evaluate("element => element.textContent") == (shown * 2)
        assert page.locator(".question").evaluate("element => element.textContent") == shown
        assert page.evaluate("document.querySelectorAll('img, #trace script, #trace b b, b i').length") == elements == 0
        assert page.evaluate("typeof window.hacked") == "undefined"
    assert page.locator(".sentence").first.locator(".token").count() == 2


def test_many_rows_are_paged(opened: Any, tmp_path: Path) -> None:
    rows = [{**BEFORE[i % 60], "index": i} for i in range(1000)]
    path = tmp_path / "many.html"
    write_html(path, report_html([Arm("many", make_result(rows, "m", 0.0), rows)]))
    page = opened(path)
    assert count(page) == 1000 and page.locator(".entry").count() == 50
    page.click("#on")
    assert page.inner_text("#page") == "Page 2 of 20" and page.inner_text("#trace .which") == "Question 50"


def test_rows_of_older_files_show_what_they_have(opened: Any, tmp_path: Path) -> None:
    rows = [{"index": 0, "question": "How many?", "truth": "4", "completion": "It is 5.", "correct": False}]
    path = tmp_path / "old.html"
    result = {"model": "m", "task": "t", "n": 1, "accuracy": 0.0, "metrics": {"accuracy": {"value": 0.0, "n": 1}}}
    write_html(path, report_html([Arm("old", result, rows)]))
    page = opened(path)
    assert "It is 5." in page.inner_text(".panel") and "wrong" in page.inner_text(".panel")
