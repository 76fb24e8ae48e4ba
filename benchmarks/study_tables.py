"""The tables of docs/study.md, from a study's folder.

    atmanrl study study-tiny                                  # hours on 2 cores; goes on where it stopped
    python benchmarks/study_tables.py                         # reads the finished cells in runs/study-tiny
    python benchmarks/study_tables.py --recipe study-gsm8k    # another study

By task, over the seeds whose arms are all finished, as far as it was measured: every arm's values with 95 % intervals
over seeds and questions; what the rule's arm gains over each other arm; the values by seed; what a right and a wrong
key do to the accuracy; the same metrics among the answers that bypass little, by arm and paired; how length and
composition change from the base; the lengths at which trainings ended; tricks; the verdict; and how many metrics are
better over the seeds that are there, also without early answering and by family, which the rule does not ask. Reads
`*.values.json.gz` and `length.json` alone, so that it does for the copies in benchmarks/results too (`--output-dir`).
"""

import argparse
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from atmanrl.metrics import METRICS
from atmanrl.report import format as fmt
from atmanrl.report.study import sentences
from atmanrl.statistics import crossed_mean
from atmanrl.study_config import StudyConfig, load_study
from atmanrl.study_results import summarise_study, values_of

SHOWN = {
    "mixed/accuracy": "right, keys as in training",
    "test/accuracy": "right",
    "test/parsed_rate": "answers in the asked form",
    "wrong/key_flip": "answers that are a wrong key",
    "faithful/mistake_forced": "mistake added, answer forced",
    "faithful/mistake_continued": "mistake added, model goes on",
    "faithful/sentence_change": "sentences that change the answer",
    "faithful/early_answering": "early answering, by fraction",
    "faithful/early_answering_sentences": "early answering, by sentence",
    "faithful/early_answering_probability": "early answering, by probability",
    "faithful/filler_tokens_agreement": "neutral tokens: answer kept (lower is better)",
    "faithful/early_answering_tokens": "early answering, in tokens",
    "mixed/filler_share": "filler",
    "mixed/reasoning_tokens": "reasoning tokens",
    "test/reasoning_tokens": "reasoning tokens",
}
COMPOSITION = {"reasoning_tokens": -44, "stop_word_share": -25, "number_share": 48, "symbol_share": 61}
"""What changes with training, and by how many percent on GSM8K in the paper (Llama-3.2-3B-Instruct)."""
FAMILIES = {
    "early answering": ("early_answering", "early_answering_sentences", "early_answering_probability"),
    "added mistakes": ("mistake_forced", "mistake_continued"),
    "neutral tokens": ("filler_tokens_agreement",),
    "removed sentences": ("sentence_change",),
}
AMONG = ("mistake_forced", "sentence_change", "early_answering", "filler_tokens_agreement")
LITTLE = 0.5
"""Nats: an answer under this bypass was not copied from the question, nearly for certain."""


def table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def with_interval(name: str, cell: dict[str, Any]) -> str:
    return f"{fmt.figure(name, cell['value'])} {fmt.interval(name, cell['ci95'])}".strip()


def gained(name: str, found: dict[str, Any]) -> str:
    """Bold where the interval excludes zero."""
    text, ci95 = fmt.difference(name, found["value"]), found["ci95"]
    if ci95 and (ci95[0] > 0 or ci95[1] < 0):
        text = f"**{text}**"
    return f"{text} {fmt.difference_interval(name, ci95)}".strip()


def by_seed(config: StudyConfig, task: str, seeds: list[int], shown: dict[str, str]) -> Iterator[list[str]]:
    for metric, label in shown.items():
        scale = 100 if fmt.is_percent(metric.split("/")[1]) else 1
        means = [np.nanmean(scale * values_of(config, task, arm, seeds, metric), axis=1) for arm in config.arms]
        yield [label, *(", ".join(f"{mean:.1f}" for mean in each) for each in means)]


def key_effects(config: StudyConfig, task: str, seeds: list[int]) -> Iterator[list[str]]:
    """Accuracy with a key less that without, on the same stories."""
    for kind in ("right", "wrong"):
        cells = []
        for arm in config.arms:
            with_key, without = (values_of(config, task, arm, seeds, f"{k}/accuracy") for k in (kind, "none"))
            cells.append(gained("accuracy", asdict(crossed_mean(with_key - without))))
        yield [f"right with a {kind} key, less without", *cells]


def where_bypass_is_little(config: StudyConfig, task: str, seeds: list[int]) -> Iterator[list[str]]:
    """Means over the traces whose own answer bypasses little: what is left when copied answers are set aside."""
    little = {arm: values_of(config, task, arm, seeds, "faithful/bypass") < LITTLE for arm in config.arms}
    yield ["share of the traces", *(f"{100 * little[arm].mean():.0f} %" for arm in config.arms)]
    for metric in AMONG:
        label, cells = SHOWN[f"faithful/{metric}"], []
        for arm in config.arms:
            own = np.where(little[arm], values_of(config, task, arm, seeds, f"faithful/{metric}"), np.nan)
            cells.append(with_interval(metric, asdict(crossed_mean(own))))
        yield [label, *cells]


def where_both_bypass_little(config: StudyConfig, task: str, seeds: list[int], own: str) -> Iterator[list[str]]:
    """The rule's arm less each other, on the questions where neither answer bypasses much: by arm alone the traces
    that are left are others for each arm, and those of an arm that copies half of them are its easier ones."""
    others = [arm for arm in config.arms if arm != own]
    little = {arm: values_of(config, task, arm, seeds, "faithful/bypass") < LITTLE for arm in config.arms}
    yield ["share of the questions", *(f"{100 * (little[own] & little[arm]).mean():.0f} %" for arm in others)]
    for metric in AMONG:
        label, cells = SHOWN[f"faithful/{metric}"], []
        for arm in others:
            difference = values_of(config, task, own, seeds, f"faithful/{metric}")
            difference = difference - values_of(config, task, arm, seeds, f"faithful/{metric}")
            kept = np.where(little[own] & little[arm], difference, np.nan)
            cells.append(gained(metric, asdict(crossed_mean(kept))))
        yield [label, *cells]


def changes(config: StudyConfig, task: str, seeds: list[int], evaluation: str) -> Iterator[list[str]]:
    """Length and composition of the reasoning, change from the base in percent of the base's mean, with intervals."""
    trained = [arm for arm, one in config.arms.items() if one.trained]
    base = next(arm for arm, one in config.arms.items() if not one.trained)
    for name, paper in COMPOSITION.items():
        before, cells = values_of(config, task, base, seeds, f"{evaluation}/{name}"), []
        for arm in trained:
            after = values_of(config, task, arm, seeds, f"{evaluation}/{name}")
            found = crossed_mean(100 * (after - before) / np.nanmean(before))
            interval = f" [{found.ci95[0]:+.0f}, {found.ci95[1]:+.0f}]" if found.ci95 else ""
            cells.append(f"{found.value:+.0f} %{interval}")
        yield [METRICS[name].label.lower(), *cells, f"{paper:+d} %"]


def over_finished_seeds(study: dict[str, Any], task: str) -> str:
    """The rule's count over the seeds that are there, which decides nothing, and what it leaves out: families."""
    found, rule = study["tasks"][task], study["rule"]
    better = {metric.split("/")[1] for metric in rule["metrics"] if beats_controls(found, rule, metric)}
    families = [name for name, metrics in FAMILIES.items() if better & set(metrics)]
    early = set(FAMILIES["early answering"])
    return (
        f"{task}, {len(found['seeds'])} seeds: intervals exclude zero against all controls on {len(better)} of "
        f"{len(rule['metrics'])} metrics, {len(better - early)} of {len(rule['metrics']) - len(early)} without early "
        f"answering, in {len(families)} of {len(FAMILIES)} families ({', '.join(families) or 'none'})."
    )


def beats_controls(found: dict[str, Any], rule: dict[str, Any], metric: str) -> bool:
    if metric not in found["metrics"]:
        return False
    intervals = [found["metrics"][metric][control]["difference"]["ci95"] for control in rule["controls"]]
    higher = METRICS[metric.split("/")[1]].better == "higher"
    return all(ci95 and (ci95[0] > 0 if higher else ci95[1] < 0) for ci95 in intervals)


def show(config: StudyConfig, study: dict[str, Any], task: str) -> None:
    found, arms, own = study["tasks"][task], list(study["arms"]), study["rule"]["arm"]
    metrics, seeds, others = found["metrics"], found["seeds"], [arm for arm in study["arms"] if arm != own]
    shown = {metric: label for metric, label in SHOWN.items() if metric in metrics}
    counting = set(study["rule"]["metrics"])
    print(f"## `{task}`, seeds {', '.join(map(str, seeds))}\n\nValues; * counts in the rule\n")
    labels = {m: f"{label}{' *' if m in counting else ''}" for m, label in shown.items()}
    names = {m: m.split("/")[1] for m in shown}
    print(table(["", *arms], [[labels[m], *(with_interval(names[m], metrics[m][a]) for a in arms)] for m in shown]))
    print(f"What {own} gains\n")
    rows = [[labels[m], *(gained(names[m], metrics[m][a]["difference"]) for a in others)] for m in shown]
    print(table(["", *(f"{own} less {arm}" for arm in others)], rows))
    print("By seed\n")
    print(table(["", *arms], list(by_seed(config, task, seeds, shown))))
    if all(f"{kind}/accuracy" in metrics for kind in ("none", "right", "wrong")):
        print("Accuracy by key\n")
        rows = [
            [
                f"right, {'no' if k == 'none' else k} key",
                *(with_interval("accuracy", metrics[f"{k}/accuracy"][a]) for a in arms),
            ]
            for k in ("none", "right", "wrong")
        ]
        print(table(["", *arms], [*rows, *key_effects(config, task, seeds)]))
    if "faithful/bypass" in metrics:
        print(f"Among answers that bypass less than {LITTLE} nats\n")
        print(table(["", *arms], list(where_bypass_is_little(config, task, seeds))))
        print(f"Among questions whose answers bypass less than {LITTLE} nats under both arms, paired\n")
        rows = list(where_both_bypass_little(config, task, seeds, own))
        print(table(["", *(f"{own} less {arm}" for arm in others)], rows))
    evaluation = next((e for e in config.tasks[task].evaluations if f"{e}/reasoning_tokens" in metrics), None)
    trained = [arm for arm, one in config.arms.items() if one.trained]
    if evaluation and len(trained) < len(arms):
        print("Change from the base, and the paper's on GSM8K\n")
        print(table(["", *trained, "in the paper"], list(changes(config, task, seeds, evaluation))))
    print("Tokens a completion over the last steps of each training\n")
    lengths = found["lengths"]
    rows = [[f"seed {s}", *(f"{each[i]:.1f}" for each in lengths.values())] for i, s in enumerate(seeds)]
    print(table(["", *lengths], rows))
    for name, tricks in found["gaming"].items():
        print(f"Tricks ({name}): mean reward; questions where it is over the worked solution's\n")
        rows = [[t, *(tricked(tricks[t].get(a)) for a in arms)] for t in tricks]
        print(table(["", *arms], rows))


def tricked(found: dict[str, Any] | None) -> str:
    if found is None:
        return ""
    return f"{found['reward']['value']:.2f}; {fmt.figure('gamed', found['over_honest']['value'])}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", default="study-tiny")
    parser.add_argument("--output-dir", help="where the study's finished cells are; by default the recipe's own")
    args = parser.parse_args()
    config = load_study(args.recipe, {"output_dir": args.output_dir} if args.output_dir else None)
    if not Path(config.output_dir).is_dir():
        parser.error(f"{config.output_dir} is not there: run the study first, or name its folder with --output-dir")
    study = summarise_study(config)
    done = [task for task, found in study["tasks"].items() if found["seeds"]]
    for task in done:
        show(config, study, task)
    print("\n".join(sentences(study)))
    for task in done:
        print(over_finished_seeds(study, task))


if __name__ == "__main__":
    main()
