"""What the scripts that go on from `tiny` share: batches of prompts and completions, and the training."""

import random
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import set_seed

from atmanrl.models import load_model

Batch = tuple[torch.Tensor, torch.Tensor]
"""Inputs and labels, both (B, L)."""


def padded(rows: Sequence[tuple[list[int], list[int]]], pad: int) -> Batch:
    """Rows of ids that are read and ids that are learned."""
    longest = max(len(before) + len(after) for before, after in rows)
    inputs = torch.full((len(rows), longest), pad)  # (B, L)
    labels = torch.full((len(rows), longest), -100)  # (B, L)
    for row, (before, after) in enumerate(rows):
        inputs[row, : len(before) + len(after)] = torch.tensor([*before, *after])
        labels[row, len(before) : len(before) + len(after)] = torch.tensor(after)
    return inputs, labels


def fine_tune(
    name: str, make_batch: Callable[[Any, random.Random], Batch], rng: random.Random, seed: int, steps: int, out: Path
) -> None:
    """Train `tiny` further on batches made by a tokenizer and `rng`, and write it to `out`."""
    set_seed(seed)
    model, tokenizer = load_model("tiny", device="cpu")
    model.train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1.5e-3, weight_decay=0.1, betas=(0.9, 0.98))
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=1.5e-3, total_steps=steps, pct_start=0.1)
    started = time.perf_counter()
    for step in range(steps):
        inputs, labels = make_batch(tokenizer, rng)
        loss = model(input_ids=inputs, attention_mask=(inputs != tokenizer.pad_token_id).long(), labels=labels).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        schedule.step()
        if step % 50 == 0 or step == steps - 1:
            print(f"{name} step {step:4d}  loss {loss.item():.4f}  {time.perf_counter() - started:5.0f} s", flush=True)
    model.half().save_pretrained(out)
    tokenizer.save_pretrained(out)
