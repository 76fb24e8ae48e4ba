"""evaluate: rows, metrics, intervals."""

import json
from dataclasses import asdict

import pytest

from atmanrl.evaluation import Decoding, composition, evaluate, filler_share, mean_with_interval
from atmanrl.files import write_json
from atmanrl.tasks import Chains, Example


@pytest.fixture(scope="module")
def result(tiny):
    model, tokenizer = tiny
    task = Chains()
    return evaluate(model, tokenizer, task, task.examples("dev", 48), name="tiny", decoding=Decoding(1.0, 96), seed=3)


def test_tiny_meets_what_it_was_built_for(result):
    assert result.metrics["accuracy"].value >= 0.9
    assert 0.15 <= result.metrics["filler_share"].value <= 0.45  # 25-35 % over many stories; 48 here
    assert result.metrics["reliance"].value > 1


def test_rows_and_metrics_agree(result, tmp_path):
    assert result.n == len(result.rows) == 48
    for name in ("accuracy", "reasoning_tokens", "density", "reliance", "filler_share"):
        values = [v for row in result.rows if (v := asdict(row)["correct" if name == "accuracy" else name]) is not None]
        metric = result.metrics[name]
        assert metric.value == pytest.approx(sum(values) / len(values))
        assert metric.n == len(values)
        assert metric.ci95[0] <= metric.value <= metric.ci95[1]
    write_json(tmp_path / "e.json", result.to_json())
    data = json.loads((tmp_path / "e.json").read_text())
    assert set(data) >= {"model", "task", "n", "seed", "decoding", "accuracy", "metrics"}
    assert data["accuracy"] == result.metrics["accuracy"].value
    assert len(data["metrics"]["density"]["ci95"]) == 2


def test_rows_explain_themselves(result):
    task = Chains()
    for row, saliency in zip(result.rows, result.saliencies, strict=True):
        parts = task.parse(row.completion)
        assert row.parsed == (parts is not None)
        if parts is not None and saliency is not None:
            assert saliency.text == row.completion[: parts.reasoning_end]
            assert row.reasoning_tokens == len(saliency.tokens)


def test_seeds_repeat_and_differ(tiny, result):
    model, tokenizer = tiny
    examples = Chains().examples("dev", 48)
    again = evaluate(model, tokenizer, Chains(), examples, name="tiny", decoding=Decoding(1.0, 96), seed=3)
    other = evaluate(model, tokenizer, Chains(), examples[:8], name="tiny", decoding=Decoding(1.0, 96), seed=4)
    assert [r.completion for r in again.rows] == [r.completion for r in result.rows]
    assert [r.completion for r in other.rows] != [r.completion for r in result.rows[:8]]


def test_the_callers_random_state_is_kept(tiny):
    import torch

    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    evaluate(*tiny, Chains(), Chains().examples("dev", 2), decoding=Decoding(1.0, 32))
    assert torch.equal(torch.rand(3), expected)


def test_interval_covers_and_shrinks():
    few, many = mean_with_interval([0, 1] * 10), mean_with_interval([0, 1] * 1000)
    assert few.value == many.value == 0.5
    assert few.ci95[1] - few.ci95[0] == pytest.approx(2 * 1.96 * (0.25 / 20) ** 0.5, rel=0.2)
    assert many.ci95[1] - many.ci95[0] == pytest.approx(2 * 1.96 * (0.25 / 2000) ** 0.5, rel=0.2)
    low, high = mean_with_interval([1, 1, 1]).ci95
    assert (low, high) == (pytest.approx(0.4385, abs=1e-3), pytest.approx(1))  # Wilson: three of three prove little
    assert mean_with_interval([2.5, 2.5]).ci95 == (2.5, 2.5)
    lengths = mean_with_interval([float(i % 7) for i in range(700)])
    assert lengths.ci95[1] - lengths.ci95[0] == pytest.approx(2 * 1.96 * 2 / 700**0.5, rel=0.1)
    assert mean_with_interval([]).value is None


def test_composition_ignores_white_space():
    shares = composition([" the", " 1", "4", " +", "\n", " coins"])
    assert shares == {"stop_word_share": 0.2, "number_share": 0.4, "symbol_share": 0.2}
    assert composition([" ", ""]) == {}


def test_filler_share_counts_tokens():
    example = Example("q", "3", " 1 + 2 = 3.", ("1 + 2 = 3",))
    tokens = [" 1", " +", " 2", " =", " 3", ".", " Nice", " coins", "."]
    assert filler_share(Chains(), example, tokens) == {"filler_share": pytest.approx(1 / 3)}
    assert filler_share(object(), example, tokens) == {}
