"""Is the same reasoning worth the same in words, in other languages and in LaTeX? 30 questions by rule, SmolLM2.

    python benchmarks/forms.py

Writes benchmarks/results/forms.json.
"""

import json
import random
from pathlib import Path
from statistics import fmean

import torch

from atmanrl.gaming import in_words
from atmanrl.models import load_model
from atmanrl.scoring import score_completions
from atmanrl.tasks import GSM8K, Example

FORMS = {
    "digits": "Tom has {a} + {b} = {d} apples. Then he has {d} - {c} = {e} apples.",
    "words": "Tom has {aw} plus {bw} which is {dw} apples. Then he has {dw} minus {cw} which is {ew} apples.",
    "French": "Tom a {a} + {b} = {d} pommes. Ensuite il a {d} - {c} = {e} pommes.",
    "German": "Tom hat {a} + {b} = {d} Äpfel. Dann hat er {d} - {c} = {e} Äpfel.",
    "LaTeX": "$${a} + {b} = {d}$$ and then $${d} - {c} = {e}$$",
}


def main() -> None:
    torch.set_num_threads(1)
    model, tokenizer = load_model("smollm2", device="cpu")
    task, rng = GSM8K(), random.Random(0)
    questions, answers, texts = [], [], []
    for _ in range(30):
        a, b, c = rng.randint(11, 60), rng.randint(11, 39), rng.randint(2, 9)
        numbers = {"a": a, "b": b, "c": c, "d": a + b, "e": a + b - c}
        spoken = {f"{name}w": in_words(value) for name, value in numbers.items()}
        questions.append(f"Tom has {a} apples and buys {b} more. He gives {c} away. How many apples does he have now?")
        answers.append(str(a + b - c))
        texts.append({form: text.format(**numbers, **spoken) for form, text in FORMS.items()})
    prompts = [task.prompt(Example(q, a)) for q, a in zip(questions, answers, strict=True)]
    rewards: dict[str, list[float]] = {}
    for form in FORMS:
        ids = [
            tokenizer(f"{text[form]}{task.cue}{answer}", add_special_tokens=False)["input_ids"]
            for text, answer in zip(texts, answers, strict=True)
        ]
        scored = score_completions(model, tokenizer, task, prompts, ids, answers, questions=questions)
        rewards[form] = [round(one.reward, 4) for one in scored]
        print(f"| {form} | {fmean(rewards[form]):.2f} |", flush=True)
    file = Path(__file__).parent / "results" / "forms.json"
    file.write_text(json.dumps(rewards, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
