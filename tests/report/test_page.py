"""The report page without a browser: what is loaded, what is refused, what stands in the page."""

import base64
import hashlib
import json
import re
from pathlib import Path
from typing import Any

import pytest
from made_up import HOSTILE, both_rows, make_result, write_run, write_runs
from test_html import Page

from atmanrl.metrics import METRICS
from atmanrl.report.arms import Arm, load_arms
from atmanrl.report.charts import MARKERS, Line, interval_strip, line_chart, running_mean
from atmanrl.report.page import report_html
from atmanrl.report.questions import browser_data, embedded, metric_of, row_metrics, same_questions
from atmanrl.statistics import paired_difference


@pytest.fixture(scope="module")
def rows() -> Any:
    return both_rows()


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_runs(tmp_path_factory.mktemp("runs"))


def data_of(html: str) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', html, re.DOTALL)
    assert found
    return json.loads(found[1])


def shown_text(html: str) -> str:
    """What a reader sees without the script: white space, also the kind that does not break, as single spaces."""
    return " ".join(Page(re.sub(r"<script.*?</script>", "", html, flags=re.DOTALL)).text.split())


def older(**more: Any) -> dict[str, Any]:
    """What the first version wrote: no curves, settings or seconds."""
    metrics = {"accuracy": {"value": 0.5, "ci95": [0.1, 0.9], "n": 2}, **more}
    return {"model": "m", "task": "gsm8k", "n": 2, "seed": 0, "decoding": {}, "metrics": metrics, "accuracy": 0.5}


# Loading


def test_an_evaluation_with_its_rows(run_folder: Path, rows: Any) -> None:
    (arm,) = load_arms([run_folder / "after.json"])
    assert arm.label == "after" and arm.rows == rows[1] and arm.result["model"] == "tiny-after" and arm.curves == {}


def test_a_training_alone(run_folder: Path) -> None:
    (arm,) = load_arms([run_folder / "trained"])
    assert (arm.label, arm.result, arm.rows) == ("trained", {}, [])
    assert [step for step, _ in arm.curves["reward"]] == list(range(1, 61))
    assert "step" not in arm.curves


def test_a_run_folder_with_one_evaluation_is_one_arm(tmp_path: Path) -> None:
    write_run(tmp_path / "run" / "after.json", older(), [{"index": 0, "question": "q", "correct": True}])
    (tmp_path / "run" / "summary.json").write_text('{"before": {"n": 2}}')
    (tmp_path / "run" / "metrics.jsonl").write_text('{"step": 1, "reward": 0.5, "kind": "x"}\n{"step": 2, "rew')
    (arm,) = load_arms([tmp_path / "run"])
    assert arm.label == "after" and len(arm.rows) == 1 and arm.curves == {"reward": [[1, 0.5]]}


def test_a_run_folder_with_two_evaluations_keeps_the_training_apart(tmp_path: Path) -> None:
    for name in ("before", "after"):
        write_run(tmp_path / f"{name}.json", older(), None)
    (tmp_path / "metrics.jsonl").write_text('{"step": 1, "reward": 0.5}\n')
    arms = load_arms([tmp_path])
    assert [arm.label for arm in arms] == [tmp_path.name, "after", "before"]
    assert [bool(arm.curves) for arm in arms] == [True, False, False]


def test_labels_are_unlike(tmp_path: Path) -> None:
    places = ["a/x/eval.json", "b/x/eval.json", "b/y/eval.json", "other.json"]
    for place in places:
        write_run(tmp_path / place, older(), None)
    arms = load_arms([tmp_path / place for place in [*places, "other.json"]])
    assert [arm.label for arm in arms] == ["a/x/eval", "b/x/eval", "y/eval", "other", "other (2)"]


def test_line_separators_inside_a_row_do_not_split_it(tmp_path: Path) -> None:
    path = write_run(tmp_path / "e.json", older(), None)
    row = {"index": 0, "question": "a\u2028b\u0085c", "correct": True}
    path.with_suffix(".jsonl").write_text(json.dumps(row, ensure_ascii=False) + "\n", encoding="utf-8")
    assert load_arms([path])[0].rows == [row]


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("gone.json", None, "there is no"),
        ("rows.jsonl", "{}", "name the .json"),
        ("explained.json", '{"reasoning": []}', "not an evaluation"),
        ("list.json", "[1]", "not an evaluation"),
        ("broken.json", '{\n"metrics": {,}}', "line 2"),
        ("empty.json", "", "line 1"),
        ("binary.json", b"\xff\xfe", "not UTF-8"),
    ],
)
def test_what_is_no_evaluation_is_refused_in_one_line(tmp_path: Path, name: str, text: Any, said: str) -> None:
    path = tmp_path / name
    if isinstance(text, bytes):
        path.write_bytes(text)
    elif text is not None:
        path.write_text(text)
    with pytest.raises(ValueError, match=said) as error:
        load_arms([path])
    assert str(path) in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(("text", "said"), [('{"index": 0}\n{"ind', "line 2"), ("[]\n", "line 1")])
def test_broken_rows_are_refused_by_line(tmp_path: Path, text: str, said: str) -> None:
    path = write_run(tmp_path / "e.json", older(), None)
    path.with_suffix(".jsonl").write_text(text)
    with pytest.raises(ValueError, match=said) as error:
        load_arms([path])
    assert "e.jsonl" in str(error.value)


@pytest.mark.parametrize(("log", "said"), [(None, "holds no evaluation"), ('{"step": 1}\nx\n{"step": 3}\n', "line 2"),
                                           ('{"loss": 1}\n', "line 1")])  # fmt: skip
def test_folders_that_hold_nothing_or_a_broken_log(tmp_path: Path, log: str | None, said: str) -> None:
    if log:
        (tmp_path / "metrics.jsonl").write_text(log)
    with pytest.raises(ValueError, match=said) as error:
        load_arms([tmp_path])
    assert str(tmp_path) in str(error.value)


def test_too_few_and_too_many_arms() -> None:
    with pytest.raises(ValueError, match="nothing to report"):
        report_html([])
    arms = [Arm(f"a{i}", older()) for i in range(len(MARKERS) + 1)]
    assert report_html(arms[:-1])
    with pytest.raises(ValueError, match="at most 8"):
        report_html(arms)


# The page


@pytest.fixture(scope="module")
def both(run_folder: Path) -> str:
    return report_html(load_arms([run_folder / name for name in ("before.json", "after.json", "trained")]))


def test_only_its_own_script_may_run_and_nothing_is_loaded(both: str) -> None:
    page = Page(both)
    (policy,) = [a["content"] for _, a in page.tags if a.get("http-equiv") == "Content-Security-Policy"]
    script = both[both.rindex("<script>") + len("<script>") : both.rindex("</script>")]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert policy == f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
    assert not page.open
    for tag, attrs in page.tags:
        assert tag not in {"img", "link", "iframe", "object", "base"}
        assert not any(key.startswith("on") for key in attrs)
        for key in ("href", "src", "xlink:href", "action"):
            assert attrs.get(key, "#").startswith("#")
    assert "url(" not in page.style and "@import" not in page.style and "//" not in page.style


def test_every_metric_of_every_arm_is_in_the_table(both: str, run_folder: Path) -> None:
    text = shown_text(both)
    for arm in load_arms([run_folder / "before.json", run_folder / "after.json"]):
        for name, metric in arm.result["metrics"].items():
            assert METRICS[name].label in text and METRICS[name].what in text
            shown = f"{100 * metric['value']:.1f} %" if METRICS[name].unit == "rate" else f"{abs(metric['value']):.1f}"
            assert shown[:-1] in text
    groups = [text.index(group) for group in ("Task", "Causal relevance", "Interpretability", "Saliency (trained on)")]
    assert groups == sorted(groups)
    assert "they prove nothing" in text and "higher is more faithful" in text and "lower is more faithful" in text


def test_differences_are_paired_by_question(both: str, rows: Any) -> None:
    before, after = ([float(row["mistake_forced"]) for row in side] for side in rows)
    result = paired_difference(before, after)
    assert result.value is not None and result.ci95 is not None
    text = shown_text(both)
    low, high = (f"{100 * bound:+.1f}".replace("-", "\u2212") for bound in result.ci95)
    assert f"{100 * result.value:+.1f} pts [{low}, {high}] n 60" in text


def test_arms_over_other_questions_have_no_differences(rows: Any) -> None:
    arms = [Arm("a", make_result(rows[0], "a", 0.0), rows[0]), Arm("b", make_result(rows[1], "b", 1.0), rows[1][:50])]
    assert not same_questions(arms)
    html = report_html(arms)
    assert "not over the same questions" in html and "pts" not in shown_text(html)


def test_more_than_two_arms_have_their_differences_under_their_figures(rows: Any) -> None:
    arms = [Arm(name, make_result(own, name, 0.0), own) for name, own in zip("abc", (*rows, rows[1]), strict=True)]
    html = report_html(arms)
    text = shown_text(html)
    assert "difference from a," in text and "c \u2212 a" not in text
    assert html.count('<span class="inner') == 2 * len(arms[0].result["metrics"])
    assert "Adding a mistake: model goes on" in text
    arms[2] = Arm("c", arms[2].result)
    assert report_html(arms).count('<span class="inner') == len(arms[0].result["metrics"])


def test_charts_are_drawn_and_described(both: str) -> None:
    page = Page(both)
    described = [attrs["aria-label"] for tag, attrs in page.tags if tag == "svg" and attrs.get("role") == "img"]
    for wanted in ("Early answering", "Adding a mistake", "Comprehensiveness, removed", "Reward", "Density"):
        assert any(text.startswith(wanted) for text in described)
    assert any("after, same answer: 10.0 % at 0.0 %, 95.0 % at 100.0 %" in text for text in described)


def test_embedded_data_is_the_rows_and_cannot_end_its_element(rows: Any) -> None:
    hostile = [{**rows[0][0], "question": text, "index": i} for i, text in enumerate(HOSTILE)]
    text = embedded(browser_data([Arm("</script>", older(), hostile)]))
    assert not set(text) & set("<>&\u2028\u2029") and text.isascii()
    read = json.loads(text)["arms"][0]
    assert read["label"] == "</script>"
    shown = [text.replace("\x00", "\\x00").replace("\x1b", "\\x1b") for text in HOSTILE]
    assert [row["question"] for row in read["rows"]] == shown
    names = row_metrics([Arm("x", {}, hostile)])
    assert read["rows"][0]["values"] == [metric_of(hostile[0], name) for name in names]


def test_hostile_names_are_text_everywhere() -> None:
    for text in HOSTILE:
        result = older(**{text: {"value": 1.0, "ci95": None, "n": 1}}) | {"model": text, "task": text}
        result |= {"settings": {text: {text: text}}, "decoding": {text: text}}
        result |= {"curves": {text: {"x": [0, 1], "series": {text: {"value": [0, 1]}}}}}
        rows = [{"index": 0, "question": text, "correct": True}]
        html = report_html([Arm(text, result, rows, {text: [[0, 1], [1, 2]]}), Arm("b", older(), rows)])
        page = Page(html)
        assert not page.open
        assert {tag for tag, _ in page.tags} <= PLAIN_TAGS
        assert sum(tag == "script" for tag, _ in page.tags) == 2


PLAIN_TAGS = set(
    "html head meta title style body a div header h1 h2 h3 p main section svg path line text g polyline polygon span "
    "bdi small b dl dt dd details summary ul li table caption thead tbody tr th td figure figcaption noscript form "
    "label select option input button fieldset legend nav ol sup footer code script br".split()
)


def test_older_files_and_missing_rows() -> None:
    html = report_html([Arm("old", older())])
    text = shown_text(html)
    assert "rows are missing" in text and "50.0 %" in text and 'id="data"' not in html and "Curves" not in text


def test_numbers_that_are_none_and_metrics_that_nobody_knows() -> None:
    nan = float("nan")
    metrics = {
        "density": {"value": None, "ci95": None, "n": 0},
        "reliance": {"value": nan, "ci95": [nan, 1.0], "n": 3},
        "new_thing": {"value": 12.5, "ci95": [11.0, 14.0], "n": 3},
        "plain": 3,
        "odd": "text",
    }
    curves = {
        "unheard_of": {"x": [1, 2, 3], "series": {"s": {"value": [1.0, None, nan], "ci95": [[0, 2], None, None]}}},
        "nothing": {"x": [1], "series": {"s": {"value": [None]}}},
        "broken": {"x": 3},
        "worse": [1],
    }
    rows = [
        {"index": 0, "question": "q", "correct": None, "reliance": nan, "new_thing": 3, "reasoning": 7, "hints": []}
    ]
    training = {"reward": [[1, nan], [2, 1.0]], "loss": [[1, nan]]}
    html = report_html([Arm("x", older(**metrics) | {"curves": curves, "seconds": None}, rows, training)])
    text = shown_text(html)
    assert "New thing" in text and "12.5" in text and "[11.0, 14.0]" in text and "Other" in text
    assert "Unheard of" in text and "Nothing" not in text and "nan" not in text.lower()
    read = data_of(html)
    values = dict(zip([m["name"] for m in read["metrics"]], read["arms"][0]["rows"][0]["values"], strict=True))
    assert values["new_thing"] == 3 and values["reliance"] is None
    assert read["arms"][0]["rows"][0]["tokens"] is None


def test_unknown_curves_are_drawn_without_any_known_one() -> None:
    (chart,) = [line_chart("t", [Line("a", 0, 0, [(0, 1.0, None, None), (1, 3.0, 2.0, 4.0)])], "x", "y")]
    assert chart and chart["lines"][0]["whiskers"] and chart["y_ticks"]
    assert line_chart("t", [Line("a", 0, 0, [(0, None, None, None)])], "x", "y") is None


@pytest.mark.parametrize("values", [[0.0], [5.0, 5.0], [-3.0, -3.0], [1e-9, 3e-9], [-1e6, 1e6], [0.2, 0.9]])
@pytest.mark.parametrize("percent", [False, True])
def test_charts_stay_inside_their_box(values: list[float], percent: bool) -> None:
    points = [(float(i), value, value - 0.1, value + 0.1) for i, value in enumerate(values)]
    chart = line_chart("t", [Line("a", 0, 0, points)], "x", "y", y_percent=percent)
    assert chart
    width, height = chart["size"]
    for x, y in chart["lines"][0]["places"]:
        assert 0 <= x <= width and 0 <= y <= height
    ticks = [text for _, text in chart["y_ticks"]]
    assert len(ticks) == len(set(ticks)) >= 2
    strip = interval_strip([(0, 0, v, v - 0.1, v + 0.1) for v in values[:1]], 1, percent)
    assert strip
    for side in strip["sides"]:
        assert 0 <= side["bounds"][0] <= side["value"] <= side["bounds"][1] <= strip["size"][0]


def test_running_mean() -> None:
    assert running_mean([[1, 0.0], [2, 3.0], [3, 6.0]], 3) == [(1, 1.5), (2, 3.0), (3, 4.5)]
