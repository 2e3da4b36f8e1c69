# `make train` and `make test` are all that a fresh machine needs: Python 3.11 or 3.12 and a
# package index. Both set up .venv once; a second run does not install again.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Two processes; neighbouring tests stay together, since they share fixtures.
PARALLEL := --numprocesses 2 --dist worksteal
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

# What `make train` trains.
RUN := gmu-synthetic-speaker-fold0-seed0

# Other libraries, which `make benchmark` measures against; each kind in an environment of its own.
OPPONENTS := .opponents

.PHONY: train demo test test-slow test-docs docs benchmark check format clean

train: $(VENV)/.installed  ## train the default model on the synthetic corpus
	$(BIN)/python -m mmer_tf.train --model gmu $(ARGS)

demo: $(VENV)/.installed-demo | saved_models/$(RUN)/report.json  ## the web page, on the model of `make train`
	$(BIN)/python -m mmer_tf.demo --run $(RUN) --open $(ARGS)

# Written last, so a training that was stopped goes on, and a finished one is kept.
saved_models/$(RUN)/report.json: | $(VENV)/.installed-demo
	$(BIN)/python -m mmer_tf.train --model gmu

test: check  ## all checks and the default tests
	$(BIN)/python -m pytest $(PARALLEL) -m "not slow" $(ARGS)

test-slow: $(VENV)/.installed-dev  ## what takes longer: trainings, kills, several processes
	$(BIN)/python -m pytest -m slow $(ARGS)

test-docs: $(VENV)/.installed-dev  ## follow README and docs: run their commands, execute the notebook
	$(BIN)/python -m pytest tests/docs $(ARGS)

docs: $(VENV)/.installed-dev  ## the documentation as a site in build/docs; a warning is an error
	$(BIN)/python -m sphinx --fail-on-warning --keep-going --quiet --builder html docs build/docs
	@echo "open build/docs/index.html in a browser"

benchmark: $(VENV)/.installed-dev $(OPPONENTS)/.torch $(OPPONENTS)/.audio  ## measure against other libraries
	$(BIN)/python benchmarks/run.py $(ARGS)

check: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/lint-imports

format: $(VENV)/.installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) $(OPPONENTS) build *.egg-info

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(0 if (3, 11) <= v[:2] < (3, 13) else \
	    f"Python {v[0]}.{v[1]} found, 3.11 or 3.12 needed: make PYTHON=python3.11 $(MAKECMDGOALS)")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "Installing into $(VENV) (once; some minutes) ..."
	$(PIP) --editable ".[synthetic]"
	@touch $@

$(VENV)/.installed-demo: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "Installing into $(VENV) for the demo (once; some minutes) ..."
	$(PIP) --editable ".[synthetic,demo]"
	@touch $(VENV)/.installed $@

$(VENV)/.installed-dev: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "Installing into $(VENV) for development (once; some minutes) ..."
	$(PIP) --editable ".[dev]"
	@touch $(VENV)/.installed $(VENV)/.installed-demo $@

$(OPPONENTS)/.%: benchmarks/requirements-%.txt
	@echo "Installing the opponents of requirements-$*.txt (once; some minutes) ..."
	$(PYTHON) -m venv $(OPPONENTS)/$*
	$(OPPONENTS)/$*/bin/python -m pip install --quiet --disable-pip-version-check --requirement $<
	@touch $@
