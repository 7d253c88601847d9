# The entry point for all tasks. `make help` lists them.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV := $(BIN)/uv
SITE := build/docs-venv
SITE_SOURCE ?= build/docs
PARTS := contract job-spec operator results-page trainer-image command-line testbed
SCHEMAS := job-spec/src/finetune_spec/config/parse/schemas
PINNED := $(shell sed -n 's/^trl==\([0-9.]*\).*/\1/p' requirements/trainer.txt)
SCHEMA := $(SCHEMAS)/trl-$(PINNED).json
TYPED := $(PARTS:%=%/src)
# Code that needs a GPU or an idle machine. CI does not run it, so mypy checks that its calls exist.
SELDOM_RUN := tests/gpu tests/benchmarks
WORKERS ?= 2
# Some of the pure tests wait for a clock, so that three of them keep two cores busy.
PURE_WORKERS ?= 3
# In CI, pytest ends with the list of the slowest tests.
PYTEST := $(BIN)/pytest $(if $(CI),--durations=20)
SIDE_BY_SIDE := --no-print-directory -j 4 $(if $(filter output-sync,$(.FEATURES)),--output-sync=line)
export VIRTUAL_ENV := $(CURDIR)/$(VENV)
# Imported modules are compiled once, and not next to their sources: importing TRL uncompiled takes twice
# as long, and some hundred tests do so in separate processes.
export PYTHONPYCACHEPREFIX := $(CURDIR)/build/bytecode
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help setup demo test check lint types test-pure prepare test-slow test-cluster test-control-plane \
	kueue test-all test-all-pure test-all-slow test-all-cluster test-gpu gpu-bundle \
	test-gpu-long soak generate schema families compare lock \
	docs images sbom version release cluster cluster-down bench bench-peers clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-19s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(VENV)/.installed ## install everything that development and tests need into .venv

$(VENV)/.installed: requirements/bootstrap.txt requirements/dev.txt $(PARTS:%=%/pyproject.toml)
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else \
		f"Python 3.11 or newer is needed, this is {sys.version.split()[0]}: set PYTHON=python3.11")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	test -x $(UV) || $(BIN)/python -m pip install --quiet --require-hashes -r requirements/bootstrap.txt
	@echo "Installing the packages of requirements/dev.txt: about 4 GB to fetch unless uv's cache has them, 6 GB"
	@echo "unpacked. torch and CUDA's libraries are most of it. Each large package is named with its size."
	$(UV) pip sync --require-hashes requirements/bootstrap.txt requirements/dev.txt
	$(UV) pip install --quiet --no-deps $(PARTS:%=-e %)
	touch $@

demo: setup ## fine-tune a real model here, without a cluster, GPU or hub
	$(BIN)/python -m testbed demo

test: setup check ## what CI runs: check, then real clusters in parallel, then real trainings
	MAKE="$(MAKE)" $(BIN)/python tests/support/side_by_side.py prepare kueue
	MAKE="$(MAKE)" $(BIN)/python tests/support/side_by_side.py test-cluster test-control-plane
	@$(MAKE) --no-print-directory test-slow
	@echo "Not run: the long forms of these tests (make test-all), of the fault tests (make soak), and what"
	@echo "needs a GPU (make test-gpu). make help says what each part of test-all adds."

check: setup ## lint, types, pure tests, generated files: in parallel, within a minute on two cores
	@$(MAKE) $(SIDE_BY_SIDE) lint types test-pure compare

lint: ## ruff, import contracts, Dockerfiles, the language of texts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/hadolint Dockerfile trainer-image/Dockerfile results-page/Dockerfile
	cd tests && ../$(BIN)/python -m repository.language

types: ## mypy --strict on every project
	$(BIN)/mypy $(TYPED) $(SELDOM_RUN)

test-pure: ## the fast tests: no network, no cluster, no training
	$(PYTEST) -q -n $(PURE_WORKERS) --dist worksteal -m "$(PURE) and not long"

PURE := not slow and not storage and not cluster and not gpu and not soak

# These tests use the CPU, and yield to those that wait for a cluster.
SLOW := OMP_NUM_THREADS=1 nice $(PYTEST) -n $(WORKERS) --dist loadfile --no-loadscope-reorder
TRAINS := (slow or storage) and not cluster and not soak
# Each worker has a separate control plane, and waits most of the time.
REPLICAS := $(PYTEST) -n 2 --dist worksteal
ON_NODES := cluster and not control_plane and not own_cluster and not soak

# Before the tests, because writing gigabytes makes an API server's store wait for the disk.
prepare: setup ## fetch and build what the tests of cluster and control plane need, unless the cache has it
	$(BIN)/python -m testbed prepare cluster
	$(BIN)/python -m testbed prepare control-plane

test-slow: setup ## real training and a real object store on this machine
	$(SLOW) -m "$(TRAINS) and not long"

test-cluster: setup ## the installed operator on a real cluster
	$(BIN)/python -m testbed prepare cluster
	$(PYTEST) -m "$(ON_NODES) and not long" tests/cluster

test-control-plane: setup ## replicas, plugin and results page on a real API server, without nodes
	$(BIN)/python -m testbed prepare control-plane
	$(REPLICAS) -m "control_plane and not long and not soak" tests/cluster

kueue: setup ## build Kueue, which the cluster's tests install, unless the cache has it
	nice $(BIN)/python -m testbed prepare kueue

test-all: test-all-pure test-all-slow test-all-cluster ## the long forms, in three parts of at most an hour

test-all-pure: setup ## 300 examples of each property, long lives of schedules, all seeds
	$(PYTEST) -q -n $(WORKERS) --dist worksteal --hypothesis-profile=long -m "$(PURE) and (long or hypothesis)"

test-all-slow: setup ## every member of each matrix of trainings, 300 examples of each property
	$(SLOW) --hypothesis-profile=long -m "$(TRAINS) and (long or hypothesis)"

# All of the cluster's tests, because the last of them checks that every permission was used.
test-all-cluster: setup ## every cluster test, those of the testbed itself and on clusters of their own too
	$(BIN)/python -m testbed prepare cluster
	$(PYTEST) -m "$(ON_NODES)" tests/cluster
	$(REPLICAS) -m "control_plane and long and not soak" tests/cluster
	$(PYTEST) -m "own_cluster and not soak" tests/cluster

test-gpu: setup ## the most important GPU tests, in eight minutes; rows in build/gpu-rows.json
	@$(NEEDS_GPU)
	PYTHONPATH=tests $(BIN)/python -m gpu.proof \
		--tokenizer "$$($(BIN)/python -c 'from testbed import base_model; print(base_model.folder())')"

gpu-bundle: setup ## pack test-gpu for a machine that has only torch: build/gpu-bundle.tar.gz
	PYTHONPATH=tests $(BIN)/python -m gpu.proof.carry build/gpu-bundle.tar.gz

test-gpu-long: setup ## all tests that need GPUs: every precision, profile and strategy, several GPUs
	@$(NEEDS_GPU)
	$(BIN)/pytest -m gpu --timeout=1800 tests/gpu

NEEDS_GPU := $(BIN)/python -c 'import sys, torch; sys.exit(0 if torch.cuda.is_available() else \
	"this needs a machine with an NVIDIA GPU: torch finds none here")'

generate: setup build/schema.json ## write the generated files
	cp build/schema.json $(SCHEMA)
	cd tests && ../$(BIN)/python -m repository.crd_config
	cd tests && ../$(BIN)/python -m repository.failure_reasons
	cd tests && ../$(BIN)/python -m repository.proofs
	cd tests && ../$(BIN)/python -m repository.store_refusals
	cd tests && ../$(BIN)/python -m repository.schedule_crd
	cd tests && ../$(BIN)/python -m repository.job_schema
	cd tests && ../$(BIN)/python -m repository.editor_schemas
	cd tests && ../$(BIN)/python -m repository.launch_profiles
	cd tests && ../$(BIN)/python -m repository.chart_files
	cd tests && ../$(BIN)/python -m repository.reference
	cd tests && ../$(BIN)/python -m repository.migration
	cd tests && ../$(BIN)/python -m repository.monitoring
	cd tests && ../$(BIN)/python -m repository.packages_page
	cd tests && ../$(BIN)/python -m repository.families_page
	cd tests && ../$(BIN)/python -m repository.rooms_page

schema: setup ## add the schema of another TRL version: TRL=1.15.0 TRANSFORMERS=5.19.0
	@test "$(TRL)" -a "$(TRANSFORMERS)" || { \
		echo "make schema TRL=1.15.0 TRANSFORMERS=5.19.0: the two that the image has"; exit 1; }
	rm -rf build/trl && mkdir -p build/trl
	echo "torch; sys_platform == 'never'" > build/trl/overrides.txt # .venv has it, and it is large
	$(UV) pip install --quiet --target build/trl --overrides build/trl/overrides.txt \
		trl==$(TRL) transformers==$(TRANSFORMERS)
	PYTHONPATH=build/trl $(BIN)/python -m finetune_trainer.config_schema > build/schema.unfinished
	mv build/schema.unfinished $(SCHEMAS)/trl-$(TRL).json
	rm -rf build/trl
	@echo "$(SCHEMAS)/trl-$(TRL).json is written: run make generate for what is made of it"

families: setup ## measure how each architecture handles packs, frozen layers and merges, after an update of transformers
	cd tests && OMP_NUM_THREADS=1 ../$(BIN)/python -m trainer.families.table
	cd tests && OMP_NUM_THREADS=1 ../$(BIN)/python -m trainer.families.tuned
	cd tests && ../$(BIN)/python -m repository.families_page

compare: build/schema.json ## fail if a generated file differs from its source
	@cmp -s build/schema.json $(SCHEMA) || { diff -u $(SCHEMA) build/schema.json | head -40; \
		echo "$(SCHEMA) is not what the pinned TRL says: run make generate"; exit 1; }

build/schema.json: requirements/trainer.txt trainer-image/src/finetune_trainer/config_schema.py \
		$(wildcard trainer-image/src/finetune_trainer/ranks/arguments/*.py)
	mkdir -p build
	$(BIN)/python -m finetune_trainer.config_schema > build/schema.unfinished
	mv build/schema.unfinished $@

lock: setup ## resolve the requirement locks again
	$(UV) pip compile -q --generate-hashes --python-version 3.11 requirements/bootstrap.in -o requirements/bootstrap.txt
	$(UV) pip compile -q --generate-hashes --python-version 3.11 $(LOCAL) \
		$(EXTRAS) --extra kubeconfig requirements/dev.in $(PARTS:%=%/pyproject.toml) -o requirements/dev.txt
	$(UV) pip compile -q --generate-hashes --python-version 3.11 $(LOCAL) -c requirements/dev.txt \
		operator/pyproject.toml -o requirements/operator.txt
	$(UV) pip compile -q --generate-hashes --python-version 3.11 $(LOCAL) -c requirements/dev.txt \
		results-page/pyproject.toml -o requirements/results-page.txt
	$(UV) pip compile -q --generate-hashes --python-version 3.11 $(LOCAL) -c requirements/dev.txt \
		$(EXTRAS) trainer-image/pyproject.toml -o requirements/trainer.txt
	cp requirements/trainer.txt requirements/trainer-cuda12.txt # uv keeps as many of its versions as possible
	$(UV) pip compile -q --generate-hashes --python-version 3.11 $(LOCAL) \
		--override requirements/trainer-cuda12.in \
		$(EXTRAS) trainer-image/pyproject.toml -o requirements/trainer-cuda12.txt
	$(UV) pip compile -q --generate-hashes --python-version 3.11 -c requirements/dev.txt \
		requirements/docs.in -o requirements/docs.txt

# The trainer's extras in the image and the tests; a laptop may have fewer.
EXTRAS := --extra train --extra deepspeed --extra trackers
LOCAL := --no-emit-package finetune-contract --no-emit-package finetune-spec --no-emit-package finetune-operator --no-emit-package finetune-results-page \
	--no-emit-package finetune-trainer --no-emit-package finetune-cli --no-emit-package testbed

docs: $(SITE)/.installed ## build the documents as a site in build/docs/site; fails on a dead link
	$(SITE)/bin/python docs/site/source.py $(SITE_SOURCE)
	cd $(SITE_SOURCE) && $(CURDIR)/$(SITE)/bin/zensical build --strict

# In a separate environment, so that it does not need `make setup`, which fetches gigabytes.
$(SITE)/.installed: requirements/docs.txt
	$(PYTHON) -m venv --clear $(SITE)
	$(SITE)/bin/python -m pip install --quiet --require-hashes -r requirements/docs.txt
	touch $@

images: setup ## build the operator's, the trainer's and the results page's image with buildah
	$(BIN)/python -m testbed images

sbom: setup ## write bills of materials of each image: build/sbom/*.cdx.json
	mkdir -p build/sbom
	$(BILL) requirements/operator.txt --pyproject operator/pyproject.toml -o build/sbom/operator.cdx.json
	$(BILL) requirements/trainer.txt --pyproject trainer-image/pyproject.toml -o build/sbom/trainer.cdx.json
	$(BILL) requirements/results-page.txt --pyproject results-page/pyproject.toml \
		-o build/sbom/results-page.cdx.json

version: setup ## set the version of the repository (VERSION=...)
	cd tests && ../$(BIN)/python -m repository.versions "$(VERSION)"

# The registry and URL of a release are not secret, but they are not part of the sources either.
release: sbom ## write build/release (VERSION=... REGISTRY=... DOWNLOADS=...: docs/contributing/releasing.md)
	cd tests && ../$(BIN)/python -m repository.release "$(VERSION)" "$(REGISTRY)" "$(DOWNLOADS)"

BILL := $(BIN)/python -W ignore -m cyclonedx_py requirements --output-reproducible --of JSON

cluster: setup ## start a real cluster with everything installed, and leave it running
	$(BIN)/python -m testbed up
	$(BIN)/python -m testbed images
	$(BIN)/python -m testbed install deploy/namespace.yaml
	$(BIN)/python -m testbed helm upgrade --install finetune-operator charts/finetune-operator \
		--namespace finetune-system --wait
	$(BIN)/python -m testbed stock

cluster-down: setup ## remove that cluster
	$(BIN)/python -m testbed down

soak: setup ## the long forms of the fault tests
	$(BIN)/pytest -m soak --capture=no --timeout=3600

bench: setup ## measure, and print the most important rows of docs/contributing/benchmarks.md
	$(BIN)/python tests/benchmarks/config_check.py
	$(BIN)/python tests/benchmarks/command_start.py
	$(BIN)/python tests/benchmarks/operator_load.py
	$(BIN)/python tests/benchmarks/resident_jobs.py
	$(BIN)/python tests/benchmarks/trainer_overhead.py
	$(BIN)/python tests/benchmarks/checkpoint_stall.py
	$(BIN)/python tests/benchmarks/apply_to_artifact.py

bench-peers: setup ## measure the operator and Kubeflow Trainer with JobSet, in turns
	nice $(BIN)/python -m testbed prepare peers
	$(BIN)/python tests/benchmarks/bench_peers.py

clean: ## remove the files that the targets created here, but not the caches elsewhere
	rm -rf $(VENV) .demo build .mypy_cache .ruff_cache .pytest_cache
