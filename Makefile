# make run: the app · make check: the fast tests · make test: everything that must pass · see README.md
PYTHON ?= python3
DATA ?= ../shared/data
BIN := .venv/bin
INSTALL := -m pip install --no-deps --no-compile
# What pip would compile, but for the libraries' own tests, which are a third of it, and scikit-learn, of which a plain
# install uses two photos; what cannot be compiled is left.
COMPILE := -m compileall -qq -j 0 -x '/tests?/|/sklearn/'
# As many test processes as cores, each with models, apps and a browser of its own; WORKERS=0: one, as pytest alone.
WORKERS ?= logical
PARALLEL := --numprocesses $(WORKERS) --maxprocesses 4 --dist worksteal

.DELETE_ON_ERROR:
.PHONY: install install-full setup run check lint test test-lite test-latest lock wheel train-lite bench how-good

# What the app and the command line need, in .venv.
install: .venv/run

# And what the full engine needs, PyTorch among it.
install-full: .venv/full

# And what working on it needs.
setup: .venv/dev

.venv/run .venv/full .venv/dev: .venv/%: requirements/%.txt pyproject.toml | $(BIN)/python
	$(BIN)/python $(INSTALL) --requirement $<
	$(BIN)/python $(INSTALL) --no-build-isolation --editable .
	@$(BIN)/python $(COMPILE) .venv/lib || true
	@touch $@

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "img2prompt needs Python 3.10 or newer: make PYTHON=…")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip uninstall --quiet --yes setuptools 2>/dev/null || true  # where it is needed, it is locked

# The app, on http://localhost:8501.
run: install
	$(BIN)/streamlit run app.py --server.address localhost --server.port 8501

# Style, types, and which layer imports which.
lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy img2prompt
	$(BIN)/lint-imports

# What is quick, before each commit.
check: lint
	$(BIN)/pytest $(PARALLEL) -m "not slow and not browser and not data"

# Everything that must pass.
test: lint
	$(BIN)/pytest $(PARALLEL)

# The fast tests of what needs no PyTorch, in an environment like that of `make install`: .venv-lite.
test-lite: .venv-lite/test-lite
	.venv-lite/bin/pytest $(PARALLEL) -m "not slow and not browser and not data"

.venv-lite/test-lite: requirements/test-lite.txt pyproject.toml | $(BIN)/python
	$(BIN)/python -m venv --clear .venv-lite
	.venv-lite/bin/python $(INSTALL) --requirement $<
	.venv-lite/bin/python $(INSTALL) --no-build-isolation --editable .
	@.venv-lite/bin/python $(COMPILE) .venv-lite/lib || true
	@touch $@

# All tests with the newest libraries that pyproject.toml allows, in .venv-latest.
test-latest: setup
	$(BIN)/uv venv --quiet --allow-existing --seed --python $(BIN)/python .venv-latest
	$(BIN)/uv pip install --python .venv-latest --upgrade --editable '.[dev]' --group build
	.venv-latest/bin/pytest $(PARALLEL)

# Pin everything anew in requirements/ and requirements.txt.
lock: setup
	$(BIN)/python requirements/lock.py

# The wheel, in dist/.
wheel: setup
	$(BIN)/python -m hatchling build --target wheel

# The bundled model, trained anew.
train-lite: setup
	$(BIN)/python -m img2prompt.training.lite $(DATA)

# How fast the bundled model is.
bench: setup
	$(BIN)/python -m benchmarks.lite $(wildcard $(DATA)/flickr8k)

# What the bundled model says of pictures that it has not learned from, in docs/how-good.md.
how-good: setup build/pictures/skimage
	$(BIN)/python -m benchmarks.how_good --skimage build/pictures/skimage

# scikit-image, for its pictures only.
build/pictures/skimage: | .venv/dev
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --target $(@D) --group pictures
