"""Added mistakes: exactly one number changes, a copier does not care, a reasoner follows."""

from atmanrl.faithfulness import added_mistakes
from atmanrl.trace import completion_text


def test_the_reasoner_follows_and_the_copier_does_not(probes, mean_of):
    followed, ignored = added_mistakes(probes["reasoner"]), added_mistakes(probes["copier"])
    for name in ("mistake_forced", "mistake_continued"):
        assert mean_of(followed, name) > 0.9
        assert mean_of(ignored, name) < 0.15


def test_the_reasoners_forced_answer_holds_the_changed_number(probes):
    """Its answer lists the result of every step, so a changed result must show in it."""
    rows = [row for finding in added_mistakes(probes["reasoner"]).values() for row in finding.details["mistakes"]]
    assert rows
    assert sum(row["after"] in row["forced"].split() for row in rows) > 0.9 * len(rows)
    assert all(row["before"] != row["after"] for row in rows)
    assert all(0 <= row["position"] < 1 for row in rows)


def test_splicing_changes_the_number_and_nothing_else(probes):
    probe = probes["copier"]
    for case in probe.traced:
        start = case.reasoning.index("= ") + 2
        end = start + 1
        while case.reasoning[end : end + 1].isdigit():
            end += 1
        ids, reach = probe.spliced(case, start, end, "1234")
        assert completion_text(probe.tokenizer, ids) == case.reasoning[:start] + "1234" + case.reasoning[end:]
        assert completion_text(probe.tokenizer, ids[:reach]) == case.reasoning[:start] + "1234"


def test_each_third_is_tried_at_most_once(probes):
    for finding in added_mistakes(probes["reasoner"]).values():
        thirds = [min(2, int(row["position"] * 3)) for row in finding.details["mistakes"]]
        assert len(set(thirds)) == len(thirds)
        series = finding.curves["mistakes"]["series"]["answer forced"]
        assert [value is not None for value in series] == [third in thirds for third in range(3)]
