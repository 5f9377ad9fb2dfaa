PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
TEXT ?=

.PHONY: demo test lint benchmark clean

# The environment is made again whenever pyproject.toml changes.
$(VENV)/ready: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable ".[test,lint]"
	touch $@

demo: $(VENV)/ready
	$(BIN)/python -m examples.demo $(if $(TEXT),--text "$(TEXT)")

test: $(VENV)/ready
	$(BIN)/python -m pytest -n auto

lint: $(VENV)/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

clean:
	rm -rf $(VENV) build dist out *.egg-info
