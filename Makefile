# make demo   fetch libtorch, build, segment a phantom and measure the result   make test    all tests
#             DEMO_INPUT=scan.nii.gz: a volume of your own; DEMO_SET="field=3.0 axis=y": other arguments of scripts/demo.rhai
# make build  target/release/{host-demo,libsam_octa2.so}                         make setup   libtorch only; CUDA=1 adds NVIDIA's libraries
# make test-batch   a cohort through Snakemake, with faults                      make test-slurm   the same on a Slurm that it starts (docs/batch.md)
# make bench  speed next to nibabel and SimpleITK, and what scripts cost; PYTHON_PEERS=/path/to/python takes a Python that has them
# make bench BENCH=inference   segmentation next to the Python reference           make bench-gate   is it slower than docs/bench says?
# make evaluate   accuracy on labelled data: MODEL=nano OCTA500=DIR ENFACE=DIR PHANTOMS=2 (docs: scripts/evaluate.rhai)
# make train-nano ROSSA=DIR   trains the small model from random weights, HOURS=2, into nano-training/; again: goes on (sam2_weights/README.md)
# make dist   dist/sam_octa2-VERSION-PLATFORM, a folder that runs elsewhere       make dist-test   checks that it does
#             CUDA=1: a small one for machines whose Python has torch, with the tests and the benchmark of a GPU (docs/gpu.md)
# make wheel   the Python package with the libraries and nano, for pip             make wheel-test   installs it and segments (NAPARI=1: with napari)
# make test-gpu   what a first day with a GPU has to show
# make test-viewers   clients of viewers and a browser against host-demo serve (docs/viewers.md)
# make test-python   the Python package (docs/viewers.md)                         make bench-boundary   what calls across the boundary cost
# A libtorch of your own: make demo LIBTORCH=/path/to/libtorch (2.13.0).

PYTHON ?= python3
HOST   := target/release/host-demo
OUT    ?= demo-output
PARITY := tests/data/parity
PYTHON_PEERS ?= .bench-venv/bin/python
BENCH  ?= volumes scripts

ifdef LIBTORCH
export LIBTORCH
endif

.PHONY: wheel wheel-test test-viewers test-batch test-slurm evaluate train-nano setup build demo demo-input test test-gpu test-python bench bench-gate bench-boundary dist dist-test lint clean

setup:
	@$(PYTHON) .setup/libtorch.py $(if $(CUDA),--cuda)

build: setup
	cargo build --release --workspace
	@cp plugin/libsam_octa2.json target/release/

# Sizes of the parts at the end; docs/viewers.md says what each is for.
dist: build
	@$(PYTHON) .setup/dist$(if $(CUDA),_cuda).py

# The Python package with the libraries and nano; torch brings libtorch, and a GPU.
wheel: build
	@$(PYTHON) .setup/wheel.py

wheel-test: wheel
	@$(PYTHON) .setup/wheel_test.py $(if $(NAPARI),--napari)

dist-test: dist
	@$(PYTHON) .setup/dist_test.py

# Costs of the stages in matrix products of the same process, not seconds.
bench-gate: build
	@$(PYTHON) tests/bench/inference.py --gate

bench-boundary: build
	@$(PYTHON) tests/bench/boundary.py $(BENCH_OPTIONS)

demo: demo-input build
	@$(HOST) run scripts/demo.rhai --set out=$(OUT) $(if $(DEMO_INPUT),--set input='$(DEMO_INPUT)') $(addprefix --set ,$(DEMO_SET))

# Before minutes of building.
demo-input:
	@test -z '$(DEMO_INPUT)' || test -e '$(DEMO_INPUT)' || { echo 'DEMO_INPUT: there is no file or folder $(DEMO_INPUT)' >&2; exit 1; }

test: setup
	cargo test --release --workspace

# The Python package against the built library. napari's own tests need a screen: docs/viewers.md.
test-python: build .venv/ready
	@.venv/bin/pytest -q plugin/python/tests

.venv/ready: plugin/python/pyproject.toml
	@$(PYTHON) -m venv .venv
	@.venv/bin/pip install --quiet -e "plugin/python[test]"
	@touch $@

# What a first day with a GPU has to show (docs/gpu.md). Without a GPU one line says why not.
test-gpu: build
	@.setup/gpu/test-gpu.sh

# Real clients of viewers against `host-demo serve`; what is not installed (a Chromium, itksnap-dls) is skipped with a message.
test-viewers: build tests/viewers/venv/ready
	tests/viewers/venv/bin/pytest -q -rs tests/viewers

tests/viewers/venv/ready: tests/viewers/requirements.txt
	@$(PYTHON) -m venv tests/viewers/venv
	@tests/viewers/venv/bin/pip install --quiet -r tests/viewers/requirements.txt
	@tests/viewers/venv/bin/pip install --quiet --no-deps monailabel==0.8.5
	@touch $@

# Many tiny cases through Snakemake on this machine, while runs are killed; and the worked example of docs/cohort_example.md.
test-batch: build tests/batch/venv/ready
	tests/batch/venv/bin/python tests/batch/test_batch.py $(CASES)
	tests/batch/venv/bin/python tests/batch/test_example.py

# The same as an array on a real Slurm of two nodes in this box: installs it where it can, starts it, stops it. Needs root.
test-slurm: build
	$(PYTHON) tests/batch/test_slurm.py $(CASES)

tests/batch/venv/ready: tests/batch/requirements.txt
	@$(PYTHON) -m venv tests/batch/venv
	@tests/batch/venv/bin/pip install --quiet -r tests/batch/requirements.txt
	@touch $@

# Every part is tests/bench/PART.py and writes docs/bench/PART.json; BENCH="volumes ..." chooses.
bench: build $(if $(filter .bench-venv/%,$(PYTHON_PEERS)),.bench-venv/ready)
	@for part in $(BENCH); do $(PYTHON) tests/bench/$$part.py --peers $(PYTHON_PEERS) $(if $(DEVICE),--device $(DEVICE)) || exit 1; done

.bench-venv/ready: tests/bench/requirements.txt
	@$(PYTHON) -m venv .bench-venv
	@.bench-venv/bin/pip install --quiet -r tests/bench/requirements.txt
	@touch $@

MODEL  ?= nano
HOURS  ?= 2
NANO   := nano-training

evaluate: build
	@$(HOST) run scripts/evaluate.rhai --set model=$(MODEL) --set phantoms=$(or $(PHANTOMS),2) \
	    $(if $(OCTA500),--set octa500='$(OCTA500)' --allow '$(OCTA500)') $(if $(ENFACE),--set enface='$(ENFACE)' --allow '$(ENFACE)')

# The best weights so far become nano-training/nano.safetensors.
train-nano: build $(NANO)/venv/ready
	$(NANO)/venv/bin/python sam2_weights/training/train.py '$(ROSSA)' $(NANO)/1 --host $(HOST) --hours $(HOURS)
	$(NANO)/venv/bin/python sam2_weights/training/train.py '$(ROSSA)' $(NANO)/2 --host $(HOST) --hours 0.4 --rate 7e-4 --dense-steps 0 \
	    --phantoms 44 --start $(NANO)/1/checkpoint.pt
	$(NANO)/venv/bin/python sam2_weights/training/export.py $(NANO)/2/checkpoint.pt sam2_weights/nano.yaml $(NANO)/nano.safetensors

$(NANO)/venv/ready: sam2_weights/training/requirements.txt
	@test -d '$(ROSSA)/train_manual' || { echo 'ROSSA=DIR must name the folder of ROSSA with train_manual and train_sam' >&2; exit 1; }
	@$(PYTHON) -m venv $(NANO)/venv
	@$(NANO)/venv/bin/pip install --quiet -r sam2_weights/training/requirements.txt
	@touch $@

lint: setup
	cargo fmt --all --check
	cargo clippy --release --locked --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --release --workspace --no-deps
	@$(PYTHON) .setup/links.py

clean:
	rm -rf target dist $(OUT)
