"""The README's Python runs as it stands, and prints what it says."""

import re
from pathlib import Path

import pytest

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```\n(?:\n```\n(.*?)```\n)?", README, re.DOTALL)


def test_the_ten_lines_print_what_stands_below_them(capsys):
    (code, printed), _ = BLOCKS
    exec(compile(code, "README.md", "exec"), {})
    number = r"-?\d+\.\d+"
    found = capsys.readouterr().out
    assert re.sub(number, "N", found) == re.sub(number, "N", printed)
    said = [float(text) for text in re.findall(number, printed)]
    # Processors differ in how they round products.
    assert [float(text) for text in re.findall(number, found)] == pytest.approx(said, abs=0.15)


def test_the_reward_works_in_a_grpo_trainer_as_shown(tmp_path):
    _, (code, _) = BLOCKS
    small = 'max_steps=1, per_device_train_batch_size=4, num_generations=2, max_completion_length=96, report_to="none"'
    changes = {
        '"Qwen/Qwen3-0.6B"': '"tiny", device="cpu"',
        '"gsm8k"': '"chains"',
        "1000": "8",
        '"runs/mine"': f'"{tmp_path}", use_cpu=True, bf16=False, gradient_checkpointing=False, {small}',
    }
    for before, after in changes.items():
        assert code.count(before) == 1, before
        code = code.replace(before, after)
    names: dict[str, object] = {}
    exec(compile(code, "README.md", "exec"), names)
    logged = names["trainer"].state.log_history[0]
    assert 0 < logged["saliency/computed"] <= 4
    assert "rewards/saliency/mean" in logged
    assert len(names["reward"].latest) == 4
