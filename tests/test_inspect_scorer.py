"""The scorer for Inspect: models whose faithfulness is known, the same figures as ours, and plain refusals."""

import copy
import math
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("inspect_ai", reason='no inspect_ai: pip install "atmanrl[inspect]"')

from inspect_ai import eval as inspect_eval
from inspect_ai import score
from inspect_ai.model import get_model
from inspect_ai.scorer import Score

from atmanrl.attention import AttentionError
from atmanrl.evaluation import evaluate
from atmanrl.faithfulness import MEASURES, Probe, read_cases, work_through
from atmanrl.generation import Decoding
from atmanrl.inspect_scorer import PLAIN, VALUES, InspectScorerError, _measure, faithfulness, inspect_task, samples
from atmanrl.mask import learn_mask
from atmanrl.metrics import METRICS
from atmanrl.models import load_model
from atmanrl.tasks import GSM8K, Chains, Example
from atmanrl.trace import prompt_ids

CONTROLS = Path(__file__).parent / "controls"
TASK = Chains(key=True)
COUNT = 8
LONGEST = 96
QUICK = ("early_answering", "mistakes")


def control(name, **options):
    return get_model(
        f"hf/{name}", model_path=str(CONTROLS / name), chat_template=PLAIN, device="cpu", do_sample=False, **options
    )


@pytest.fixture(scope="module")
def logs(tmp_path_factory):
    """Two models with the same answers: one by its reasoning, one by the key in the question."""
    folder = str(tmp_path_factory.mktemp("logs"))
    task = inspect_task(TASK, limit=COUNT, measures=QUICK, max_tokens=LONGEST)
    task.config.temperature = None  # greedy
    done = inspect_eval(task, model=[control("reasoner"), control("copier")], log_dir=folder, display="none")
    both = {log.eval.model.removeprefix("hf/"): log for log in done}
    assert [log.status for log in done] == ["success", "success"], [log.error for log in done]
    return both


def means(log):
    return {score.name: score.metrics["mean"].value for score in log.results.scores}


def values(log, index=0):
    return log.samples[index].scores["faithfulness"].value


def test_models_of_known_faithfulness_are_told_apart(logs):
    reasoner, copier = means(logs["reasoner"]), means(logs["copier"])
    assert reasoner["accuracy"] >= 0.8
    assert copier["accuracy"] >= 0.8
    assert reasoner["early_answering"] >= 0.6
    assert copier["early_answering"] <= 0.2
    assert reasoner["mistake_forced"] >= 0.8
    assert copier["mistake_forced"] <= 0.2


def same(found, expected):
    assert set(expected) <= set(found)
    for metric, value in found.items():
        assert value == pytest.approx(expected.get(metric, math.nan), abs=1e-4, nan_ok=True), metric


def in_order(log):
    return sorted(log.samples, key=lambda sample: sample.metadata["index"])


@pytest.mark.parametrize("name", ["reasoner", "copier"])
def test_scores_are_those_of_the_measures_on_the_same_completions(logs, name):
    model, tokenizer = load_model(str(CONTROLS / name), device="cpu")
    examples = TASK.examples("test", COUNT)
    prompts = [prompt_ids(tokenizer, TASK.prompt(example)) for example in examples]
    written = [tokenizer(sample.output.completion)["input_ids"] for sample in in_order(logs[name])]
    cases = read_cases(model, tokenizer, TASK, examples, prompts, written)
    probe = Probe(model, tokenizer, TASK, tuple(cases), 0, Decoding(0.0, LONGEST))
    findings = [MEASURES[measure](probe) for measure in QUICK]
    for sample, case in zip(in_order(logs[name]), cases, strict=True):
        score = sample.scores["faithfulness"]
        assert score.answer == case.answer
        assert score.metadata["prompt_tokens"] == len(case.prompt)
        expected = {"accuracy": float(case.correct), "parsed_rate": float(case.parsed)}
        for finding in findings:
            expected |= finding[case.index].values if case.index in finding else {}
        same(score.value, expected)


def test_scores_are_those_of_our_own_evaluation(logs):
    """Also generation is the same: the prompt reaches the model as it is. (The copier's idle sums are near ties.)"""
    model, tokenizer = load_model(str(CONTROLS / "reasoner"), device="cpu")
    examples = TASK.examples("test", COUNT)
    ours = evaluate(model, tokenizer, TASK, examples, decoding=Decoding(0.0, LONGEST), measures=QUICK)
    for sample, row in zip(in_order(logs["reasoner"]), ours.rows, strict=True):
        assert sample.output.completion == row.completion
        expected = {"accuracy": float(row.correct), "parsed_rate": float(row.parsed), **row.values}
        same(sample.scores["faithfulness"].value, expected)
    for name, mean in means(logs["reasoner"]).items():
        assert mean == pytest.approx(ours.metrics[name].value, abs=1e-4), name


def test_a_log_can_be_scored_again(logs):
    again = score(logs["reasoner"], faithfulness(TASK, ["early_answering"]), model=control("reasoner"), display="none")
    one = again.samples[0].scores
    (new,) = [found for name, found in one.items() if name != "faithfulness"] or [one["faithfulness"]]
    assert new.value["early_answering"] == pytest.approx(values(logs["reasoner"])["early_answering"])
    assert "mistake_forced" not in new.value


def rescored(log, model, task=TASK):
    log = copy.deepcopy(log)
    log.samples = log.samples[:1]
    return score(
        log, faithfulness(task, ["early_answering"]), model=model, action="overwrite", display="none", copy=False
    )


def test_samples_of_others_need_only_input_and_target(logs):
    log = copy.deepcopy(logs["reasoner"])
    for sample in log.samples:
        sample.metadata = {}
    again = values(rescored(log, control("reasoner")))
    before = values(logs["reasoner"])
    assert {name: before[name] for name in again} == pytest.approx(again)


def test_a_completion_that_no_call_wrote_is_left_unscored(logs):
    log = copy.deepcopy(logs["reasoner"])
    log.samples[0].output.completion += " Or is it?"
    found = rescored(log, control("reasoner")).samples[0].scores["faithfulness"]
    assert math.isnan(found.value)
    assert found.reason == "scoring_failed"


def test_attention_that_cannot_carry_the_mask_is_refused(logs, monkeypatch):
    def refuse(_):
        raise AttentionError("Odd does more than scaled-dot-product attention")

    monkeypatch.setattr("atmanrl.attention.require_mask_support", refuse)
    with pytest.raises(InspectScorerError, match=r"^Odd does more than scaled-dot-product attention$"):
        rescored(logs["reasoner"], control("reasoner"))


def test_a_model_without_weights_is_refused_in_one_line(logs):
    with pytest.raises(InspectScorerError, match="'mockllm/model' gives no weights") as refusal:
        rescored(logs["reasoner"], get_model("mockllm/model"))
    assert "hf/NAME" in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_measures_are_checked():
    with pytest.raises(ValueError, match="choose composition"):
        faithfulness("chains", ["nonsense"])
    for measure in ("hints", "legibility"):
        with pytest.raises(ValueError, match="cannot score in Inspect"):
            faithfulness("chains", [measure])


@pytest.fixture(scope="module")
def probe():
    model, tokenizer = load_model(str(CONTROLS / "reasoner"), device="cpu")
    cases = work_through(model, tokenizer, TASK, TASK.examples("test", 2), Decoding(0.0, LONGEST), 0)
    cases = [replace(case, saliency=learn_mask(model, [case.trace])[0]) for case in cases]
    return Probe(model, tokenizer, TASK, tuple(cases), 0, Decoding(0.0, LONGEST))


def test_every_metric_has_its_measure():
    elsewhere = {"accuracy", "parsed_rate", "hint_flip", "hint_said", "hint_gain", "gamed"}
    elsewhere |= {"legibility", "legibility_accuracy"}
    assert sorted(name for names in VALUES.values() for name in names) == sorted(set(METRICS) - elsewhere)
    assert [*VALUES] == [measure for measure in MEASURES if measure not in ("hints", "gaming", "legibility")]


@pytest.mark.parametrize("measure", VALUES)
def test_measures_give_the_metrics_named_here(probe, measure):
    for finding in MEASURES[measure](probe).values():
        assert set(finding.values) <= set(VALUES[measure])


def test_saliency_is_learned_where_a_measure_needs_it(probe):
    case = probe.cases[0]
    arguments = (probe.model, probe.tokenizer, TASK, case.example, 0, list(case.prompt), case.completion)
    found = _measure(*arguments, ("saliency", "removal"), 0, LONGEST)
    assert found.value["reliance"] == pytest.approx(case.saliency.reliance, abs=1e-3)
    assert not math.isnan(found.value["sentence_change"])
    assert "Reliance" in found.explanation


def test_an_answer_without_reasoning_is_settled_at_once_and_has_no_other_faithfulness(probe):
    case = probe.cases[0]
    completion = f" The answer is {case.example.answer}"
    arguments = (probe.model, probe.tokenizer, TASK, case.example, 0, list(case.prompt), completion)
    found = _measure(*arguments, QUICK, 0, LONGEST)
    assert isinstance(found, Score)
    assert found.value["accuracy"] == 1
    assert found.value["early_answering"] == 0
    assert math.isnan(found.value["mistake_forced"])
    assert found.explanation.startswith("No reasoning before the answer.")


class ChatTask(GSM8K):
    def examples(self, split, limit=None):
        return [Example("1 + 1?", "2", fields={"a": 1})]


def test_samples_carry_the_example():
    (sample,) = samples(TASK, "dev", 1)
    assert sample.input == TASK.prompt(TASK.examples("dev", 1)[0])
    assert (
        Example(**{**sample.metadata["example"], "steps": tuple(sample.metadata["example"]["steps"])})
        == (TASK.examples("dev", 1)[0])
    )
    (chat,) = samples(ChatTask(), "test", 1)
    assert chat.input[-1].role == "user"
    assert "1 + 1?" in chat.input[-1].text
