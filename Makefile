# WristMIR. `make demo` shows the main job, `make test` proves it; both make their own environment first.
.DEFAULT_GOAL := help
SHELL := /bin/bash
PYTHON ?= python3.11
# a machine whose python3 is 3.11 or 3.12 but has no versioned name
PYTHON := $(shell command -v $(PYTHON) 2>/dev/null || command -v python3)

# compiled once: tests start hundreds of processes, each of which would compile all that it imports
export PYTHONDONTWRITEBYTECODE :=

# the quick tests run in five parts at once: some of them mostly wait
PARTS := "tests/listener/test_[a-l]*.py" "tests/listener/test_[m-z]*.py" "tests/pipeline/test_[a-l]*.py" "tests/pipeline/test_[m-z]*.py"
QUICK := .venv/bin/pytest -q -p no:cacheprovider -m "not slow and not training and not peers and not benchmark"

.PHONY: help demo test check faults fuzz bench train evaluate vllm ohif openid-provider lock clean

help:  ## what can be made
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-15s %s\n", $$1, $$2}'

demo: .venv/serving  ## the main job, end to end, on real wrists; results in demo-output/
	.venv/bin/wristmir demo --output demo-output

test: .venv/development .venv-training/ready  ## everything; peers (DCMTK, Orthanc, PostgreSQL …) where they are installed
	.venv/bin/ruff check
	.venv/bin/ruff format --check
	.venv/bin/lint-imports
	.venv/bin/mypy
	.venv/bin/pytest -m "not training and not benchmark"
	.venv-training/bin/pytest -m training tests/training

check: .venv/development  ## lint, types and the quick tests, in under two minutes
	.venv/bin/ruff check
	.venv/bin/ruff format --check
	.venv/bin/lint-imports
	.venv/bin/mypy
	@for part in "--ignore=tests/pipeline --ignore=tests/listener tests" $(PARTS); do \
		$(QUICK) $$part & parts="$$parts $$!"; \
	done; for part in $$parts; do wait $$part || failed=1; done; exit $${failed:-0}

faults: .venv/development  ## 200 kills of receiver and worker, 200 of the receiver under load, every disk fault (half an hour)
	WRISTMIR_KILLS=$(or $(KILLS),100) .venv/bin/pytest -q -s tests/faults/test_service_kill.py
	WRISTMIR_KILLS=$(or $(KILLS),200) .venv/bin/pytest -q -s --ignore=tests/faults/test_service_kill.py tests/faults

fuzz: .venv/fuzzing  ## feed every reader of what peers send with nonsense: make fuzz SECONDS=3600 [READER=header]
	.venv/bin/python tests/hostile/fuzz.py --seconds "$(or $(SECONDS),600)" $(if $(READER),--reader "$(READER)")

bench: .venv/development .venv-training/ready  ## exams indexed per second, time to the stored result by stage, query latency
	.venv/bin/pytest -q -s -m benchmark --timeout=1800 tests/benchmarks

train: .venv-training/ready  ## a bundle from nothing: make train DATA=folder OUT=folder NAME=id [SHARE=0.02] (see CONTRIBUTING.md)
	.venv-training/bin/python -m training.publish --data "$(DATA)" --work ".training/$(NAME)-$(or $(SHARE),1)" --out "$(OUT)" --name "$(NAME)" --share "$(or $(SHARE),1)"

evaluate: .venv-training/ready  ## the paper's tables for a bundle: make evaluate BUNDLE=folder TABLE=folder OUT=folder
	.venv-training/bin/python -m training.evaluation --bundle "$(BUNDLE)" --table "$(TABLE)" --out "$(OUT)"

vllm: .venv-vllm/ready  ## a real vLLM on the processor, for tests/interop/test_vllm.py (3 GB; wants a CPU build of torch)

ohif: .ohif/ready  ## OHIF, the viewer of tests/interop/test_ohif.py (200 MB; wants npm)

openid-provider: .openid-provider/ready  ## oidc-provider, for tests/interop/test_oidc_provider.py (190 MB; wants npm)

lock:  ## write the hashed requirement files anew from pyproject.toml
	uv pip compile -q --upgrade --generate-hashes --no-emit-index-url --no-header --python-version 3.11 pyproject.toml -o requirements/serving.txt
	uv pip compile -q --generate-hashes --no-emit-index-url --no-header --python-version 3.11 -c requirements/serving.txt --extra dev pyproject.toml -o requirements/development.txt
	uv pip compile -q --generate-hashes --no-emit-index-url --no-header --python-version 3.11 -c requirements/serving.txt --extra dev --extra training --override requirements/overrides.txt pyproject.toml -o requirements/training.txt
	$(FIND) uv pip compile -q --upgrade --generate-hashes --no-emit-index-url --no-emit-find-links --no-header --python-version 3.11 --override requirements/vllm.overrides.txt requirements/vllm.in -o requirements/vllm.txt
	uv pip compile -q --upgrade --generate-hashes --no-emit-index-url --no-header --python-version 3.11 requirements/fuzz.in -o requirements/fuzz.txt
	uv pip compile -q --upgrade --generate-hashes --no-emit-index-url --no-header --python-version 3.11 --python-platform x86_64-manylinux_2_28 deploy/vllm/requirements.in -o deploy/vllm/requirements.txt
	cd $(OPENID) && npm install --silent --package-lock-only --omit-lockfile-registry-resolved
	$(PYTHON) -c "$$UNFUNDED" $(OPENID)/package-lock.json

clean:  ## remove the environments and what was made in them
	rm -rf .venv .venv-training .venv-vllm .ohif .openid-provider demo-output bench-output

# where pip looks for wheels that are in no index, uv is told to look too
FIND = UV_FIND_LINKS="$${PIP_FIND_LINKS:-$$($(PYTHON) -m pip config get global.find-links 2>/dev/null)}"

OPENID = requirements/openid-provider
# npm's lock names who may be given money, and no option leaves that out
define UNFUNDED
import json, pathlib, sys
file = pathlib.Path(sys.argv[1])
lock = json.loads(file.read_text())
for package in lock['packages'].values():
    package.pop('funding', None)
file.write_text(json.dumps(lock, indent=2) + chr(10))
endef
export UNFUNDED

# Each environment is reused until its requirement file changes.
.venv/uv: requirements/bootstrap.txt
	$(PYTHON) -m venv .venv
	.venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/bootstrap.txt
	@touch $@

.venv/serving: .venv/uv requirements/serving.txt pyproject.toml
	.venv/bin/uv pip install --quiet --python .venv/bin/python --require-hashes -r requirements/serving.txt
	.venv/bin/uv pip install --quiet --python .venv/bin/python --no-deps --editable .
	@touch $@

.venv/development: .venv/serving requirements/development.txt
	.venv/bin/uv pip install --quiet --python .venv/bin/python --require-hashes -r requirements/development.txt
	@touch $@

# where there is no wheel of atheris, hypothesis does its work
.venv/fuzzing: .venv/development requirements/fuzz.txt
	.venv/bin/uv pip install --quiet --python .venv/bin/python --require-hashes -r requirements/fuzz.txt || echo "no atheris here"
	@touch $@

.venv-training/ready: .venv/uv requirements/training.txt pyproject.toml
	.venv/bin/uv venv --quiet --clear --python $(PYTHON) .venv-training
	.venv/bin/uv pip install --quiet --python .venv-training/bin/python --no-deps --require-hashes -r requirements/training.txt
	.venv/bin/uv pip install --quiet --python .venv-training/bin/python --no-deps --editable .
	@touch $@

.venv-vllm/ready: .venv/uv requirements/vllm.txt
	.venv/bin/uv venv --quiet --clear --python $(PYTHON) .venv-vllm
	$(FIND) .venv/bin/uv pip install --quiet --python .venv-vllm/bin/python --no-deps --require-hashes -r requirements/vllm.txt
	@touch $@

# npm fetches the package alone, nothing that it depends on: it holds the whole viewer
.ohif/ready: requirements/ohif.txt
	@rm -rf .ohif && mkdir .ohif
	set -- $$(grep -v '^#' requirements/ohif.txt) && cd .ohif && \
	file=$$(npm pack --silent "$$1") && echo "$$2  $$file" | sha512sum --check --quiet && \
	tar -xzf "$$file" && rm "$$file"
	@touch $@

# npm checks each package by the hash in the lock, and runs no script of one; a Node.js comes along, Debian's is too old
.openid-provider/ready: $(OPENID)/package.json $(OPENID)/package-lock.json
	@rm -rf .openid-provider && mkdir .openid-provider
	cp $^ .openid-provider && cd .openid-provider && npm ci --silent --ignore-scripts --no-audit --no-fund
	@touch $@
