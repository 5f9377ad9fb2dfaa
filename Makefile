PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
TEXT ?=

.PHONY: demo test coverage mutants lint docs benchmark clean

# The environment is made again whenever pyproject.toml changes.
$(VENV)/ready: pyproject.toml
	@echo "making the environment in $(VENV), once: this takes a minute"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[test,lint]"
	@touch $@

demo: $(VENV)/ready
	$(BIN)/python -m examples.demo $(if $(TEXT),--text "$(TEXT)")

test: $(VENV)/ready
	$(BIN)/python -m pytest -n auto

# What the tests do not run, and which small changes of the program they do not notice.
coverage: $(VENV)/measure
	$(BIN)/python -m coverage erase
	$(BIN)/python -m coverage run -m pytest -n auto
	$(BIN)/python -m coverage combine --quiet
	@below=0; for package in tinygrad_rnn viz; do echo "$$package:"; \
	$(BIN)/python -m coverage report --include "$$package/*" || below=1; done; exit $$below

mutants: $(VENV)/measure
	$(BIN)/python -m tests.mutants --write

$(VENV)/measure: $(VENV)/ready
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[measure]"
	@touch $@

lint: $(VENV)/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# The site; it opens from disk, docs/_build/html/index.html.
docs: $(VENV)/docs
	$(BIN)/python -m sphinx -W --keep-going -n -b html docs docs/_build/html

$(VENV)/docs: $(VENV)/ready
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[docs]"
	@touch $@

# Needs the peers, large ones among them: an environment of its own.
.venv-benchmark/ready: pyproject.toml
	$(PYTHON) -m venv .venv-benchmark
	.venv-benchmark/bin/python -m pip install --quiet --editable ".[benchmark]"
	touch $@

benchmark: .venv-benchmark/ready
	.venv-benchmark/bin/python -m benchmarks --write out

clean:
	rm -rf $(VENV) .venv-benchmark build dist out *.egg-info
