"""The table of metrics: complete, and told apart by its labels."""

from dataclasses import fields
from pathlib import Path

import pytest

from atmanrl.evaluation import Row
from atmanrl.metrics import METRICS, ROW_FIELDS

DOCS = Path(__file__).parents[1] / "docs" / "metrics.md"


def test_labels_differ_and_say_something():
    labels = [description.label for description in METRICS.values()]
    assert len(set(labels)) == len(labels)
    assert all(description.what.endswith(".") for description in METRICS.values())


def test_row_fields_are_fields_of_a_row_and_metrics():
    assert set(ROW_FIELDS) <= set(METRICS)
    assert set(ROW_FIELDS.values()) <= {field.name for field in fields(Row)}


def test_what_is_trained_on_is_marked():
    marked = {name for name, description in METRICS.items() if description.group == "Saliency (trained on)"}
    assert marked == {"reliance", "density", "bypass", "gamed"}


@pytest.mark.parametrize("name", [name for name in METRICS if METRICS[name].group != "Task"])
def test_the_docs_tell_of_every_metric(name):
    assert f"`{name}`" in DOCS.read_text(encoding="utf-8")
