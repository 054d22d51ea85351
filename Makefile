# The only door: a person and the continuous integration call the same targets.
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory
PYTHON ?= python3
SHELL := /bin/bash
BIN := .venv/bin
export CHROMIUM
unexport PYTHONDONTWRITEBYTECODE  # or each of some hundred processes would compile the same packages again
export JSII_SILENCE_WARNING_END_OF_LIFE_NODE_VERSION := 18,20,21,22,23  # their age is for whoever installs node to judge

.PHONY: help
help:  ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'

.PHONY: install
install:  ## everything into this folder: .venv and node_modules
	@$(MAKE) --jobs 2 .venv/installed node_modules/.package-lock.json  # pip works while npm waits for the net

.PHONY: demo
demo: install  ## the local cloud, the stack, a set of pictures, a table; PICTURES=folder for your own
	@$(BIN)/darkroom demo $(if $(PICTURES),"$(PICTURES)")

.PHONY: up down
up: install  ## the local cloud and the stack, without the pictures
	@$(BIN)/darkroom up
down:  ## stops the local cloud
	@$(BIN)/darkroom down

.PHONY: console
console: install  ## the page of pictures, executions and dead letters, on this machine; Ctrl-C ends it
	@$(BIN)/darkroom console

.PHONY: test
test: install browser  ## all tests
	@$(BIN)/python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder  # or the longest, of few tests, come last

.PHONY: browser
browser:  # Chromium, in which the tests drive the page: installed where root may, else asked for
	@command -v "$(or $(CHROMIUM),chromium)" >/dev/null || { test -z "$(CHROMIUM)" && test "$$(id -u)" = 0 && command -v apt-get >/dev/null \
		&& echo "Installing chromium by apt-get" && apt-get update -qq \
		&& DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium >/dev/null; } \
		|| { echo "the tests of the page need Chromium: apt-get install chromium, or CHROMIUM=path" >&2; exit 1; }

.PHONY: screenshots
screenshots: install browser  ## every view of the page, light and dark, wide and narrow, into FOLDER=.darkroom/screenshots
	@$(BIN)/python -m tests.screenshots "$(or $(FOLDER),.darkroom/screenshots)"

.PHONY: faults
faults: install  ## breaks every step in every way, and writes what was observed to docs/faults.md
	@$(BIN)/python -m tests.statemachine.fault_matrix
	@$(BIN)/python -m tests.e2e.fault_matrix
	@$(BIN)/python -m tests.e2e.edge_faults

.PHONY: backfill
backfill: install  ## 1,000 pictures in a bucket without events, made, stopped, gone on with, made again by another setting; PICTURES=number, WORKFLOW=express
	@$(BIN)/python -m tests.e2e.filled $(or $(WORKFLOW),standard) $(PICTURES)

.PHONY: soak
soak: install  ## 300 pictures on a local cloud with every function broken, counted, then redriven; PICTURES=number, WORKFLOW=express
	@$(BIN)/python -m tests.e2e.soak $(or $(WORKFLOW),standard) $(PICTURES)

.PHONY: kills
kills: install  ## kills a local cloud in the middle of an upload of 50, ten times, and counts the rows; KILLS=number
	@DARKROOM_KILLS=$(or $(KILLS),10) $(BIN)/python -m pytest -n0 -q tests/e2e/test_killed.py

.PHONY: permissions
permissions: install  ## tries every role at what it must not do, and without each of its grants: docs/permissions.md
	@$(BIN)/python -m tests.e2e.permissions

.PHONY: corpus
corpus: install  ## every file of CORPUS=folder through the functions, against what its expected.csv says
	@test -n "$(CORPUS)" || { echo "make corpus CORPUS=folder" >&2; exit 2; }
	@$(BIN)/python -m benchmarks.corpus "$(CORPUS)"

.PHONY: gallery
gallery: install  ## draws the table of pictures of docs/formats.md again, into docs/pictures
	@$(BIN)/python -m benchmarks.gallery docs/pictures

.PHONY: check
check: install  ## format, lint, strict types, synth, cfn-lint, the links of the pages, known vulnerabilities
	@$(BIN)/ruff format --check
	@$(BIN)/ruff check
	@$(BIN)/mypy
	@node_modules/.bin/cdk synth --quiet --no-notices
	@$(BIN)/cfn-lint --ignore-checks W3005 -- cdk.out/Darkroom.template.json  # W3005: the CDK's own DependsOn
	@$(BIN)/python -m pages.links
	@$(BIN)/python -m dependencies.audit

.PHONY: docs
docs: .venv/docs  ## README.md and docs/ as a site with search, into build/docs
	@PYTHONPATH=. NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --site-dir build/docs  # --quiet would hide warnings from --strict
	@echo "build/docs/index.html; with search: $(PYTHON) -m http.server --bind 127.0.0.1 --directory build/docs"

.PHONY: licences
licences: install  ## writes docs/licences.md from the lock files
	@$(BIN)/python -m dependencies.licences

.PHONY: bench
bench: .venv/benchmarks  ## how fast, against libvips; PHOTOS=folder for real ones, ONLY=webp,jpeg,avif,validate,cold,delivery,memory,cost; ONLY=local,whole,off AGAINST=commit
	@$(BIN)/python -m benchmarks $(if $(PHOTOS),"$(PHOTOS)") $(if $(ONLY),--only $(ONLY)) $(if $(AGAINST),--against $(AGAINST)) \
		$(if $(ROUNDS),--rounds $(ROUNDS)) $(if $(UPLOADS),--uploads $(UPLOADS))

.PHONY: fuzz
fuzz: .venv/fuzz  ## grows files that nobody drew, and tries them on Validate, Resize and Caption; SECONDS=number
	@$(BIN)/python -m tests.functions.imaging.fuzzing $(or $(SECONDS),600)

.PHONY: bombs
bombs: install  ## draws the worst files of each format, and fails where one costs more than 6 s or 70 % of the memory; ONLY=jpeg,png,tiff,bmp,gif,webp,avif,jxl
	@$(BIN)/python -m benchmarks.bombs $(if $(ONLY),--only $(ONLY)) $(if $(KIND),--kind "$(KIND)")

.PHONY: bench-console
bench-console: install  ## every view of the page, and the commands that read rows, with 5,000 and with 100,000 rows
	@$(BIN)/python -m benchmarks.console

.PHONY: scale
scale: install  ## a simulation of bursts and of steady uploads against AWS's limits; fails if a burst fails a picture
	@$(BIN)/python -m benchmarks.scale

.PHONY: deploy
deploy: install  ## into the AWS account of your environment, after asking; SETTINGS=file for a stack of its own settings
	@stack=$$($(BIN)/python -m stacks.settings us-east-1 $(if $(SETTINGS),"settings=$(SETTINGS)")) \
		&& $(BIN)/darkroom --aws --stack "$$stack" status \
		&& read -r -p "Deploy $$stack there? [y/N] " answer && test "$$answer" = y
	@node_modules/.bin/cdk deploy --require-approval broadening $(if $(SETTINGS),--context "settings=$(SETTINGS)")

.PHONY: lock
lock: install  ## the newest versions that pyproject.toml allows, into the lock files
	@$(BIN)/uv pip compile --quiet --upgrade --universal --generate-hashes --no-annotate --no-header \
		--python-version 3.11 --group test --group check pyproject.toml --output-file requirements.txt
	@$(BIN)/uv pip compile --quiet --upgrade --universal --generate-hashes --no-annotate --no-header \
		--python-version 3.11 --constraint requirements.txt functions/requirements.in --output-file functions/requirements.txt
	@for decoder in heic jxl; do \
		$(BIN)/uv pip compile --quiet --upgrade --universal --generate-hashes --no-annotate --no-header --no-emit-package pillow \
		--python-version 3.11 --constraint requirements.txt functions/requirements-$$decoder.in --output-file functions/requirements-$$decoder.txt \
		|| exit; done
	@$(BIN)/uv pip compile --quiet --upgrade --universal --generate-hashes --no-annotate --no-header \
		--python-version 3.11 --constraint requirements.txt --group pyproject.toml:bench --output-file benchmarks/requirements.txt
	@$(BIN)/uv pip compile --quiet --upgrade --universal --generate-hashes --no-annotate --no-header \
		--python-version 3.11 --constraint requirements.txt --group pyproject.toml:fuzz --output-file tests/requirements.txt
	@$(BIN)/uv pip compile --quiet --upgrade --universal --generate-hashes --no-annotate --no-header \
		--python-version 3.11 --constraint requirements.txt --group pyproject.toml:docs --output-file pages/requirements.txt

.venv/installed: requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "darkroom needs Python 3.11 or newer, $(PYTHON) is " + sys.version.split()[0] + ": try make PYTHON=python3.11")'
	@echo "Installing uv, and with it the Python packages, into .venv"
	@$(PYTHON) -m venv --without-pip .venv  # a pip of its own takes as long as uv; it gets one where the other is too old
	@uv="$$(grep -o '^uv==[0-9.]*' requirements.txt)"; \
		$(PYTHON) -m pip --python $(BIN)/python install --quiet --disable-pip-version-check "$$uv" 2>/dev/null \
		|| { $(PYTHON) -m venv .venv && $(BIN)/pip install --quiet --disable-pip-version-check "$$uv"; }
	@set -o pipefail; $(BIN)/uv pip sync --python $(BIN)/python --require-hashes requirements.txt 2>&1 | grep --line-buffered -v '^ [-+] '
	@$(BIN)/python -c 'import aws_cdk' >/dev/null 2>&1 & \
		$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --editable . && wait
	@touch $@

.venv/benchmarks: .venv/installed benchmarks/requirements.txt
	@echo "Installing libvips into .venv"
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes --requirement benchmarks/requirements.txt
	@touch $@

.venv/fuzz: .venv/installed tests/requirements.txt
	@echo "Installing Atheris into .venv, where there is a wheel of it"
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes --only-binary :all: --requirement tests/requirements.txt \
		|| echo "There is none: pictures are damaged at random"
	@touch $@

.venv/docs: .venv/installed pages/requirements.txt
	@echo "Installing MkDocs into .venv"
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes --requirement pages/requirements.txt
	@touch $@

node_modules/.package-lock.json: package-lock.json
	@command -v npm >/dev/null || { echo "darkroom needs node 20 or newer, and npm is not on the PATH" >&2; exit 1; }
	@echo "Installing the CDK command line into node_modules"
	@npm ci --no-audit --no-fund --loglevel error >/dev/null
