# make dream   set up, dream animals into a picture of clouds, write dream.png
# make test    set up with the test extras, run everything that CI runs
# make bench   compare a step with the classic loop's; make gallery  the pictures of README and docs, anew
#              BENCH="--lucent DIR" adds a peer; tests/bench/steps.py --help says what else
# make network TEACHER=FILE   the embedded network, anew: two hours on two cores; FILE is SqueezeNet 1.0's weights
# make test-ray  install Ray too (about 250 MB), and run the tests that need it (minutes)
# make test-matrix  every kind of network x objective x precision against plain autograd, whole: hours
# make test-gpu  the whole suite and tests/gpu on a machine with a GPU; WHEELS=DIR where there is no package index,
#              which `make wheels-for-gpu WHEELS=DIR` has filled elsewhere
# make test-gimp the filter in a real GIMP 3: this machine's, or one in a Debian 13 root (a minute to make)
# make test-comfyui COMFYUI=DIR   the nodes in a real ComfyUI and, where there is Chromium, in its page
# PYTHON=python3.12 chooses the interpreter, VENV=folder the environment.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

.PHONY: dream test test-matrix test-ray test-gpu wheels-for-gpu test-gimp test-comfyui check bench gallery network clean

dream: $(VENV)/.installed
	@# Replace only what reverie itself has written.
	@test ! -e dream.png || $(BIN)/reverie info dream.png >/dev/null
	$(BIN)/reverie dream core/reverie/samples/sky.jpg --preset menagerie --size 576 --output dream.png --overwrite
	@echo "Look at $(CURDIR)/dream.png"

test: $(VENV)/.installed-tests check
	$(BIN)/python -m pytest

test-matrix: $(VENV)/.installed-tests
	REVERIE_TEST_MATRIX=all $(BIN)/python -m pytest tests/matrix

test-ray: $(VENV)/.installed-tests
	$(BIN)/python -m pip install --quiet --editable ".[ray]"
	$(BIN)/python -m pytest tests/cli/test_cluster.py

test-gpu:
	$(PYTHON) tests/gpu/environment.py make build/gpu $(WHEELS)
	build/gpu/bin/python tests/gpu/everything.py

wheels-for-gpu: $(VENV)/.installed-tests
	@test -n "$(WHEELS)" || (echo "Say where to put them: make wheels-for-gpu WHEELS=DIR"; exit 2)
	$(BIN)/python tests/gpu/environment.py fill "$(WHEELS)" $(FILL)

test-gimp: $(VENV)/.installed-tests
	tests/hosts/gimp/root.sh
	REVERIE_TEST_GIMP=1 $(BIN)/python -m pytest tests/hosts/gimp

test-comfyui: $(VENV)/.installed-tests
	@test -n "$(COMFYUI)" || (echo "Say where ComfyUI is: make test-comfyui COMFYUI=DIR"; exit 2)
	COMFYUI="$(COMFYUI)" $(BIN)/python -m pytest tests/hosts/comfyui

check: $(VENV)/.installed-tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(VENV)/.installed-tests
	$(BIN)/python tests/bench/steps.py $(BENCH)

gallery: $(VENV)/.installed-tests
	$(BIN)/python -m pip install --quiet --editable ".[gallery]"
	$(BIN)/python tests/gallery/build.py docs/gallery
	$(BIN)/python tests/gallery/techniques.py docs/techniques

network: $(VENV)/.installed
	@test -n "$(TEACHER)" || (echo "Say where the teacher's weights are: make network TEACHER=FILE"; exit 2)
	$(BIN)/python -m reverie.training all $(or $(FOLDER),build/network) --teacher "$(TEACHER)" --processes 2

$(VENV)/.installed: pyproject.toml core/reverie/engine/kernels/kernels.c
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable .
	@touch $@

$(VENV)/.installed-tests: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --editable ".[test]"
	@touch $@

clean:
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache
