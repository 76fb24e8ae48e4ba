"""evaluate: rows, metrics, curves, and an interrupted evaluation that goes on."""

import copy
import json

import pytest
import torch

from atmanrl import evaluation
from atmanrl.evaluation import evaluate, fingerprint, write_evaluation
from atmanrl.faithfulness import GIVES, MEASURES
from atmanrl.generation import Decoding
from atmanrl.journal import JournalError
from atmanrl.metrics import METRICS, ROW_FIELDS
from atmanrl.tasks import Chains

QUICK = ("composition", "saliency")


@pytest.fixture(scope="module")
def result(tiny):
    model, tokenizer = tiny
    task = Chains()
    return evaluate(
        model,
        tokenizer,
        task,
        task.examples("dev", 48),
        name="tiny",
        decoding=Decoding(1.0, 96),
        seed=3,
        measures=QUICK,
    )


def test_tiny_meets_what_it_was_built_for(result):
    assert result.metrics["accuracy"].value >= 0.9
    assert 0.15 <= result.metrics["filler_share"].value <= 0.45  # 25-35 % over many stories; 48 here
    assert result.metrics["reliance"].value > 1


def test_rows_and_metrics_agree(result, tmp_path):
    assert result.n == len(result.rows) == 48
    rows_file = write_evaluation(tmp_path / "e.json", result)
    rows = [json.loads(line) for line in rows_file.read_text().splitlines()]
    for name in ("accuracy", "reasoning_tokens", "density", "reliance", "filler_share"):
        values = [v for row in rows if (v := row["correct" if name == "accuracy" else name]) is not None]
        metric = result.metrics[name]
        assert metric.value == pytest.approx(sum(values) / len(values))
        assert metric.n == len(values)
        assert metric.ci95[0] <= metric.value <= metric.ci95[1]
    data = json.loads((tmp_path / "e.json").read_text())
    assert set(data) >= {
        "model",
        "task",
        "n",
        "seed",
        "decoding",
        "settings",
        "accuracy",
        "metrics",
        "curves",
        "seconds",
    }
    assert data["accuracy"] == result.metrics["accuracy"].value
    assert len(data["metrics"]["density"]["ci95"]) == 2


def test_rows_explain_themselves(result):
    task = Chains()
    for row, saliency in zip(result.rows, result.saliencies, strict=True):
        parts = task.parse(row.completion)
        assert row.parsed == (parts is not None)
        if parts is not None and saliency is not None:
            assert saliency.text == row.completion[: parts.reasoning_end]
            assert row.values["reasoning_tokens"] == len(saliency.tokens)


def test_seeds_repeat_and_differ(tiny, result):
    model, tokenizer = tiny
    examples = Chains().examples("dev", 48)
    options = {"name": "tiny", "decoding": Decoding(1.0, 96), "measures": QUICK}
    again = evaluate(model, tokenizer, Chains(), examples, seed=3, **options)
    other = evaluate(model, tokenizer, Chains(), examples[:8], seed=4, **options)
    assert [r.completion for r in again.rows] == [r.completion for r in result.rows]
    assert [r.completion for r in other.rows] != [r.completion for r in result.rows[:8]]


def test_the_callers_random_state_is_kept(tiny):
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    evaluate(*tiny, Chains(), Chains().examples("dev", 2), decoding=Decoding(1.0, 32))
    assert torch.equal(torch.rand(3), expected)


def whole(tiny, **options):
    model, tokenizer = tiny
    settings = {"decoding": Decoding(1.0, 64), "chunk": 3, "seed": 1, "name": "tiny", **options}
    return evaluate(model, tokenizer, Chains(), Chains().examples("dev", 6), **settings)


def plain(result):
    data = result.to_json()
    del data["seconds"]
    return json.loads(json.dumps([data, [row.to_json() for row in result.rows]]))


def test_every_metric_is_there_by_default(tiny, controls):
    result = whole(tiny, reader=controls["reasoner"])
    missing = set(METRICS) - set(result.metrics)
    assert missing <= {"hint_said", "hint_gain", "key_flip", "rewritten_order"}  # of some questions only
    assert result.settings["measures"] == list(MEASURES)
    assert all(len(v["value"]) == len(curve["x"]) for curve in result.curves.values() for v in curve["series"].values())


@pytest.mark.parametrize(("measures", "chunk"), [([], 100), (["composition"], 100), (["composition", "removal"], 20)])
def test_more_questions_are_worked_on_together_where_completions_are_only_read(tiny, measures, chunk):
    result = whole(tiny, measures=measures, chunk=None)
    assert result.settings["chunk"] == chunk
    assert plain(result) == plain(whole(tiny, measures=measures, chunk=chunk))


@pytest.mark.parametrize("measure", MEASURES)
def test_a_measure_gives_what_is_said_of_it(tiny, controls, measure):
    result = whole(tiny, measures=[measure], reader=controls["reasoner"])
    given = set(result.metrics) - set(ROW_FIELDS)
    assert given <= set(GIVES[measure])
    assert given or measure in ("keys", "rewrites")


def test_every_metric_is_given_by_one_measure():
    given = [name for names in GIVES.values() for name in names]
    assert sorted(given) == sorted(set(METRICS) - set(ROW_FIELDS))
    assert list(GIVES) == list(MEASURES)


SOME = ("saliency", "early_answering", "hints", "resampling")


@pytest.mark.parametrize("after", [0, 2, 5])
def test_an_interrupted_evaluation_goes_on_and_ends_the_same(tiny, tmp_path, monkeypatch, after):
    expected = plain(whole(tiny, measures=SOME))
    journal = tmp_path / "e.part.jsonl"
    done = []

    def counted(measure):
        def run(probe):
            if len(done) == after:
                raise KeyboardInterrupt
            done.append(probe)
            return measure(probe)

        return run

    with monkeypatch.context() as patch:
        for name, measure in MEASURES.items():
            patch.setitem(MEASURES, name, counted(measure))
        with pytest.raises(KeyboardInterrupt):
            whole(tiny, journal=journal, measures=SOME)
    again = []
    with monkeypatch.context() as patch:
        for name, measure in MEASURES.items():
            patch.setitem(MEASURES, name, lambda probe, measure=measure: (again.append(probe), measure(probe))[1])
        assert plain(whole(tiny, journal=journal, measures=SOME)) == expected
    assert len(again) == 2 * len(SOME) - after


def test_a_journal_of_other_weights_is_refused(tiny, tmp_path):
    whole(tiny, journal=tmp_path / "j.jsonl", measures=("composition",))
    other = copy.deepcopy(tiny[0])
    with torch.no_grad():
        other.lm_head.weight[0, 0] += 0.01
    assert fingerprint(other) != fingerprint(tiny[0])
    with pytest.raises(JournalError, match="not the same: weights"):
        whole((other, tiny[1]), journal=tmp_path / "j.jsonl", measures=("composition",))


def test_the_name_of_weights_does_not_depend_on_threads(tiny):
    threads = torch.get_num_threads()
    try:
        names = set()
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            names.add(fingerprint(tiny[0]))
    finally:
        torch.set_num_threads(threads)
    assert len(names) == 1


def test_unknown_measures_and_no_questions_are_refused(tiny):
    with pytest.raises(ValueError, match="no measure 'magic': choose composition"):
        whole(tiny, measures=("magic",))
    with pytest.raises(ValueError, match="gave no examples"):
        evaluate(*tiny, Chains(), [])


def test_curves_hold_on_to_their_last_value():
    assert evaluation._reaching([1.0, None, 0.5], 5) == [1.0, None, 0.5, 0.5, 0.5]
