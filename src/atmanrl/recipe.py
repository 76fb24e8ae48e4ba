"""Recipes: a run as YAML, with overrides from the command line."""

import re
from copy import deepcopy
from pathlib import Path
from typing import Any

import yaml
from pydantic import TypeAdapter, ValidationError

from .train_config import TrainConfig

# In a wheel the recipes lie in the package; in a checkout beside `src`.
_FOLDERS = (Path(__file__).parent / "recipes", Path(__file__).parents[2] / "recipes")


class RecipeError(ValueError):
    """A recipe cannot be read."""


def find_recipe(name: str) -> Path:
    """The file of a recipe: a path, or the name of a bundled one (`tiny-chains`, `recipes/tiny-chains.yaml`)."""
    if Path(name).is_file():
        return Path(name)
    if Path(name).parent in (Path(), Path("recipes")):
        for folder in _FOLDERS:
            bundled = folder / f"{Path(name).name.removesuffix('.yaml')}.yaml"
            if bundled.is_file():
                return bundled
    known = sorted(path.stem for folder in _FOLDERS for path in folder.glob("*.yaml"))
    raise RecipeError(f"no recipe '{name}': give a YAML file or one of {', '.join(known)}")


def load_recipe(name: str, overrides: dict[str, Any] | None = None) -> TrainConfig:
    """A recipe with dotted overrides applied, such as `{"grpo.max_steps": 2}`.

    Raises:
        RecipeError: no such recipe, wrong YAML, an unknown key or a wrong value; one line that names the file and key.
    """
    path = find_recipe(name)
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path} is not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(values, dict):
        raise RecipeError(f"{path} must hold keys and values, such as 'model: tiny'")
    return recipe_of({"output_dir": f"runs/{path.stem}", **values}, overrides or {}, str(path))


def recipe_of(values: dict[str, Any], overrides: dict[str, Any], source: str) -> TrainConfig:
    """A recipe from plain data, which stays as it is, with dotted overrides applied.

    Raises:
        RecipeError: an unknown key or a wrong value; one line that begins with `source`.
    """
    values = deepcopy(values)
    for key, value in overrides.items():
        set_field(values, key, value)
    try:
        return TypeAdapter(TrainConfig).validate_python(_numbers(values))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        message = (
            "unknown key"
            if first["type"] == "unexpected_keyword_argument"
            else first["msg"].removeprefix("Value error, ")
        )
        raise RecipeError(f"{source}: {where}: {message}") from error


def set_field(values: dict[str, Any], key: str, value: Any) -> None:
    """Set a dotted field of plain data, such as `grpo.max_steps`; keys with values go among those that are there."""
    *parents, last = key.split(".")
    for parent in parents:
        if values.get(parent) is None:
            values[parent] = {}
        values = values[parent]
        if not isinstance(values, dict):
            raise RecipeError(f"--{key}: '{parent}' holds no keys")
    if isinstance(value, dict) and isinstance(values.get(last), dict):
        for name, item in value.items():
            set_field(values[last], name, item)
    else:
        values[last] = value


def _numbers(value: Any) -> Any:
    """YAML reads `2e-5` as text, for want of a point: read it as the number that everyone means."""
    if isinstance(value, dict):
        return {key: _numbers(item) for key, item in value.items()}
    if isinstance(value, str) and re.fullmatch(r"[+-]?\d+(\.\d*)?[eE][+-]?\d+", value):
        return float(value)
    return value
