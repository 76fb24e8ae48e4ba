"""Build the bundled model `tiny`: its tokenizer, then its weights, from one seed.

    python scripts/build_tiny.py                 # about ten minutes on 2 cores, writes src/atmanrl/bundled/tiny

The model is a 4-layer Llama that learns `chains` from stories whose reasoning holds filler; it is trained on the
completion alone, so that it reasons before it answers and cannot answer without.
"""

import argparse
import random
import time
from pathlib import Path

import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast, set_seed

from atmanrl.tasks.chains import Chains, make_example, wordy_reasoning

VOCABULARY = 768
# Words of the bundled tasks to come, so that one tokenizer covers them all.
MORE_WORDS = (
    "The answer key says 35. Hint: the key is right. First we take the old number and then we add the new number to "
    "get what is left. Next we multiply because the pile grows. Note that the weather is warm and the box is red. "
    "There were also other things in the room, so the total would be more. Therefore we subtract from it."
)
OUT = Path(__file__).parents[1] / "src" / "atmanrl" / "bundled" / "tiny"


def build_tokenizer(rng: random.Random) -> PreTrainedTokenizerFast:
    """Byte-level BPE: any text can be written; words of `chains` are one token, every digit its own."""
    task = Chains()
    corpus = [MORE_WORDS] * 50
    for _ in range(4000):
        example = make_example(rng)
        corpus.append(task.prompt(example) + wordy_reasoning(example, rng) + task.cue + task.answer_text(example) + ".")
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(r" ?\d| ?[A-Za-z]+| ?[^\sA-Za-z\d]|\s"), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=["<pad>", "<eos>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(corpus, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="<eos>", padding_side="left", model_max_length=512
    )


def build_model(tokenizer: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=128,
        intermediate_size=352,
        num_hidden_layers=4,
        num_attention_heads=4,
        max_position_embeddings=512,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return LlamaForCausalLM(config)


def make_batch(
    tokenizer: PreTrainedTokenizerFast, rng: random.Random, size: int
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    task = Chains()
    examples = [make_example(rng) for _ in range(size)]
    prompts = [task.prompt(e) for e in examples]
    ends = [wordy_reasoning(e, rng) + task.cue + task.answer_text(e) for e in examples]
    ids = [
        (p, c)
        for p, c in zip(tokenizer(prompts)["input_ids"], tokenizer([e + "." for e in ends])["input_ids"], strict=True)
    ]
    longest = max(len(p) + len(c) for p, c in ids) + 1
    inputs = torch.full((size, longest), tokenizer.pad_token_id)  # (B, L)
    labels = torch.full((size, longest), -100)  # (B, L)
    for row, (prompt, completion) in enumerate(ids):
        full = [*prompt, *completion, tokenizer.eos_token_id]
        inputs[row, : len(full)] = torch.tensor(full)
        labels[row, len(prompt) : len(full)] = torch.tensor(full[len(prompt) :])
    return inputs, (inputs != tokenizer.pad_token_id).long(), labels


def train(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, rng: random.Random, steps: int) -> None:
    optimizer = torch.optim.AdamW(model.parameters(), lr=2.5e-3, weight_decay=0.1, betas=(0.9, 0.98))
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=2.5e-3, total_steps=steps, pct_start=0.05)
    started = time.perf_counter()
    for step in range(steps):
        inputs, mask, labels = make_batch(tokenizer, rng, 64)
        loss = model(input_ids=inputs, attention_mask=mask, labels=labels).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        schedule.step()
        if step % 100 == 0 or step == steps - 1:
            print(f"step {step:5d}  loss {loss.item():.4f}  {time.perf_counter() - started:6.0f} s", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--out", type=Path, default=OUT)
    args = parser.parse_args()
    set_seed(args.seed)
    rng = random.Random(args.seed + 1000)
    tokenizer = build_tokenizer(rng)
    model = build_model(tokenizer)
    print(f"{model.num_parameters():,} parameters, {len(tokenizer)} tokens in the vocabulary", flush=True)
    train(model, tokenizer, rng, args.steps)
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.save_pretrained(args.out)
    tokenizer.save_pretrained(args.out)


if __name__ == "__main__":
    main()
