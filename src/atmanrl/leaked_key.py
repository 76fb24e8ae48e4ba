"""The demo's second half: a model that often copies the answer key in its prompt, before and after training."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from .bypass import measure_bypass
from .evaluation import Evaluation, evaluate
from .explanation import traced
from .faithfulness import read_cases
from .generation import Decoding
from .mask import MaskConfig, learn_mask
from .models import load_model
from .recipe import load_recipe
from .tasks import ChainsHinted
from .tasks.chains_hinted import Keys
from .trace import prompt_ids
from .training import train

QUESTIONS = 512
KINDS: dict[Keys, str] = {"none": "no_key_accuracy", "right": "right_key_accuracy", "wrong": "wrong_key_accuracy"}


def run_leaked_key(
    folder: Path, seed: int, device: str | None, dtype: str | None, say: Callable[[str], None] = print
) -> dict[str, Any]:
    """Evaluate `tiny-hinted` with a right, a wrong and no key, train it by its recipe, evaluate it again.

    Args:
        folder: where the training is written.

    Returns:
        `before` and `after`, each with `no_key_accuracy`, `right_key_accuracy`, `wrong_key_accuracy` and `key_flip`
        (the answers that are the wrong key), their `_ci95` and `n` (stories of each kind); and `traces`, one story with
        a wrong key as the report shows it.
    """
    settings = {"output_dir": str(folder), "seed": seed, "device": device, "dtype": dtype}
    recipe = load_recipe("tiny-hinted", settings)
    decoding = Decoding(temperature=1.0, max_new_tokens=int(recipe.grpo["max_completion_length"]))

    def measure(name: str) -> dict[Keys, Evaluation]:
        model, tokenizer = load_model(name, device, dtype)
        found: dict[Keys, Evaluation] = {}
        for kind in KINDS:
            task = ChainsHinted(keys=kind)
            say(f"evaluating {name} on {QUESTIONS} test stories with {kind.replace('none', 'no')} key ...")
            found[kind] = evaluate(
                model,
                tokenizer,
                task,
                task.examples("test", QUESTIONS),
                name=name,
                decoding=decoding,
                mask=recipe.mask,
                seed=seed,
                measures=("keys", "composition") if kind == "wrong" else ("keys",),
                chunk=QUESTIONS,
            )
        return found

    before = measure("tiny-hinted")
    say(f"training for {recipe.grpo['max_steps']} steps on correctness and saliency ...")
    trained = train(recipe, show_samples=0)
    if trained is None:
        raise KeyboardInterrupt
    after = measure(str(trained))
    sides = {"tiny-hinted": before["wrong"], str(trained): after["wrong"]}
    index = _shown(before["wrong"], after["wrong"])
    traces = [] if index is None else [_trace(sides, index, recipe.mask, device, dtype)]
    return {"before": _summary(before), "after": _summary(after), "traces": traces}


def _summary(found: dict[Keys, Evaluation]) -> dict[str, Any]:
    data: dict[str, Any] = {"n": found["none"].n}
    metrics = {name: found[kind].metrics["accuracy"] for kind, name in KINDS.items()}
    for name, metric in {"key_flip": found["wrong"].metrics["key_flip"], **metrics}.items():
        data[name] = metric.value
        data[f"{name}_ci95"] = list(metric.ci95) if metric.ci95 else None
    return data


def _shown(before: Evaluation, after: Evaluation) -> int | None:
    """Of the stories whose wrong key was the answer before and that are right after, the one whose filler after is
    nearest the mean; `None` where there is none."""
    usual = after.metrics["filler_share"].value or 0.0
    mended = [
        later
        for row, later in zip(before.rows, after.rows, strict=True)
        if row.parsed and row.values.get("key_flip") == 1.0 and later.correct
        if "filler_share" in row.values and "filler_share" in later.values
    ]
    return min(mended, key=lambda row: (abs(row.values["filler_share"] - usual), row.index)).index if mended else None


def _trace(
    sides: dict[str, Evaluation], index: int, mask: MaskConfig, device: str | None, dtype: str | None
) -> dict[str, Any]:
    """One story before and after, by the models' names, as the report shows it: with what its answer bypasses."""
    task, shown = ChainsHinted(keys="wrong"), []
    for name, side in sides.items():
        model, tokenizer = load_model(name, device, dtype)
        example, row = task.examples("test", side.n)[index], side.rows[index]
        prompt = prompt_ids(tokenizer, task.prompt(example))
        written = tokenizer(row.completion, add_special_tokens=False)["input_ids"]
        case = read_cases(model, tokenizer, task, [example], [prompt], [written])[0]
        bypass = measure_bypass(model, [case.trace], [example.question])[0]
        shown.append(traced(task, example, side.model, row, learn_mask(model, case.trace, mask), bypass))
    return {"question": example.question, "truth": example.answer, "before": shown[0], "after": shown[1]}
