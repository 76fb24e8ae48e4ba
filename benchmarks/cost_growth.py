"""How time and memory grow with the reasoning's length: the mask in both scopes, and the model's own forward pass."""

import json
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

LENGTHS = (32, 64, 128, 256, 512, 1024, 2048)
PROMPT, CUE, ANSWER = 64, 4, 4
KINDS = ("forward", "all", "answer")


def rows() -> list[dict[str, Any]]:
    """Exponents of seconds and of memory over a text's length, each kind in a process of its own.

    A text's length is all of its tokens; memory is the peak over what the process held before the first text.
    """
    found = []
    for kind in KINDS:
        out = subprocess.run([sys.executable, __file__, kind], check=True, capture_output=True, text=True).stdout
        points = json.loads(out.splitlines()[-1])
        whole = [PROMPT + length + CUE + ANSWER for length in LENGTHS]
        found.append(
            {
                "name": f"growth/{kind}",
                "exponent": slope(whole, [point["seconds"] for point in points]),
                "exponent_from_256": slope(whole[3:], [point["seconds"] for point in points[3:]]),
                "memory_exponent_from_256": slope(whole[3:], [point["mib"] for point in points[3:]]),
                "seconds": points[-1]["seconds"],
                "mib": points[-1]["mib"],
                "points": points,
            }
        )
    for row in found:
        row["ratio"] = row["exponent"] / found[0]["exponent"]
        row["reference_seconds"] = found[0]["seconds"]
    return found


def slope(lengths: list[int], values: list[float]) -> float:
    """The exponent of a power law, by least squares on logarithms."""
    return float(np.polyfit(np.log(lengths), np.log(np.maximum(values, 1e-9)), 1)[0])


def peak_mib() -> float:
    """Of this process alone; `getrusage` gives a child its parent's."""
    return float(re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[1]) / 1024  # type: ignore[index]


def measure(kind: str) -> list[dict[str, float]]:
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    from atmanrl.mask import MaskConfig, learn_mask
    from atmanrl.model_state import matmul_precision
    from atmanrl.trace import Trace

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=1024, hidden_size=256, intermediate_size=768, num_hidden_layers=6, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=4096, attn_implementation="sdpa",
    )  # fmt: skip
    model = LlamaForCausalLM(config).eval()

    def work(length: int) -> Any:
        ids = torch.randint(3, 1024, (PROMPT + length + CUE + ANSWER,)).tolist()
        if kind == "forward":
            with torch.no_grad(), matmul_precision("bfloat16"):
                return model(input_ids=torch.tensor([ids]), use_cache=False, logits_to_keep=torch.tensor([-1]))
        ends = (PROMPT, PROMPT + length, PROMPT + length + CUE)
        trace = Trace(tuple(ids), tuple("x" for _ in ids), *ends)
        return learn_mask(model, trace, MaskConfig(scope=kind))

    work(8)
    before, points = peak_mib(), []
    for length in LENGTHS:
        seconds = []
        for _ in range(3):
            started = time.perf_counter()
            work(length)
            seconds.append(time.perf_counter() - started)
        points.append({"reasoning_tokens": length, "seconds": min(seconds), "mib": peak_mib() - before})
    return points


if __name__ == "__main__":
    print(json.dumps(measure(sys.argv[1])))
