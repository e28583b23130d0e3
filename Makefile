# Everything a newcomer types. `make help` lists it.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PROFILE ?= profiles/local
# Of a run elsewhere: make resume ARGS="--directory STUDY --configfile STUDY/config.yaml"
ARGS ?=
# Two at a time, a file's tests one after the other.
PYTEST := $(BIN)/python -m pytest -n 2 --dist loadfile
FAST := $(PYTEST) tests/unit tests/rules tests/dag
RUN := $(BIN)/snakemake --profile $(PROFILE) $(ARGS)

.PHONY: help demo toy resume report serve test test-fast lint format bench bench-stein dag docs lock clean
.DEFAULT_GOAL := help

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

$(READY): requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Python 3.11 or newer is needed; name one: make PYTHON=python3.12 ..."; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements.lock
	@touch $@

demo: $(READY) toy  ## make the toy data, run every pipeline on it, write report.html
	$(RUN)
	@$(MAKE) --no-print-directory report

toy: $(READY)  ## make the toy data
	@$(RUN) --quiet all -- toy

resume: $(READY)  ## go on after a run that was killed
	@$(BIN)/python scripts/resume.py $(ARGS)
	$(RUN)
	@$(MAKE) --no-print-directory report

report: $(READY)  ## write report.html of the last run
	@$(RUN) --quiet all --report report.html
	@test -n "$(ARGS)" || echo "Results: $(CURDIR)/results   Report: $(CURDIR)/report.html"

serve: $(READY)  ## show published expression matrices in a browser, at http://127.0.0.1:8000
	$(BIN)/python scripts/cells.py serve $(ARGS)

test: $(READY)  ## all tests
	$(FAST)
	$(PYTEST) tests/smoke

test-fast: $(READY)  ## the tests that take seconds: unit, rules, dag
	$(FAST)

lint: $(READY)  ## style, types, spelling, rules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/snakefmt --check Snakefile rules
	$(BIN)/mypy
	$(BIN)/codespell $$(git ls-files)
	$(BIN)/snakemake --lint
	PYTHONPATH=scripts $(BIN)/python scripts/render_docs.py --check

format: $(READY)  ## put code into the house style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/snakefmt Snakefile rules

bench: $(READY)  ## measure beside the peers (docs/develop.md); writes benchmarks/*/*.md
	PYTHONPATH=scripts $(BIN)/python benchmarks/neuro/kernels.py
	PYTHONPATH=scripts $(BIN)/python benchmarks/neuro/parity.py
	PYTHONPATH=scripts $(BIN)/python benchmarks/neuro/pipeline.py
	PYTHONPATH=scripts $(BIN)/python benchmarks/neuro/phantom.py
	PYTHONPATH=scripts $(BIN)/python benchmarks/neuro/memory.py
	PYTHONPATH=scripts $(BIN)/python benchmarks/astro/kernels.py
	PYTHONPATH=scripts $(BIN)/python benchmarks/astro/survey.py
	PYTHONPATH=scripts $(BIN)/python benchmarks/astro/memory.py
	PYTHONPATH=scripts $(BIN)/python benchmarks/vgwas/kernels.py
	PYTHONPATH=scripts $(BIN)/python benchmarks/vgwas/stein.py
	PYTHONPATH=scripts $(BIN)/python benchmarks/wgr/step1.py
	PYTHONPATH=scripts $(BIN)/python benchmarks/wgr/step2.py
	PYTHONPATH=scripts $(BIN)/python benchmarks/wgr/nplus1.py
	PYTHONPATH=scripts $(BIN)/python benchmarks/cells/kernels.py
	PYTHONPATH=scripts $(BIN)/python benchmarks/cells/memory.py
	PYTHONPATH=scripts $(BIN)/python benchmarks/cells/reading.py
	PYTHONPATH=scripts $(BIN)/python benchmarks/cells/service.py
	PYTHONPATH=scripts $(BIN)/python benchmarks/cells/torture.py
	PYTHONPATH=scripts $(BIN)/python benchmarks/imaging/kernels.py
	PYTHONPATH=scripts $(BIN)/python benchmarks/imaging/grid.py
	PYTHONPATH=scripts $(BIN)/python benchmarks/imaging/memory.py
	PYTHONPATH=scripts $(BIN)/python benchmarks/imaging/database.py

bench-stein: $(READY)  ## the scan of Stein et al. 2010 in its full size, on two cores
	PYTHONPATH=scripts $(BIN)/python benchmarks/vgwas/stein.py

dag docs: $(READY)  ## regenerate what is generated in the docs: graphs and the config's reference
	PYTHONPATH=scripts $(BIN)/python scripts/render_docs.py

lock: $(READY)  ## pin the newest versions that requirements.in allows
	$(PYTHON) -m venv $(VENV)/lock && $(VENV)/lock/bin/pip install --quiet uv
	$(VENV)/lock/bin/uv pip compile requirements.in --universal --python-version 3.11 --upgrade \
	  --generate-hashes --no-header --no-emit-index-url --no-annotate --output-file requirements.lock

clean:  ## remove results, toy data, report and Snakemake's records
	rm -rf results toy report.html .snakemake
