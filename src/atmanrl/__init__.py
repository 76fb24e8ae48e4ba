"""atmanrl: see which reasoning tokens a model's answer rests on, and train for reasoning that matters.

    import atmanrl

    model, tokenizer = atmanrl.load_model("tiny")
    trace = atmanrl.Trace.from_text(tokenizer, prompt, reasoning, cue, answer)
    saliency = atmanrl.learn_mask(model, trace)

The names below are loaded when they are first used, so that `import atmanrl` stays quick.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .attribution import Attribution, attribute
    from .bypass import Bypass, measure_bypass
    from .comparison import compare
    from .evaluation import evaluate, write_evaluation
    from .explanation import explain
    from .mask import MaskConfig, learn_mask
    from .models import load_model
    from .rewards import RewardConfig, outcome_reward
    from .saliency import Saliency
    from .scoring import SaliencyReward, score_completions
    from .tasks import Example, load_task
    from .trace import Trace
    from .train_config import TrainConfig
    from .training import AtManGRPOTrainer, train
    from .work import measure_work

__version__ = "0.1.0"

_HOMES = {
    "AtManGRPOTrainer": "training",
    "Attribution": "attribution",
    "Bypass": "bypass",
    "Example": "tasks",
    "MaskConfig": "mask",
    "RewardConfig": "rewards",
    "Saliency": "saliency",
    "SaliencyReward": "scoring",
    "Trace": "trace",
    "TrainConfig": "train_config",
    "attribute": "attribution",
    "compare": "comparison",
    "evaluate": "evaluation",
    "explain": "explanation",
    "learn_mask": "mask",
    "load_model": "models",
    "load_task": "tasks",
    "measure_bypass": "bypass",
    "measure_work": "work",
    "outcome_reward": "rewards",
    "score_completions": "scoring",
    "train": "training",
    "write_evaluation": "evaluation",
}

__all__ = [
    "AtManGRPOTrainer",
    "Attribution",
    "Bypass",
    "Example",
    "MaskConfig",
    "RewardConfig",
    "Saliency",
    "SaliencyReward",
    "Trace",
    "TrainConfig",
    "attribute",
    "compare",
    "evaluate",
    "explain",
    "learn_mask",
    "load_model",
    "load_task",
    "measure_bypass",
    "measure_work",
    "outcome_reward",
    "score_completions",
    "train",
    "write_evaluation",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'atmanrl' has no attribute '{name}'")
    return getattr(import_module(f".{_HOMES[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
