# make run: the app · make test: everything that must pass · see README.md
PYTHON ?= python3
DATA ?= ../shared/data
BIN := .venv/bin
STAMP := .venv/installed

.PHONY: setup run test train-lite bench

setup: $(STAMP)

$(STAMP): pyproject.toml requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "img2prompt needs Python 3.10 or newer: make PYTHON=…")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --editable '.[dev]'
	@touch $@

run: setup
	$(BIN)/streamlit run app.py --server.address localhost --server.port 8501

test: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy img2prompt
	$(BIN)/pytest

train-lite: setup
	$(BIN)/python -m img2prompt.training $(DATA)

bench: setup
	$(BIN)/python benchmarks/lite.py $(wildcard $(DATA)/flickr8k)
