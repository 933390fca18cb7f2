# Builds libseki and the programs into build/. `make help` lists the targets.
#
#   make V=1              shows the commands
#   make CC=clang CFLAGS='-O2'
#   CI=true make          treats warnings as errors

PREFIX  ?= /usr/local
DESTDIR ?=
BUILD   ?= build
CFLAGS  ?= -O3 -g

# ---- Debian packages -----------------------------------------------------------------------

PACKAGES := gcc g++ libc6-dev make pkg-config libcurl4-openssl-dev libjansson-dev zlib1g-dev \
            libdnnl-dev libcmocka-dev bats jq graphviz gnuplot-nox dataset-fashion-mnist python3 \
            python3-venv mandoc curl ca-certificates
FUZZ_PACKAGES := clang libclang-rt-14-dev
LINT_PACKAGES := clang-tidy clang-format cppcheck shellcheck mandoc

# ---- Sources: found, so that a new file needs no edit here -----------------------------------

# lib/nn/cuda is a shared object of its own, see below.
LIB_SOURCES  := $(filter-out lib/nn/cuda/%,$(wildcard lib/*/*.c lib/*/*/*.c))
LIB_HEADERS  := $(filter-out %_internal.h lib/nn/cuda/%,$(wildcard lib/*/*.h))
# What several programs share lies in tools/common.
COMMON_SOURCES := $(wildcard tools/common/*.c)
TOOL_SOURCES := $(filter-out $(COMMON_SOURCES),$(wildcard tools/*/*.c))
PROGRAMS     := $(sort $(foreach source,$(TOOL_SOURCES),$(notdir $(patsubst %/,%,$(dir $(source))))))
# A folder of tools/ without C files holds a script of its name and the files that it reads, its helpers.
SCRIPT_FILES := $(filter-out %/__pycache__ tools/common/% $(addprefix tools/,$(addsuffix /%,$(PROGRAMS))),$(wildcard tools/*/*))
SCRIPTS      := $(foreach file,$(SCRIPT_FILES),$(if $(filter $(notdir $(patsubst %/,%,$(dir $(file)))),$(notdir $(file))),$(notdir $(file))))
HELPERS      := $(filter-out $(foreach script,$(SCRIPTS),tools/$(script)/$(script)),$(SCRIPT_FILES))
HELPER_DIR   := libexec/seki
MAN_PAGES    := $(wildcard man/*.[1-9])
PROMPTS      := $(wildcard share/prompts/*)
UNIT_TESTS   := $(wildcard tests/unit/test_*.c)
FUZZ_TARGETS := $(wildcard tests/fuzz/fuzz_*.c)
TEST_SUPPORT := $(filter-out $(UNIT_TESTS),$(wildcard tests/unit/*.c))
C_FILES      := $(wildcard lib/*/*.[ch] lib/*/*/*.[ch] tools/*/*.[ch] tests/unit/*.[ch] tests/cuda/*.c tests/fuzz/*.c tests/example/*.c bench/*.[ch] bench/*/*.[ch])
# CUDA C++, and the C++ of what stands in a GPU's place.
CUDA_FILES   := $(wildcard lib/nn/cuda/*.cu lib/nn/cuda/*.cuh tests/cuda/*.h tests/cuda/*.cc)
BATS_FILES   := $(wildcard tests/*.bats tests/*.bash)

LIBRARY     := $(BUILD)/libseki.a
LIB_OBJECTS := $(LIB_SOURCES:%.c=$(BUILD)/obj/%.o)
ALL_OBJECTS := $(LIB_OBJECTS) $(patsubst %.c,$(BUILD)/obj/%.o,$(TOOL_SOURCES) $(COMMON_SOURCES) $(UNIT_TESTS) $(TEST_SUPPORT) $(wildcard tests/cuda/*.c tests/fuzz/*.c))
TEST_BINARIES := $(UNIT_TESTS:tests/unit/%.c=$(BUILD)/tests/%) $(FUZZ_TARGETS:tests/fuzz/%.c=$(BUILD)/fuzz/%)
COMPLETION_DIR := share/bash-completion/completions
COMPLETIONS := $(addprefix $(BUILD)/$(COMPLETION_DIR)/,$(PROGRAMS) $(SCRIPTS))
COPIES      := $(addprefix $(BUILD)/bin/,$(SCRIPTS)) $(addprefix $(BUILD)/$(HELPER_DIR)/,$(notdir $(HELPERS)))

# ---- Flags -----------------------------------------------------------------------------------

# x86-64 as it was in 2003: a binary runs on every machine, and the kernels' set of instructions is
# chosen at run time.
ALL_CPPFLAGS = -Ilib $(FOLDER_INCLUDES) -D_POSIX_C_SOURCE=200809L $(FOLDER_CPPFLAGS) $(CPPFLAGS)
ALL_CFLAGS   = -std=c11 -Wall -Wextra $(if $(CI),-Werror) -fopenmp -pthread $(CFLAGS) $(SANITIZERS)
ALL_LDFLAGS  = -fopenmp -pthread $(LDFLAGS) $(SANITIZERS)
PRELOADED    = -shared -fPIC -fvisibility=hidden -fno-sanitize=all

$(BUILD)/obj/tools/%.o: FOLDER_INCLUDES = -Itools
# Kernels need no errno and no floating-point traps, and fused multiply-adds, which -std=c11 forbids. ref, the oracle, keeps every rule of IEEE 754,
# whatever CFLAGS says.
$(BUILD)/obj/lib/nn/cpu/%.o: FOLDER_CFLAGS = -O3 -fno-math-errno -fno-trapping-math -ffp-contract=fast
$(BUILD)/obj/lib/nn/ref/%.o: FOLDER_CFLAGS = -fno-fast-math -ffp-contract=off
# Where the prompt templates and the GPU backend are once installed; these alone are built anew for another PREFIX.
$(BUILD)/obj/lib/llm/%.o: FOLDER_CPPFLAGS = -DSEKI_DATADIR='"$(PREFIX)/share/seki"'
$(BUILD)/obj/lib/nn/module.o: FOLDER_CPPFLAGS = -DSEKI_LIBDIR='"$(PREFIX)/lib/seki"'
$(filter $(BUILD)/obj/lib/llm/% $(BUILD)/obj/lib/nn/module.o,$(LIB_OBJECTS)): $(BUILD)/prefix

ifneq ($(V),)
say = @:
quiet =
else
say = @printf '  %-8s%s\n'
quiet = @
endif

# ---- Building --------------------------------------------------------------------------------

.DEFAULT_GOAL := all
.DELETE_ON_ERROR:
.SECONDARY:
.PHONY: all gpu-backend deps check demo install uninstall help format lint lint-deps lint-format lint-tidy lint-cppcheck lint-shell lint-man \
        sanitize fuzz clean tests FORCE

all: $(LIBRARY) $(PROGRAMS:%=$(BUILD)/bin/%) $(COPIES) $(COMPLETIONS) gpu-backend ## build the library, the programs and their completion (the default)

# The first target of a clean clone may be one that installs the packages: then before all else.
ifneq ($(filter check demo sanitize,$(MAKECMDGOALS)),)
$(BUILD)/libraries: | deps
endif

# gcc reads the libraries' flags from the file that this leaves.
$(BUILD)/libraries: scripts/find-libraries
	$(quiet)mkdir -p $(BUILD)
	$(quiet)CC='$(CC)' sh scripts/find-libraries > $@

# What is built depends on these, which change when their text does: flags, prefix, list of sources.
$(BUILD)/flags: export TEXT = $(CC) $(ALL_CPPFLAGS) $(ALL_CFLAGS) $(ALL_LDFLAGS)
$(BUILD)/prefix: export TEXT = $(PREFIX)
$(BUILD)/lib-sources: export TEXT = $(LIB_SOURCES)
$(BUILD)/cuda-flags: export TEXT = $(CUDA) $(NVCC_FLAGS)
$(BUILD)/flags $(BUILD)/prefix $(BUILD)/lib-sources $(BUILD)/cuda-flags: FORCE
	$(quiet)mkdir -p $(BUILD)
	$(quiet)printf '%s\n' "$$TEXT" | cmp -s - $@ || printf '%s\n' "$$TEXT" > $@

$(BUILD)/obj/%.o: %.c $(BUILD)/flags | $(BUILD)/libraries
	$(say) CC $<
	$(quiet)mkdir -p $(@D)
	$(quiet)$(CC) $(ALL_CPPFLAGS) $(ALL_CFLAGS) $(FOLDER_CFLAGS) -MMD -MP -c $< -o $@

# Removed first: an archive would keep the objects of sources that are gone.
$(LIBRARY): $(LIB_OBJECTS) $(BUILD)/lib-sources
	$(say) AR $@
	$(quiet)rm -f $@
	$(quiet)$(AR) rcs $@ $(LIB_OBJECTS)

$(BUILD)/libcommon.a: $(COMMON_SOURCES:%.c=$(BUILD)/obj/%.o)
	$(quiet)rm -f $@
	$(quiet)$(AR) rcs $@ $^

define program_rule
$(BUILD)/bin/$(1): $(patsubst %.c,$(BUILD)/obj/%.o,$(filter tools/$(1)/%,$(TOOL_SOURCES))) $(BUILD)/libcommon.a $(LIBRARY)
	$$(say) LINK $$@
	$$(quiet)mkdir -p $$(@D)
	$$(quiet)$$(CC) $$(ALL_LDFLAGS) $$(filter %.o %.a,$$^) @$(BUILD)/libraries -o $$@
endef
$(foreach program,$(PROGRAMS),$(eval $(call program_rule,$(program))))

define copy_rule
$(BUILD)/$(2)/$(notdir $(1)): $(1)
	$$(say) COPY $$<
	$$(quiet)install -D -m $(3) $$< $$@
endef
$(foreach file,$(filter-out $(HELPERS),$(SCRIPT_FILES)),$(eval $(call copy_rule,$(file),bin,755)))
$(foreach file,$(HELPERS),$(eval $(call copy_rule,$(file),$(HELPER_DIR),644)))

# A script's completion depends on its helpers too, which are there when it is run.
$(SCRIPTS:%=$(BUILD)/$(COMPLETION_DIR)/%): $(COPIES)

$(COMPLETIONS): $(BUILD)/$(COMPLETION_DIR)/%: $(BUILD)/bin/% scripts/bash-completion
	$(quiet)mkdir -p $(@D)
	$(quiet)sh scripts/bash-completion $< > $@

$(BUILD)/tests/%: $(BUILD)/obj/tests/unit/%.o $(TEST_SUPPORT:%.c=$(BUILD)/obj/%.o) $(LIBRARY)
	$(say) LINK $@
	$(quiet)mkdir -p $(@D)
	$(quiet)$(CC) $(ALL_LDFLAGS) $(filter %.o %.a,$^) @$(BUILD)/libraries -lcmocka -o $@

$(BUILD)/fuzz/%: $(BUILD)/obj/tests/fuzz/%.o $(BUILD)/obj/tests/fuzz/driver.o $(LIBRARY)
	$(say) LINK $@
	$(quiet)mkdir -p $(@D)
	$(quiet)$(CC) $(ALL_LDFLAGS) $(filter %.o %.a,$^) @$(BUILD)/libraries -o $@

-include $(ALL_OBJECTS:.o=.d)

# ---- The GPU backend: a shared object, where there is a CUDA compiler ----------------------------

comma        := ,
CUDA         := $(shell sh scripts/find-cuda 2>/dev/null)
MODULE       := lib/seki/seki-cuda.so
CUDA_HOST    := $(wildcard lib/nn/cuda/*.c)
CUDA_KERNELS := $(wildcard lib/nn/cuda/*.cu)
# What of the library it holds a copy of, so that it needs nothing of the program that loads it.
MODULE_LIB   := lib/base/error.c lib/base/memory.c lib/nn/block.c
MODULE_OBJECTS := $(patsubst %,$(BUILD)/module/%.o,$(CUDA_HOST) $(MODULE_LIB) $(CUDA_KERNELS))
# Code for the data centres' cards from Ampere on; PTX for all others from there on.
CUDA_ARCHITECTURES := -gencode=arch=compute_80,code=[sm_80,compute_80] -gencode=arch=compute_90,code=sm_90 \
                      -gencode=arch=compute_100,code=sm_100
NVCC_FLAGS   := -std=c++17 -O3 $(CUDA_ARCHITECTURES) -Xfatbin=-compress-all \
                -Xcompiler=-fPIC,-fvisibility=hidden,-fno-exceptions,-fno-threadsafe-statics,-Wall$(if $(CI),$(comma)-Werror)

ifneq ($(CUDA),)
gpu-backend: $(BUILD)/$(MODULE)
	@echo "GPU backend: $(BUILD)/$(MODULE), of $(CUDA)"
else
gpu-backend:
	@sh scripts/find-cuda 2>&1 >/dev/null | sed 's/^/GPU backend: not built: /'
endif

$(BUILD)/module/%.c.o: %.c $(BUILD)/flags
	$(say) CC $<
	$(quiet)mkdir -p $(@D)
	$(quiet)$(CC) $(ALL_CPPFLAGS) -I$(CUDA)/include $(ALL_CFLAGS) -fPIC -fvisibility=hidden -MMD -MP -c $< -o $@

$(BUILD)/module/%.cu.o: %.cu $(BUILD)/cuda-flags
	$(say) NVCC $<
	$(quiet)mkdir -p $(@D)
	$(quiet)$(CUDA)/bin/nvcc -Ilib $(NVCC_FLAGS) -MMD -MP -MF $(@:.o=.d) -c $< -o $@

$(BUILD)/$(MODULE): $(MODULE_OBJECTS)
	$(say) LINK $@
	$(quiet)mkdir -p $(@D)
	$(quiet)$(CUDA)/bin/nvcc -shared -cudart shared -Xlinker=--no-undefined,-rpath,$(CUDA)/lib64 $^ -L$(CUDA)/lib64 -lcudnn -o $@

-include $(MODULE_OBJECTS:.o=.d)

# The same sources on what tests/cuda puts in the place of a GPU and its runtime, under sanitizers.
STAND_IN         := $(BUILD)/stand-in
STAND_IN_SOURCES := $(CUDA_HOST) $(MODULE_LIB) $(CUDA_KERNELS) $(wildcard tests/cuda/*.cc) \
                    tests/cuda/convolution.c lib/nn/ref/convolution.c
STAND_IN_OBJECTS := $(patsubst %,$(STAND_IN)/%.o,$(STAND_IN_SOURCES))
STAND_IN_TESTS   := $(patsubst tests/unit/%.c,$(STAND_IN)/tests/%,$(wildcard tests/unit/test_cuda*.c) tests/unit/test_backend_training.c)
# Those that ask the stand-in itself, of which a GPU has nothing.
STAND_IN_OWN_TESTS := $(patsubst tests/cuda/%.c,$(STAND_IN)/tests/%,$(wildcard tests/cuda/test_*.c))
STAND_IN_PROGRAMS := $(addprefix $(STAND_IN)/bin/,seki-supernet seki-eval seki-train)
STAND_IN_BENCH   := $(STAND_IN)/bench/engine $(STAND_IN)/bench/kernel_times.so
STAND_IN_FLAGS   := -O2 -g -fPIC -fvisibility=hidden -fsanitize=address,undefined -fno-sanitize-recover=all \
                    -Itests/cuda -Wall -Wextra $(if $(CI),-Werror)

$(STAND_IN)/%.c.o: %.c
	$(say) CC $@
	$(quiet)mkdir -p $(@D)
	$(quiet)$(CC) -std=c11 $(STAND_IN_FLAGS) $(ALL_CPPFLAGS) -MMD -MP -c $< -o $@

# The stand-in itself is not what is tested.
$(STAND_IN)/tests/cuda/grid.cc.o: STAND_IN_FLAGS += -O3 -fno-sanitize=all -DSTAND_IN_SANITIZED

# Floats as a device has them: no excess precision, products and sums fused or not.
$(STAND_IN)/%.o: %
	$(say) CXX $@
	$(quiet)mkdir -p $(@D)
	$(quiet)$(CXX) -x c++ -std=c++17 $(STAND_IN_FLAGS) -Wno-unknown-pragmas -fno-strict-aliasing -Ilib -MMD -MP -c $< -o $@

$(STAND_IN)/$(MODULE): $(STAND_IN_OBJECTS)
	$(say) LINK $@
	$(quiet)mkdir -p $(@D)
	$(quiet)$(CXX) -shared -fsanitize=address,undefined $^ -o $@

$(STAND_IN)/tests/%: $(BUILD)/obj/tests/unit/%.o $(TEST_SUPPORT:%.c=$(BUILD)/obj/%.o) $(LIBRARY) $(STAND_IN)/$(MODULE)
	$(say) LINK $@
	$(quiet)mkdir -p $(@D)
	$(quiet)$(CC) -fsanitize=address,undefined $(ALL_LDFLAGS) $(filter %.o %.a,$^) @$(BUILD)/libraries -lcmocka -o $@

$(STAND_IN_OWN_TESTS): $(STAND_IN)/tests/%: $(BUILD)/obj/tests/cuda/%.o $(TEST_SUPPORT:%.c=$(BUILD)/obj/%.o) $(LIBRARY) $(STAND_IN)/$(MODULE)
	$(say) LINK $@
	$(quiet)mkdir -p $(@D)
	$(quiet)$(CC) -fsanitize=address,undefined $(ALL_LDFLAGS) $(filter %.o %.a %.so,$^) -Wl,-rpath,'$$ORIGIN/../$(dir $(MODULE))' @$(BUILD)/libraries -lcmocka -o $@

define stand_in_rule
$(STAND_IN)/bin/$(1): $(patsubst %.c,$(BUILD)/obj/%.o,$(filter tools/$(1)/%,$(TOOL_SOURCES))) $(BUILD)/libcommon.a $(LIBRARY) $(STAND_IN)/$(MODULE)
	$$(say) LINK $$@
	$$(quiet)mkdir -p $$(@D)
	$$(quiet)$$(CC) -fsanitize=address,undefined $$(ALL_LDFLAGS) $$(filter %.o %.a,$$^) @$(BUILD)/libraries -o $$@
endef
$(foreach program,$(notdir $(STAND_IN_PROGRAMS)),$(eval $(call stand_in_rule,$(program))))

$(STAND_IN)/bench/engine: $(patsubst %.c,$(BUILD)/obj/%.o,$(wildcard bench/engine/engine*.c)) $(BUILD)/libcommon.a $(LIBRARY) $(STAND_IN)/$(MODULE)
	$(say) LINK $@
	$(quiet)mkdir -p $(@D)
	$(quiet)$(CC) -fsanitize=address,undefined $(ALL_LDFLAGS) $(filter %.o %.a,$^) @$(BUILD)/libraries -o $@

$(STAND_IN)/bench/kernel_times.so: bench/engine/kernel_times.c $(wildcard tests/cuda/*.h) $(BUILD)/flags
	$(say) CC $@
	$(quiet)mkdir -p $(@D)
	$(quiet)$(CC) $(ALL_CPPFLAGS) -Itests/cuda $(ALL_CFLAGS) $(PRELOADED) $< -o $@

-include $(STAND_IN_OBJECTS:.o=.d)

# ---- Tests, demo -----------------------------------------------------------------------------

deps: ## install the Debian packages that are missing (apt-get, as root or through sudo)
	@sh scripts/install-packages $(PACKAGES)

tests: all $(TEST_BINARIES) $(STAND_IN_TESTS) $(STAND_IN_OWN_TESTS) $(STAND_IN_PROGRAMS) $(STAND_IN_BENCH) # builds what check runs

# A make of its own, which sees what deps has installed; on all processors unless -j is given.
built = @$(MAKE) --no-print-directory $(if $(filter -j%,$(MAKEFLAGS)),,-j$(shell nproc)) $(1)

check: deps ## build and run every test; TESTS='rank install' runs a part
	$(call built,tests)
	@BUILD='$(BUILD)' bash tests/run $(TESTS)

demo: deps ## search for a network on real pictures, end to end, into demo/
	$(call built,all)
	@sh recipes/demo.sh

sanitize: deps ## run the tests under address and undefined behaviour sanitizers
	@$(MAKE) --no-print-directory BUILD=$(BUILD)/sanitize CFLAGS='-O1 -g -fno-omit-frame-pointer' \
	    SANITIZERS='-fsanitize=address,undefined -fno-sanitize-recover=all' tests
	@BUILD='$(BUILD)/sanitize' SANITIZE=1 bash tests/run $(TESTS)

# ---- Benchmark: the engine beside PyTorch ------------------------------------------------------

# g++: torch.compile makes C++ of its graphs. SEKI_BENCH_TORCH: a Python that has PyPI's torch already.
BENCH_PACKAGES := python3 python3-venv python3-torch g++ gnuplot-nox jq
BENCH_OBJECTS  := $(patsubst %.c,$(BUILD)/obj/%.o,$(wildcard bench/engine/engine*.c))
BENCH_TORCH    := $(or $(SEKI_BENCH_TORCH),$(BUILD)/bench/torch/bin/python)
BENCH_RESULTS  := bench/results/engine.jsonl
# BENCH='--case supernet-train' runs a part.
BENCH :=

$(BUILD)/obj/bench/%.o: FOLDER_INCLUDES = -Itools
$(BUILD)/obj/bench/engine/peak.o: FOLDER_CFLAGS = -O3 -ffp-contract=fast

$(BUILD)/bench/engine: $(BENCH_OBJECTS) $(BUILD)/libcommon.a $(LIBRARY)
	$(say) LINK $@
	$(quiet)mkdir -p $(@D)
	$(quiet)$(CC) $(ALL_LDFLAGS) $(filter %.o %.a,$^) @$(BUILD)/libraries -o $@

$(BUILD)/bench/peak: $(BUILD)/obj/bench/engine/peak.o
	$(say) LINK $@
	$(quiet)mkdir -p $(@D)
	$(quiet)$(CC) $(ALL_LDFLAGS) $< -o $@

# Where there is CUDA: what times the GPU's kernels.
KERNEL_TIMES := $(if $(CUDA),$(BUILD)/bench/kernel_times.so)
$(BUILD)/bench/kernel_times.so: bench/engine/kernel_times.c $(BUILD)/flags
	$(say) CC $@
	$(quiet)mkdir -p $(@D)
	$(quiet)$(CC) $(ALL_CPPFLAGS) -I$(CUDA)/include $(ALL_CFLAGS) $(PRELOADED) $< -o $@

$(BUILD)/bench/torch/bin/python:
	@sh scripts/install-packages $(BENCH_PACKAGES)
	python3 -m venv $(BUILD)/bench/torch
	$(BUILD)/bench/torch/bin/pip install --quiet torch

.PHONY: bench bench-build
bench-build: $(BUILD)/bench/engine $(BUILD)/bench/peak $(KERNEL_TIMES) # builds what bench runs

bench: deps bench-build $(BENCH_TORCH) ## measure the engine beside PyTorch (some 25 minutes) into bench/results; BENCH='--case NAME' for a part
	@sh scripts/install-packages $(BENCH_PACKAGES)
	@SEKI_BENCH_BUILD='$(BUILD)/bench' SEKI_BENCH_TORCH='$(BENCH_TORCH)' bench/engine/run --output $(BENCH_RESULTS) $(BENCH)
	@bench/engine/table $(BENCH_RESULTS)
	@bench/engine/roofline $(BENCH_RESULTS) > $(BUILD)/bench/roofline.svg && cp $(BUILD)/bench/roofline.svg docs/images/roofline.svg

-include $(BENCH_OBJECTS:.o=.d) $(BUILD)/obj/bench/engine/peak.d

# ---- Style -----------------------------------------------------------------------------------

lint-deps:
	@sh scripts/install-packages $(LINT_PACKAGES)

format: lint-deps ## lay out the C files as .clang-format has it
	@clang-format -i $(C_FILES) $(CUDA_FILES)

lint: lint-format lint-tidy lint-cppcheck lint-shell lint-man ## check style, C, shell scripts and man pages (-k: all of it)

lint-format: lint-deps
	@clang-format --dry-run -Werror $(C_FILES) $(CUDA_FILES)

# One file a call: clang-tidy 14 takes va_lists for uninitialised from its second file on. Its standard
# error only counts warnings.
lint-tidy: lint-deps $(BUILD)/libraries
	@printf '%s\0' $(filter %.c,$(C_FILES)) | xargs -0 -P 4 -I {} sh -c 'clang-tidy --quiet \
	    --warnings-as-errors="*" "$$0" -- -std=c11 -fopenmp -Itools -Itests/cuda $(ALL_CPPFLAGS) -DSEKI_DATADIR=\"\" 2>/dev/null' {}

# invalidPointerCast: buffers of bytes are read as vectors of floats. The tests apart from what they call:
# across both, a struct seki_error that is to be filled in is taken for one that is read.
lint-cppcheck: lint-deps
	@for folders in 'lib tools' tests; do \
	    cppcheck --quiet --std=c11 --enable=warning,portability,performance --inline-suppr \
	        --error-exitcode=1 --suppress=missingIncludeSystem --suppress=invalidPointerCast \
	        -Ilib -Itools -D_POSIX_C_SOURCE=200809L -i tests/cuda $$folders || exit; \
	done

# Shell files are those that say so in their first line. 2154: variables of bats and helpers.bash.
lint-shell: lint-deps
	@find .ci bench recipes scripts tests tools -type f -exec awk \
	    'FNR == 1 && /^#!.*sh$$|^# shellcheck shell=/ { print FILENAME }' {} + | xargs shellcheck
	@shellcheck --shell=bats --exclude=SC2154 $(BATS_FILES)

lint-man: lint-deps
	@mandoc -T lint -W warning $(MAN_PAGES)

# ---- Fuzzing ---------------------------------------------------------------------------------

# The parsers and what they stand on; no kernels, which take minutes to compile with sanitizers.
FUZZ         := $(filter-out safetensors,$(FUZZ_TARGETS:tests/fuzz/fuzz_%.c=%))
FUZZ_SECONDS := 600
FUZZ_LIB     := $(wildcard lib/base/*.c lib/genotype/*.c lib/record/*.c lib/llm/*.c lib/data/*.c)

fuzz: deps $(BUILD)/libraries ## let libFuzzer search FUZZ_SECONDS (600) for bytes that break each parser; FUZZ='reply record' for a part
	@sh scripts/install-packages $(FUZZ_PACKAGES)
	@for name in $(FUZZ); do \
	    corpus=$(BUILD)/engine/$$name; mkdir -p "$$corpus"; \
	    clang -g -O1 -std=c11 -fopenmp -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=undefined \
	        $(ALL_CPPFLAGS) -DSEKI_DATADIR=\"\" tests/fuzz/fuzz_$$name.c $(FUZZ_LIB) @$(BUILD)/libraries \
	        -o "$$corpus.fuzz" || exit; \
	    echo "fuzz_$$name: $(FUZZ_SECONDS) s"; \
	    "$$corpus.fuzz" -max_total_time=$(FUZZ_SECONDS) -max_len=65536 -timeout=10 -print_final_stats=1 \
	        -artifact_prefix="$$corpus." "$$corpus" tests/fuzz/corpus/$$name >"$$corpus.log" 2>&1 || \
	        { tail -n 40 "$$corpus.log"; exit 1; }; \
	    grep -E 'stat::number_of_executed_units|DONE' "$$corpus.log"; \
	done

# ---- Installation ----------------------------------------------------------------------------

root       = $(DESTDIR)$(PREFIX)
bin_files  = $(PROGRAMS) $(SCRIPTS)

install: all ## install into PREFIX (/usr/local), under DESTDIR
	install -d $(root)/bin $(root)/$(HELPER_DIR) $(root)/lib/pkgconfig $(root)/$(COMPLETION_DIR) \
	    $(root)/share/seki/prompts
	$(if $(bin_files),install -m 755 $(bin_files:%=$(BUILD)/bin/%) $(root)/bin)
	$(if $(HELPERS),install -m 644 $(HELPERS) $(root)/$(HELPER_DIR))
	install -m 644 $(LIBRARY) $(root)/lib
	$(if $(CUDA),install -D -m 755 $(BUILD)/$(MODULE) $(root)/$(MODULE))
	$(foreach header,$(LIB_HEADERS:lib/%=%),install -D -m 644 lib/$(header) $(root)/include/seki/$(header) &&) :
	sh scripts/pkg-config-file '$(PREFIX)' < lib/base/base.h > $(root)/lib/pkgconfig/seki.pc
	$(foreach page,$(MAN_PAGES),install -D -m 644 $(page) $(root)/share/man/man$(patsubst .%,%,$(suffix $(page)))/$(notdir $(page)) &&) :
	$(if $(COMPLETIONS),install -m 644 $(COMPLETIONS) $(root)/$(COMPLETION_DIR))
	$(if $(PROMPTS),install -m 644 $(PROMPTS) $(root)/share/seki/prompts)

uninstall: ## remove what install put there
	rm -f $(addprefix $(root)/bin/,$(bin_files)) $(root)/lib/$(notdir $(LIBRARY)) \
	    $(root)/lib/pkgconfig/seki.pc $(addprefix $(root)/$(COMPLETION_DIR)/,$(notdir $(COMPLETIONS))) \
	    $(foreach page,$(MAN_PAGES),$(root)/share/man/man$(patsubst .%,%,$(suffix $(page)))/$(notdir $(page)))
	rm -rf $(root)/include/seki $(root)/share/seki $(root)/$(HELPER_DIR) $(root)/lib/seki

# ---- The rest --------------------------------------------------------------------------------

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

clean: ## remove build/
	rm -rf $(BUILD)
