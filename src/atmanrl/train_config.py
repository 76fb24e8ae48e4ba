"""TrainConfig, a whole run, and what TRL and PEFT make of its fields."""

import dataclasses
from typing import Annotated, Any

import torch
from peft import LoraConfig
from pydantic import ConfigDict, Field, TypeAdapter, ValidationInfo, field_validator, model_validator
from pydantic.dataclasses import dataclass
from trl import GRPOConfig, SFTConfig

from .gamed import WatchConfig
from .mask import MaskConfig
from .rewards import RewardConfig

# Stated, since TRL's defaults may change and much hangs on it: scaled by group, the groups that are all correct, where
# rewards differ by saliency alone, get their say (docs/log.md has the runs without).
GRPO_DEFAULTS: dict[str, Any] = {
    "scale_rewards": "group",
    "multi_objective_aggregation": "sum_then_normalize",
    "temperature": 1.0,
}
RUN_DEFAULTS: dict[str, Any] = {"report_to": "tensorboard", "save_total_limit": 2, "disable_tqdm": True}


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class TrainConfig:
    """A whole run; what a recipe's YAML holds.

    Attributes:
        model: see `load_model`.
        task: see `load_task`; `task_options` are its further arguments, `data` where its files are.
        output_dir: where the run is written.
        train_examples: how many of the training split are used; all when `None`.
        screened_by: rows of evaluations of the training split, two or more; of the examples only those are used that
            were solved in some of them and not in all (`screening.py`).
        mask, reward: how masks are learned, how rewards are weighed.
        watch: whether, and how often, it is asked during training what the reward would pay for tricks (`GamingWatch`).
        grpo: fields of `trl.GRPOConfig`.
        sft: fields of `trl.SFTConfig`; where given, the run is a supervised warm-up on the task's worked solutions
            instead, and mask and reward have no part in it.
        lora: fields of `peft.LoraConfig`; full fine-tuning when `None`.
    """

    model: str
    task: str
    output_dir: str
    seed: int = 0
    device: str | None = None
    dtype: str | None = None
    data: str | None = None
    task_options: dict[str, Any] = dataclasses.field(default_factory=dict)
    train_examples: Annotated[int, Field(ge=1)] | None = None
    screened_by: Annotated[tuple[str, ...], Field(min_length=2)] | None = None
    mask: MaskConfig = MaskConfig()
    reward: RewardConfig = RewardConfig()
    watch: WatchConfig | None = None
    grpo: dict[str, Any] = dataclasses.field(default_factory=dict)
    sft: dict[str, Any] | None = None
    lora: dict[str, Any] | None = None

    @field_validator("grpo", "sft")
    @classmethod
    def _known_fields(cls, values: dict[str, Any] | None, info: ValidationInfo) -> dict[str, Any] | None:
        if values is None:
            return None
        ours = {"output_dir": "output_dir", "seed": "seed", "reward_weights": "reward.saliency_weight"}
        for key in values:
            if key in ours:
                raise ValueError(f"'{key}' is set as '{ours[key]}' at the top of the recipe")
        return _known(values, GRPOConfig if info.field_name == "grpo" else SFTConfig)

    @field_validator("lora")
    @classmethod
    def _known_lora(cls, values: dict[str, Any] | None) -> dict[str, Any] | None:
        return None if values is None else _known(values, LoraConfig)

    @model_validator(mode="after")
    def _one_kind(self) -> "TrainConfig":
        if self.sft is not None and self.grpo:
            raise ValueError("a recipe has either 'grpo' or 'sft': warm up by a recipe of its own, and go on from that")
        if self.watch is not None and (self.sft is not None or self.reward.saliency_weight is None):
            raise ValueError("'watch' asks what the saliency reward pays: it needs 'grpo' and a reward.saliency_weight")
        return self


def _known(values: dict[str, Any], config: Any) -> dict[str, Any]:
    fields = {field.name: field for field in dataclasses.fields(config)}
    for key, value in values.items():
        if key not in fields:
            raise ValueError(f"{config.__name__} has no field '{key}'")
        if isinstance(fields[key].default, int | float) and isinstance(value, str):
            raise ValueError(f"'{key}' must be a number, not '{value}'")
    return values


def grpo_config(config: TrainConfig) -> GRPOConfig:
    """The recipe's `GRPOConfig`: our defaults, then the recipe's fields.

    Raises:
        ValueError: a field has a value that TRL does not take.
    """
    return grpo_of(config.output_dir, {**config.grpo, "seed": config.seed}, config.device)


def grpo_of(output_dir: str, fields: dict[str, Any], device: str | None = None) -> GRPOConfig:
    """The same without a recipe."""
    return _made("grpo", GRPOConfig, output_dir, {**GRPO_DEFAULTS, **fields}, device)


def sft_config(config: TrainConfig) -> SFTConfig:
    """The recipe's `SFTConfig`: our defaults, then the recipe's fields; only completions are learned.

    Raises:
        ValueError: a field has a value that TRL does not take.
    """
    fields = {"completion_only_loss": True, "max_length": None, **(config.sft or {}), "seed": config.seed}
    return _made("sft", SFTConfig, config.output_dir, fields, config.device)


def _made(name: str, kind: Any, output_dir: str, fields: dict[str, Any], device: str | None) -> Any:
    on_cpu = device == "cpu" or (device is None and not torch.cuda.is_available())
    hardware = {"use_cpu": True, "bf16": False} if on_cpu else {}
    try:
        return kind(output_dir=output_dir, **{**RUN_DEFAULTS, **hardware, **fields})
    except (TypeError, RuntimeError, ImportError) as error:
        raise ValueError(f"{name}: {error}") from error


def lora_config(fields: dict[str, Any] | None) -> LoraConfig | None:
    """PEFT's config of a recipe's `lora`; `None` is full fine-tuning.

    Raises:
        ValueError: a field has a value that PEFT does not take.
    """
    try:
        return None if fields is None else LoraConfig(**fields)
    except TypeError as error:
        raise ValueError(f"lora: {error}") from error


def plain_data(config: TrainConfig) -> dict[str, Any]:
    """What is kept of a run's recipe in its folder."""
    return dict(TypeAdapter(TrainConfig).dump_python(config, mode="json"))
