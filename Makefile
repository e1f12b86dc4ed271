# Two commands: `make app` starts the laboratory, `make test` checks everything.
PYTHON ?= python3
PORT ?= 8501
VENV := .venv
BIN := $(VENV)/bin
# Tests that wait for background workers, which stand back for everything else that wants a processor.
ALONE := tests/browser tests/runs tests/profiles/test_worker.py
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: app test clean

app: $(VENV)/runtime.done
	@$(BIN)/python -m qexplore app --port $(PORT)

test: $(VENV)/develop.done
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	home=$$(mktemp -d) && trap 'rm -rf "$$home"' EXIT && \
	export QEXPLORE_HOME="$$home" OMP_NUM_THREADS=1 && \
	$(BIN)/pytest --numprocesses=auto --dist=worksteal --nbmake --nbmake-timeout=300 \
		$(ALONE:%=--ignore=%) tests $(wildcard notebooks/*.ipynb) && \
	$(BIN)/pytest $(ALONE)

clean:
	rm -rf $(VENV)

# The stamps are written last: an install that was interrupted starts again.
$(VENV)/runtime.done: requirements.txt pyproject.toml | $(BIN)/python
	@echo "Installing qexplore into $(VENV), once. PyTorch is a large download: this takes some minutes."
	$(BIN)/python -m pip install --quiet --requirement requirements.txt --editable .
	@touch $@

$(VENV)/develop.done: requirements-dev.txt $(VENV)/runtime.done
	$(BIN)/python -m pip install --quiet --requirement requirements-dev.txt
	@touch $@

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	{ echo "qexplore needs Python 3.11 or newer; name one with PYTHON=, such as: make app PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv --clear $(VENV)
