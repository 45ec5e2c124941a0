# One loop: `make` builds in place, `make check` is quick, `make test` is everything. `make help` lists the targets.
# Paths are relative to this directory throughout, so that it may lie anywhere, also under a name with spaces.

SHELL := /bin/sh
MAKEFLAGS += --no-builtin-rules
# Byte code is kept, whatever the surroundings say: processes and commands start in about half the time.
export PYTHONDONTWRITEBYTECODE :=
.DEFAULT_GOAL := build
.DELETE_ON_ERROR:

# PYTHON=python3.13 chooses the interpreter of .venv; empty: the first of python3, python3.14 ... that is >= 3.11.
PYTHON ?=
FOR ?=
REPLAY ?=
SPEED ?=
ARGS ?=
TESTS ?= tests
SEEDS ?= 200
ROUNDS ?= 20
FILLS ?= 100000000

py := .venv/bin/python
pip := $(py) -m pip --disable-pip-version-check --no-input install --quiet --only-binary :all:
jobs := $(shell nproc 2>/dev/null || echo 2)
# -rs: what was skipped is listed with its reason. A file is run by one worker: what it starts once is started once.
pytest := $(py) -m pytest -rs -n $(jobs) --dist loadfile
sources := $(wildcard nautilus/core/*.pyx nautilus/core/*.pxd nautilus/core/*.pxi nautilus/core/*.h)
core_tests := tests/unit/core
# What is compiled of the way of a request and of what shields engines is tested beside it.
compiled_tests := $(core_tests) tests/unit/gateway tests/unit/policy tests/unit/store/test_audit.py \
	$(wildcard tests/unit/runtime/test_http*.py) tests/unit/runtime/test_access_refusals.py tests/unit/runtime/test_protection.py
requirements := $(py) -c 'import sys, tomllib; f = tomllib.load(open("pyproject.toml", "rb")); p = f["project"]; \
	print("\n".join({"build": f["build-system"]["requires"], "run": p["dependencies"]}.get(sys.argv[1]) \
	or p["optional-dependencies"][sys.argv[1]]))'

.PHONY: build kernel-so run test long check perf debug soak machines openapi history bus-endurance failover drift differential clean help format

## build    make .venv and build the extensions in place (the default)
build: .venv/.extensions .venv/.installed .venv/.compiled
	@$(py) -m compileall -q nautilus

# What was installed names the directory it was installed in: after a move it is installed again. A .venv that does
# not run (its interpreter is gone, it is half made) is made anew.
sound := $(py) -c 'import pip, sys; sys.exit(sys.prefix != sys.argv[1] or sys.version_info < (3, 11))' \
	"$$(pwd -P)/.venv" 2>/dev/null
ifneq ($(wildcard .venv/.created),)
ifneq ($(shell $(sound) && [ "$$(cat .venv/.created)" = "$$(pwd -P)" ] && echo yes),yes)
$(shell rm -f .venv/.created .venv/.required .venv/.installed .venv/.tested .venv/.measured .venv/.extensions .venv/.compiled)
endif
endif

.venv/.created:
	@python=$$(.ci/prerequisites $(PYTHON)) && { $(sound) || \
		{ echo "make: creating .venv with $$($$python --version)"; rm -rf .venv; $$python -m venv .venv; }; }
	@pwd -P > $@

.venv/.required: pyproject.toml | .venv/.created
	@echo "make: installing build and run requirements (wheels only)"
	@mkdir -p build && ($(requirements) build && $(requirements) run && $(requirements) data && \
		$(requirements) sources && $(requirements) bus && $(requirements) databento && \
		$(requirements) quant) > build/requirements.txt
	@$(pip) -r build/requirements.txt
	@touch $@

# Extensions are left out here (NAUTILUS_ONLY=none): they are built in place, incrementally, by the next rule.
.venv/.installed: pyproject.toml setup.py | .venv/.required
	@NAUTILUS_ONLY=none $(pip) --no-build-isolation --no-deps --no-index --editable .
	@touch $@

.venv/.extensions: $(sources) setup.py .venv/.required
	@echo "make: building the core (the first time takes a minute or two)"
	@$(py) setup.py --quiet build_ext --inplace --parallel $(jobs)
	@touch $@

# What numba compiles is kept beside the sources: no process waits for the compiler.
.venv/.compiled: $(wildcard nautilus/maths/*.py nautilus/maths/*/*.py) .venv/.extensions .venv/.installed
	@$(py) -m nautilus.runtime.warming
	@touch $@

.venv/.tested: pyproject.toml | .venv/.required
	@echo "make: installing test requirements (wheels only)"
	@mkdir -p build && ($(requirements) run && $(requirements) test && $(requirements) perf) > build/requirements-test.txt
	@$(pip) -r build/requirements-test.txt
	@$(requirements) compared > build/requirements-compared.txt
	@$(pip) --no-deps -r build/requirements-compared.txt
	@touch $@

.venv/.measured: pyproject.toml | .venv/.required
	@mkdir -p build && $(requirements) perf > build/requirements-perf.txt
	@$(pip) -r build/requirements-perf.txt
	@touch $@

# The C file is the one of the extension nautilus.core.market; ARCH= builds for any processor of the kind.
## kernel-so  the matching as a plain shared object: build/libnautilus_kernel.so (header: nautilus/core/nautilus_kernel.h)
kernel-so: build/libnautilus_kernel.so

ARCH ?= -march=native
SO ?= build/libnautilus_kernel.so
config := import sysconfig as s; v = s.get_config_var

build/libnautilus_kernel.so: .venv/.extensions
	@$(MAKE) --no-print-directory kernel-so-at
	@echo "make: $@"

# Vectors of two or four words cost more to put together than they save here.
.PHONY: kernel-so-at
kernel-so-at:
	@$(CC) -O2 $(ARCH) -fno-tree-vectorize -fno-tree-slp-vectorize -fPIC -shared -DNDEBUG -fno-strict-aliasing -fwrapv \
		-fno-semantic-interposition -Wno-unused-function -Wno-attributes -I"$$($(py) -c '$(config); print(s.get_path("include"))')" \
		-Inautilus/core build/cython/nautilus/core/market.c -o "$(SO)" \
		$$($(py) -c '$(config); print("-L" + v("LIBDIR"), "-Wl,-rpath," + v("LIBDIR"), "-lpython" + v("LDVERSION"))')

# The peer has an environment of its own: it and the project are never installed together.
build/differential/.installed: pyproject.toml | .venv/.required
	@echo "make: installing the peer of the differential runs (wheels only)"
	@mkdir -p build && $(requirements) differential > build/requirements-differential.txt
	@$(py) -m venv --clear build/differential
	@build/differential/bin/python -m pip --disable-pip-version-check --no-input install --quiet \
		--only-binary :all: -r build/requirements-differential.txt
	@touch $@

## run      the platform with a simulated market: make run [FOR=SECONDS] [REPLAY=PATH [SPEED=N]] [ARGS="..."]
run: build
ifeq ($(REPLAY),)
	@$(py) -m nautilus demo $(if $(SPEED),--speed $(SPEED)) $(if $(FOR),--for $(FOR)) $(ARGS)
else
	@$(py) -m nautilus replay "$(REPLAY)" --speed $(or $(SPEED),max) $(if $(FOR),--for $(FOR)) $(ARGS)
endif

## test     every test but the long ones: make test [TESTS=tests/unit/core] [ARGS="-k name"]
test: build .venv/.tested
	@$(pytest) -m "not long" $(TESTS) $(ARGS)

## long     the tests that `make test` leaves out because they take long: make long [TESTS=...] [ARGS="-k name"]
long: build .venv/.tested
	@$(pytest) -m long $(TESTS) $(ARGS)

## check    format, lint, types, architecture, unit tests
check: build .venv/.tested
	@$(py) -m ruff format --check .
	@$(py) -m ruff check .
	@$(py) -m mypy
	@$(pytest) -m "not long" tests/test_architecture.py tests/unit $(ARGS)

## format   rewrite the sources into the project's format
format: .venv/.tested
	@$(py) -m ruff format .
	@$(py) -m ruff check --fix .

## perf     run the benchmarks and write perf/results/*.json; compare their ratios with perf/baselines
perf: build .venv/.measured
	@$(py) -m perf run all $(ARGS)
	@$(py) -m perf gate

# The debug build has its own copy of the package, found before the one in place (PYTHONSAFEPATH keeps the
# working directory off the path).
## debug    build the core with bounds checks, apart, and run its tests on that
debug: build .venv/.tested
	@NAUTILUS_DEBUG=1 $(py) setup.py --quiet build --build-base build/debug --build-lib build/debug/lib \
		build_ext --parallel $(jobs)
	@NAUTILUS_DEBUG=1 PYTHONSAFEPATH=1 PYTHONPATH="$$(pwd -P)/build/debug/lib" $(pytest) $(compiled_tests) $(ARGS)

# The sanitizers' runtimes have to come first, so they are preloaded; Python's own allocator would hide what is written
# behind an object. Two things are left out: leaks (Python leaves what it has at its end), and the tests that stand in
# front of the C library's calls themselves (they skip, and say so). Alignment is not checked (setup.py says why).
sanitized = NAUTILUS_SANITIZE=address PYTHONMALLOC=malloc PYTHONSAFEPATH=1 PYTHONPATH="$$(pwd -P)/build/asan/lib:$$(pwd -P)" \
	LD_PRELOAD="$$(gcc -print-file-name=libasan.so) $$(gcc -print-file-name=libubsan.so)" \
	ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1:handle_segv=0 UBSAN_OPTIONS=print_stacktrace=1
## asan     build the core with AddressSanitizer and UBSan (gcc), apart, and run its tests on that
asan: build .venv/.tested
	@NAUTILUS_SANITIZE=address CC=gcc $(py) setup.py --quiet build --build-base build/asan --build-lib build/asan/lib \
		build_ext --parallel $(jobs)
	@$(sanitized) $(pytest) --timeout 3600 $(compiled_tests) $(ARGS)

SECONDS ?= 60
FUZZ ?= all
.venv/.fuzzed: pyproject.toml | .venv/.required
	@mkdir -p build && $(requirements) fuzz > build/requirements-fuzz.txt
	@$(pip) -r build/requirements-fuzz.txt
	@touch $@

# With clang, atheris sees the edges of the compiled core too, under its AddressSanitizer; without, blind changes of
# sound inputs go into the build in place.
led := $(shell command -v clang)
fuzzers = $(if $(filter all,$(FUZZ)),$$($(py) -m tests.fuzz --list),$(FUZZ))
## fuzz     every decoder and the kernel under arbitrary bytes: make fuzz [SECONDS=60 for each] [FUZZ=kernel_process]
fuzz: build .venv/.tested $(if $(led),.venv/.fuzzed)
ifneq ($(led),)
	@NAUTILUS_SANITIZE=fuzzer CC=clang LDSHARED="clang -shared" $(py) setup.py --quiet build --build-base build/fuzz \
		--build-lib build/fuzz/lib build_ext --parallel $(jobs)
	@for name in $(fuzzers); do echo "make: fuzzing $$name for $(SECONDS) s, led by edges"; \
		PYTHONSAFEPATH=1 PYTHONPATH="$$(pwd -P)/build/fuzz/lib:$$(pwd -P)" NAUTILUS_SANITIZE=fuzzer \
		LD_PRELOAD="$$($(py) -c 'import atheris; print(atheris.path())')/asan_with_fuzzer.so" \
		ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1 \
		$(py) -m tests.fuzz $$name --seconds $(SECONDS) || exit 1; done
else
	@echo "make: no clang (apt-get install clang libclang-rt-dev): blind changes"
	@for name in $(fuzzers); do $(py) -m tests.fuzz $$name --blind --seconds $(SECONDS) || exit 1; done
endif

COMMANDS ?= 100000000
## endurance  so many commands through one kernel, its memory sampled: make endurance [COMMANDS=100000000]
endurance: build .venv/.tested
	@$(py) -m tests.endurance $(COMMANDS)

RECORDS ?= 100000000
## bus-endurance  so many records over the star, the mesh beside it, connections broken: make bus-endurance [RECORDS=100000000]
bus-endurance: build .venv/.tested
	@$(py) -m tests.bus_endurance $(RECORDS)

## failover  hubs killed, stopped, replaced, and an engine of another host that comes and goes: make failover [ROUNDS=20]
failover: build .venv/.tested
	@$(py) -m tests.failover --rounds $(ROUNDS) $(ARGS)

## soak     the property tests with many more seeds: make soak [SEEDS=200]
soak: build .venv/.tested
	@NAUTILUS_SEEDS=$(SEEDS) $(pytest) --timeout 7200 $(TESTS) $(ARGS)

STEPS ?= 1000000
machines_of = tests/unit/core/test_breaker_twin.py tests/unit/core/test_limiter_machine.py tests/unit/core/test_route_machine.py \
	tests/unit/core/test_response_cache.py tests/unit/policy/test_health_machine.py tests/unit/runtime/test_access_refusals.py
# Of each machine so many steps by chance from seeds, of all together as many that hypothesis chooses; -rP tells the numbers.
## machines  breaker, limit, routes, cache and health beside their twins, bad requests refused: make machines [STEPS=1000000]
machines: build .venv/.tested
	@NAUTILUS_STEPS=$(STEPS) $(pytest) -rP --timeout 7200 $(machines_of) $(ARGS)

## history  the bus under faults, what its processes wrote judged: make history [SEEDS=200] (docs/bus-proof.md)
history: build .venv/.tested
	@NAUTILUS_SEEDS=$(SEEDS) $(pytest) --timeout 7200 tests/integration/test_bus_history*.py $(ARGS)

EXAMPLES ?= 500
## openapi  each port held to its OpenAPI document: make openapi [EXAMPLES=500 of each operation, good and bad] [ARGS="-k risk"]
openapi: build .venv/.tested
	@NAUTILUS_EXAMPLES=$(EXAMPLES) $(py) -m pytest -rsP --timeout 7200 tests/integration/test_openapi.py $(ARGS)

## drift    10^8 fills whose money must add up to the last unit (some minutes): make drift [FILLS=100000000]
drift: build .venv/.tested
	@NAUTILUS_FILLS=$(FILLS) $(pytest) --timeout 7200 $(core_tests)/test_kernel_accounts.py -k drift $(ARGS)

## differential  the kernel beside an independent engine: make differential [SEEDS=200] (docs/differential.md)
differential: build .venv/.tested build/differential/.installed
	@NAUTILUS_DIFFERENTIAL=$(SEEDS) $(pytest) -rPs --timeout 7200 tests/integration/test_differential.py $(ARGS)

## clean    remove everything that was built, .venv too
clean:
	@rm -rf .venv build dist nautilus_hybrid.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	@rm -f nautilus/core/*.so nautilus/core/*.c nautilus/core/*.html
	@find nautilus tests perf docs -type d -name __pycache__ -prune -exec rm -rf {} +

## help     this list
help:
	@sed -n 's/^## //p' Makefile
