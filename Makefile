# Thin lines only: what they do is in hack/.
.DEFAULT_GOAL := help
.NOTPARALLEL:
# Tests and benches start Python by the thousand: each would compile all anew, an operator in twice the CPU time.
unexport PYTHONDONTWRITEBYTECODE
.PHONY: help setup demo generate lint unit integration e2e test test-long bench-overhead bench-controller bench-pipes \
        bench-staging bench-upload bench-archive cluster-up cluster-down cluster-status kubeconfig images images-file clean

PYTHON := .venv/bin/python
STAMP := .venv/.trainyard-setup
SETUP = python3 -c 'import sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
        || { echo "error: install Python 3.11 or newer with venv (python3, python3-venv)" >&2; exit 1; }; \
        python3 -m hack.setup
ON_CLUSTER = TRAINYARD_KUBECONFIG="$$($(PYTHON) -m hack.cluster kubeconfig)" TRAINYARD_IMAGES="$$($(PYTHON) -m hack.images --file)"
PYTEST := $(PYTHON) -m pytest

help: ## this list
	@sed -n 's/^\([a-z0-9-]*\):.*## \(.*\)/\1|\2/p' Makefile | while IFS='|' read -r t d; do printf '%-16s %s\n' "$$t" "$$d"; done

setup: ## everything the work needs, into .venv and a cache outside the checkout
	@$(SETUP)

$(STAMP): requirements/dev.txt requirements/moto.txt requirements/peers.txt pyproject.toml hack/setup.py hack/versions.py hack/base.py hack/tools.py $(wildcard operator/s3fetch/* hack/health/* hack/rclone/* hack/quicks3/* hack/s5cmd/*)
	@$(SETUP)

demo: cluster-up images ## train XGBoost on the local cluster, as a user would
	@$(ON_CLUSTER) $(PYTHON) -m hack.demo

generate: $(STAMP) ## the files that are made from the resource models
	@$(PYTHON) -m hack.generate

lint: $(STAMP) ## style, types, import rules, generated files
	@.venv/bin/ruff check .
	@.venv/bin/ruff format --check .
	@.venv/bin/mypy
	@.venv/bin/lint-imports
	@cd operator/s3fetch && go vet . && test -z "$$(gofmt -l . | tee /dev/stderr)"
	@$(PYTHON) -m hack.generate --check

unit: $(STAMP) ## tests without a cluster
	@$(PYTEST) tests/unit

integration: cluster-up images ## tests of parts against a real API server and a real S3 server
	@$(ON_CLUSTER) $(PYTEST) tests/integration

e2e: cluster-up images ## tests of whole jobs on the local cluster
	@$(ON_CLUSTER) $(PYTEST) tests/e2e

test: setup lint cluster-up images ## everything: lint, then one run of all tests
	@$(ON_CLUSTER) $(PYTEST) --numprocesses 2 tests/integration tests/e2e tests/unit

test-long: export TRAINYARD_LONG = 1
test-long: test ## the same with the tests that take long

bench-overhead: cluster-up images ## what a job costs beside its training
	@$(ON_CLUSTER) $(PYTHON) -m tests.bench.overhead

bench-controller: $(STAMP) ## how fast jobs become pods and end, beside batch Jobs and bare pods (SHORT=1: to try it)
	@$(PYTHON) -m tests.bench.controller $(if $(SHORT),--short)

bench-staging: $(STAMP) ## how fast input data is there, beside s5cmd, rclone, AWS CLI and boto3 (SHORT=1: to try it)
	@$(PYTHON) -m tests.bench.transfer.staging $(if $(SHORT),--short)

bench-upload: $(STAMP) ## how fast files are in S3, beside the same (SHORT=1: to try it)
	@$(PYTHON) -m tests.bench.transfer.upload $(if $(SHORT),--short)

bench-archive: $(STAMP) ## how fast a model is in S3 as a .tar.gz, beside what one would write by hand (SHORT=1: to try it)
	@$(PYTHON) -m tests.bench.transfer.archive $(if $(SHORT),--short)

bench-pipes: $(STAMP) ## how fast a Pipe channel is, beside curl with the same objects
	@$(PYTHON) -m tests.bench.pipes

cluster-up: $(STAMP) ## the local cluster (CLUSTER=kind|native|existing; chosen when not given)
	@$(PYTHON) -m hack.cluster up

cluster-down: $(STAMP) ## take it away; caches stay
	@$(PYTHON) -m hack.cluster down

cluster-status: $(STAMP) ## what of it runs
	@$(PYTHON) -m hack.cluster status

kubeconfig: $(STAMP) ## print the path of its kubeconfig
	@$(PYTHON) -m hack.cluster kubeconfig

images: cluster-up ## build what changed and load it into the cluster
	@$(PYTHON) -m hack.images

images-file: $(STAMP) ## print the path of the file that names the images
	@$(PYTHON) -m hack.images --file

clean: ## what builds and tests leave in the checkout; .venv and caches stay
	@rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .pytest-kind dist build
	@find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +
