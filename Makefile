# Two commands do everything, set-up included:  make run   make test
# A second call sets nothing up again. On a machine with an NVIDIA GPU the ordinary vLLM is installed, else its CPU build.

EXTRA  ?= $(if $(shell command -v nvidia-smi 2>/dev/null),gpu,cpu)
PYTHON ?= python3
VENV   := $(CURDIR)/.venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready-$(EXTRA)
SMOLLM := data/models/smollm2-135m-instruct/SOURCE.json

export PATH := $(BIN):$(PATH)
unexport PYTHONDONTWRITEBYTECODE  # without byte code a model server takes three times as long to start
# uv reads no pip configuration: hand it pip's local wheels where there are some, else let it pick the CPU build of torch.
UV_CPU := --overrides requirements/overrides.txt $(if $(PIP_FIND_LINKS),--find-links $(PIP_FIND_LINKS),--torch-backend cpu)

APT    := $(if $(filter 0,$(shell id -u)),,sudo -n )apt-get -qq

.PHONY: run test check setup models sandbox browser doctor lock help

run: setup models  ## set up, run the pipeline on params.yaml (or PROFILE=name), print the table
	$(if $(PROFILE),distill use $(PROFILE))
	dvc repro
	distill summary

test: setup models sandbox browser check  ## set up, lint, type-check, run every test
	pytest -n 2 --dist loadfile  # two at a time: much of a test is waiting for a server to start

check: setup  ## lint and types alone
	ruff check .
	ruff format --check .
	mypy

setup: $(READY)  ## the environment in .venv, from the lock
models: $(SMOLLM)  ## the embedded student that is not in git

sandbox:  ## bubblewrap, which grades programs: installed where this user may; without it their tests are skipped
	@command -v bwrap >/dev/null || { echo "installing bubblewrap, in which programs are graded"; \
	  { $(APT) install -y bubblewrap || { $(APT) update && $(APT) install -y bubblewrap; }; } >/dev/null 2>&1; } || \
	  echo "bubblewrap cannot be installed here, so no program is graded: apt install bubblewrap, as root"

browser:  ## Chromium, in which the report's page is tried: installed where this user may; without it its tests are skipped
	@command -v chromium >/dev/null || command -v google-chrome >/dev/null || { echo "installing Chromium, in which the page is tried"; \
	  { $(APT) install -y chromium || { $(APT) update && $(APT) install -y chromium; }; } >/dev/null 2>&1; } || \
	  echo "Chromium cannot be installed here, so the page is tried in no browser: apt install chromium, as root"

doctor: setup  ## what is here, what is missing, and the cure
	distill doctor

$(READY): pyproject.toml $(wildcard requirements/*)
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "distill needs Python >= 3.11; set PYTHON=python3.11 or later")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check "uv>=0.9"
ifeq ($(EXTRA),gpu)
	uv pip install --quiet --python $(BIN)/python --editable ".[gpu,dev]"
else
	uv pip install --quiet --python $(BIN)/python $(UV_CPU) --requirements requirements/cpu.lock
	uv pip install --quiet --python $(BIN)/python --no-deps --editable .
endif
	touch $@

$(SMOLLM): | setup
	python -m distill.embedded smollm2 --out $(dir $@)

lock: setup  ## resolve the CPU environment anew
	uv pip compile pyproject.toml --extra cpu --extra dev --universal --python-version 3.11 --quiet --upgrade \
	  $(UV_CPU) --no-emit-find-links --no-emit-index-url --no-header --output-file requirements/cpu.lock

help:
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 12
