"""The least time that the mask's matrix products can take on this machine, and what it takes."""

import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from atmanrl.mask import MaskConfig, learn_mask
from atmanrl.model_state import matmul_precision
from atmanrl.trace import Trace

Shape = tuple[str, tuple[int, ...], tuple[int, ...], tuple[int, ...], tuple[int, ...], torch.dtype]


class Products(TorchDispatchMode):
    """Counts matrix products by shape, layout and dtype."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[Shape] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        if name in ("mm", "bmm", "addmm"):
            left, right = args[-2:]
            self.counts[name, left.shape, left.stride(), right.shape, right.stride(), left.dtype] += 1
        return func(*args, **(kwargs or {}))


def rows(model: Any, traces: Sequence[Trace]) -> list[dict[str, Any]]:
    """Seconds of the products alone, each shape timed by itself, and of the whole, for one batch in each scope."""
    found = []
    for scope in ("all", "answer"):
        config = MaskConfig(scope=scope)
        with Products() as products:
            learn_mask(model, traces, config)
        started = time.perf_counter()
        learn_mask(model, traces, config)
        seconds = time.perf_counter() - started
        with matmul_precision(config.matmuls), torch.no_grad():
            bound = sum(count * seconds_of(shape) for shape, count in products.counts.items())
        operations = sum(count * operations_of(shape) for shape, count in products.counts.items())
        found.append(
            {
                "name": f"bound/{scope}",
                "ratio": seconds / bound,
                "reference_seconds": bound / len(traces),
                "seconds": seconds / len(traces),
                "operations": operations / len(traces),
                "operations_per_second_of_the_products": operations / bound,
            }
        )
    return found


def operations_of(shape: Shape) -> float:
    """Multiplications and additions of one product."""
    _, left, _, right, _, _ = shape
    return 2.0 * torch.Size(left).numel() * right[-1]


def seconds_of(shape: Shape) -> float:
    """Of one product in the same layout: the middle of seven."""
    name, left, left_stride, right, right_stride, dtype = shape
    a, b = torch.empty_strided(left, left_stride, dtype=dtype), torch.empty_strided(right, right_stride, dtype=dtype)
    a.normal_()
    b.normal_()
    work = torch.bmm if name == "bmm" else torch.mm
    seconds = []
    for _ in range(7):
        started = time.perf_counter()
        work(a, b)
        seconds.append(time.perf_counter() - started)
    return sorted(seconds)[3]
