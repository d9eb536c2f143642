# Each target sets up what it needs: a fresh clone and Python 3.11 are enough.
PYTHON ?= python3.11
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
MMSEG_READY := $(VENV)/.mmseg

.PHONY: demo test test-slow check bench figures ablation confidence net setup mmseg oracles gsplat kernels listing same-bytes mutants clean
.PHONY: pipeline-figure notebooks release reliability bench-service
net: SHELL := /bin/bash
.DEFAULT_GOAL := help

help: ## Show the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

$(READY): pyproject.toml constraints.txt
	@command -v $(PYTHON) >/dev/null || { echo "Roadscribe needs $(PYTHON) (set PYTHON=... to another name)"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev,geo,openvino]'
	@touch $@

setup: $(READY) ## Create .venv with everything

mmseg: $(MMSEG_READY) ## Add the mmseg back end: builds mmcv, about 10 minutes on 2 free cores

# mmcv's build looks at the torch beside it, and needs setuptools' old pkg_resources, and ninja to use both cores.
# The mm* packages come without their dependencies: mmengine would bring a second OpenCV.
$(MMSEG_READY): $(READY)
	$(BIN)/python -c "import tomllib; print(*tomllib.load(open('pyproject.toml', 'rb'))['project']['optional-dependencies']['mmseg'], sep='\n')" > $(VENV)/mmseg.txt
	grep '^mm' $(VENV)/mmseg.txt > $(VENV)/mmseg-mm.txt
	grep -v '^mm' $(VENV)/mmseg.txt > $(VENV)/mmseg-rest.txt
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt 'setuptools<80' ninja -r $(VENV)/mmseg-rest.txt
	PATH="$(abspath $(BIN)):$$PATH" MMCV_WITH_OPS=1 MAX_JOBS=$${MAX_JOBS:-2} \
		$(BIN)/pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps -r $(VENV)/mmseg-mm.txt
	$(BIN)/python -W ignore -c "import mmcv.ops, mmdet.models, mmseg.models"
	@touch $@

# Other projects' readers of our files, which tests compare with: each in an environment of its own, since they cap
# what we need newer (tests/oracles/*.txt pins them).
ORACLES := $(patsubst tests/oracles/%.txt,$(VENV)/oracles/%/ready,$(wildcard tests/oracles/*.txt))

oracles: $(ORACLES) ## Add nuscenes-devkit, av2, TensorBoard, mlcroissant and Schemathesis, which tests use

$(VENV)/oracles/%/ready: tests/oracles/%.txt
	$(PYTHON) -m venv --clear $(@D)
	$(@D)/bin/pip install --quiet --disable-pip-version-check --no-deps -r $<
	@touch $@

gsplat: $(READY) ## On a CUDA machine: add the GPU renderer, its kernels built once
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[gsplat]'
	$(BIN)/python -m recon.render.gsplat_kernels

demo: $(READY) ## Write a demo drive, label it through the service on Ray, show the pictures
	$(BIN)/roadscribe demo demo_out

test: $(READY) ## Run the fast tests (under 3 minutes on 2 cores)
	$(BIN)/pytest -m "not slow" -n 2 --dist loadscope

test-slow: $(READY) ## Run the slow tests
	$(BIN)/pytest -m slow -n 2 --dist loadscope

check: $(READY) ## Lint, format, types, size budget, documents, import circles, commit subjects
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python .ci/size_budget.py
	$(BIN)/python .ci/check_docs.py
	$(BIN)/python .ci/import_circles.py
	$(BIN)/python .ci/listing.py
	$(BIN)/python .ci/commit_subjects.py

mutants: $(READY) ## Prove that tests notice wrong constants of tracing (two minutes)
	$(BIN)/python .ci/mutants.py

ablation: $(READY) ## Switch every term of the fit off in turn, write docs/ablation.md (most of an hour)
	$(BIN)/python tests/benchmarks/bench_ablation.py --write docs/ablation.md

bench: $(READY) ## Measure the renderers, an evaluation, the loader and the matching of a training, and campaigns
	$(BIN)/python tests/benchmarks/bench_render.py
	$(BIN)/python tests/benchmarks/bench_evaluate.py
	$(BIN)/python tests/benchmarks/bench_loader.py
	$(BIN)/python tests/benchmarks/bench_match.py
	$(BIN)/python tests/benchmarks/bench_campaign.py 1 10 100

bench-service: $(READY) ## Measure submissions, claims and a consumer of snapshots, beside what the disk does
	$(BIN)/python tests/benchmarks/bench_submits.py
	$(BIN)/python tests/benchmarks/bench_queue.py
	$(BIN)/python tests/benchmarks/bench_consumer.py

reliability: $(READY) ## Kill and race the running service, write docs/reliability.md (a quarter of an hour)
	$(BIN)/python tests/reliability/run.py --write docs/reliability.md $(RELIABILITY)

figures: $(READY) ## Measure labels on unseen streets of the demo city, write docs/figures.md (an hour)
	$(BIN)/python tests/benchmarks/bench_labels.py --write docs/figures.md

confidence: $(READY) ## Fit the curves from evidence to confidence on drives of their own (a quarter of an hour)
	$(BIN)/python tests/benchmarks/bench_confidence.py

# The seeds are the net's own: tests, demo and figures never use them.
NET_TRAIN := $(shell seq 1000 1189)
NET_HELD := $(shell seq 2000 2007)
NET_OUT := net_out

net: $(READY) ## Train a net like the shipped one into net_out/run/net: 198 drives, four hours on 2 free cores
	@conditions=(day night wet day day wet night day dusk day); for seed in $(NET_TRAIN); do \
	  [ $$seed -lt 1080 ] || conditions=(night wet dusk night wet day night wet dusk night); \
	  [ $$seed -lt 1140 ] || conditions=(wet night wet day wet night wet night dusk wet); \
	  condition=$${conditions[$$((seed % 10))]}; size="640 --height 360"; \
	  [ $$((seed % 3)) -ne 0 ] || size="512 --height 288"; folder=$(NET_OUT)/train/city-$$seed-$$condition; \
	  [ -f $$folder/drive.json ] || $(BIN)/roadscribe city $$folder --seed $$seed --condition $$condition \
	    --frames 6 --spacing 20 --no-lidar --width $$size || exit 1; done
	@conditions=(day dusk night wet); for seed in $(NET_HELD); do \
	  condition=$${conditions[$$((seed % 4))]}; folder=$(NET_OUT)/held/city-$$seed-$$condition; \
	  [ -f $$folder/drive.json ] || $(BIN)/roadscribe city $$folder --seed $$seed --condition $$condition \
	    --frames 5 --spacing 20 --no-lidar --width 512 --height 288 || exit 1; done
	@data=(); for folder in $(NET_OUT)/train/*; do data+=(--data $$folder); done; \
	for folder in $(NET_OUT)/held/*; do data+=(--validation $$folder); done; \
	$(BIN)/roadscribe segment train $(NET_OUT)/run --steps 13400 --set precision=bfloat16 --resume \
	  --set 'size_px=[640,352]' --set 'crop_px=[512,288]' $${data[@]}
	$(BIN)/roadscribe segment evaluate $(NET_OUT)/run/net --city 4

pipeline-figure: $(READY) ## Draw docs/pictures/pipeline.svg anew from a drive of the demo city (a few minutes)
	PATH="$(abspath $(BIN)):$$PATH" $(BIN)/python tests/benchmarks/draw_pipeline.py

notebooks: $(READY) ## Run the example notebooks and keep their outputs
	$(BIN)/python examples/run.py --write

release: $(READY) ## Build wheel and sdist, install the wheel into an empty environment, run it; publishes nothing
	$(BIN)/python .ci/release.py

kernels: ## Forget compiled kernels: numba compiles one anew only when its own file changes, not one that it calls
	find recon training -name '*.nb[ic]' -delete

clean: kernels ## Remove the environment, the demo and caches; hours of training and measuring stay
	rm -rf $(VENV) demo_out build dist .pytest_cache .mypy_cache .ruff_cache

listing: $(READY) ## Write the listing of ARCHITECTURE.md from the tree
	$(BIN)/python .ci/listing.py --write

same-bytes: $(READY) ## Prove that the results are those of another commit: make same-bytes BASE=v0.1.0
	$(BIN)/python .ci/same_bytes.py $(BASE)
