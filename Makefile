# Front door. `make` builds; what else there is: `make help`.
#
# Sources are found by wildcard: a new file needs no edit here. Objects of each way of building
# live in $(BUILD)/$(VARIANT), so that no build is in the way of another:
#   release  the NIF, as users get it          test   C tests: ASan, UBSan, coverage, DCHECKs
#   asan     C tests with race delays          tsan   the same under ThreadSanitizer
#   fuzz     libFuzzer                         nifasan  the NIF for a VM with ASan preloaded
#   plain    C tests without any of these
# Knobs: BUILD= VARIANT= CC= WERROR=0|1 EXTRA_CFLAGS= TSU_SEED= FUZZ_SECONDS= ERL= ERLC=

BUILD   ?= build
VARIANT ?= release
ERL     ?= erl
ERLC    ?= erlc
# Warnings are errors for whoever works in a checkout. rebar3, mix, packages and the demo set 0: their
# compilers are not ours.
WERROR  ?= $(if $(wildcard .git),1,0)
PRIV    ?= priv
EBIN    ?= ebin
FUZZ_SECONDS ?= 60

OUT := $(BUILD)/$(VARIANT)

# ---- sources -------------------------------------------------------------------------------------

find_c       = $(shell find $(1) -name '*.c' 2>/dev/null | LC_ALL=C sort)
ENGINE_ALL  := $(call find_c,c_src/engine)
ENGINE_SRC  := $(filter-out %_test.c,$(ENGINE_ALL))
NIF_SRC     := $(filter-out %_test.c,$(call find_c,c_src/nif))
TESTING_ALL := $(call find_c,c_src/testing)
TESTNIF_SRC := $(filter %_nif.c,$(TESTING_ALL))
MAIN_SRC    := $(filter %_test.c,$(TESTING_ALL)) $(TESTNIF_SRC) $(foreach p,fuzz stress sim env_sim,$(wildcard c_src/testing/$(p)_*.c c_src/testing/$(p).c))
SUPPORT_SRC := $(filter-out $(MAIN_SRC) %_nif.c,$(TESTING_ALL))
TEST_SRC    := $(filter %_test.c,$(ENGINE_ALL) $(TESTING_ALL))
STRESS_SRC  := $(wildcard c_src/testing/stress_*.c)
FUZZ_SRC    := $(wildcard c_src/testing/fuzz_*.c)
ERL_SRC     := $(wildcard src/*.erl)
ERL_HRL     := $(wildcard src/*.hrl include/*.hrl)

obj = $(patsubst c_src/%.c,$(OUT)/%.o,$(1))
bin = $(patsubst c_src/%.c,$(OUT)/bin/%,$(1))

TEST_BIN   := $(call bin,$(TEST_SRC))
STRESS_BIN := $(call bin,$(STRESS_SRC))
FUZZ_BIN   := $(call bin,$(FUZZ_SRC))
SUPPORT_A  := $(if $(SUPPORT_SRC),$(OUT)/support.a)

# A test is linked with its own layer and those below, so that a reach upwards does not link.
in_layers = $(filter $(foreach l,$(1),c_src/engine/$(l)/%),$(ENGINE_SRC))
LAYERS_base := base
LAYERS_term := base term
LAYERS_mem  := base term mem
LAYERS_txn  := base term mem txn
LAYERS_disk := base term mem txn disk
layer_of = $(firstword $(filter base term mem txn disk,$(subst /, ,$(patsubst c_src/engine/%,%,$(1)))))
link_src = $(if $(call layer_of,$(1)),$(call in_layers,$(LAYERS_$(call layer_of,$(1)))),$(ENGINE_SRC))

# ---- flags ---------------------------------------------------------------------------------------

TARGET_OS := $(shell uname -s)
WARN      := -Wall -Wextra $(if $(filter 1,$(WERROR)),-Werror)
BASE      := -std=gnu11 -g -fvisibility=hidden -Ic_src/engine -Ic_src
SAN       := -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=undefined
LIBS      := -pthread

FLAGS_release := -O3 -fPIC -fno-plt -flto=auto
FLAGS_plain   := -O2 -DTSU_DEBUG
FLAGS_test    := -O1 -DTSU_DEBUG $(SAN) --coverage -fprofile-update=atomic
FLAGS_asan    := -O1 -DTSU_DEBUG -DTSU_RACE_DELAYS=1 $(SAN)
FLAGS_tsan    := -O1 -DTSU_DEBUG -DTSU_RACE_DELAYS=1 -fno-omit-frame-pointer -fsanitize=thread
FLAGS_fuzz    := -O1 -DTSU_DEBUG -fno-omit-frame-pointer -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=undefined
FLAGS_nifasan := -O1 -DTSU_DEBUG -fPIC $(SAN)
LINK_fuzz     := -fsanitize=fuzzer

# gcc's ThreadSanitizer does not know fences and warns about every one; clang's says nothing.
ifeq ($(VARIANT),tsan)
FLAGS_tsan += $(if $(findstring clang,$(CC)),,-Wno-tsan)
endif

ALL_CFLAGS = $(BASE) $(WARN) $(FLAGS_$(VARIANT)) $(EXTRA_CFLAGS)
ALL_LINK   = $(filter-out -D%,$(FLAGS_$(VARIANT))) $(LINK_$(VARIANT)) $(EXTRA_LDFLAGS)

# Never unmapped: threads of ours may be in it when the VM closes it.
SHARED := -shared -Wl,-z,nodelete
ifeq ($(TARGET_OS),Darwin)
SHARED := -bundle -undefined dynamic_lookup
endif

# Where erl_nif.h is: asked of the VM once, and only when a file of c_src/nif is compiled.
ERL_ASK = $(shell $(ERL) -noshell -eval 'io:format("~ts/erts-~ts/include ~ts/usr/include", [code:root_dir(), erlang:system_info(version), code:root_dir()])' -s init stop)
ERL_INC = $(eval ERL_INC := $(addprefix -I,$(ERL_ASK)))$(ERL_INC)

# ---- build ---------------------------------------------------------------------------------------

# Only the release is what users load; any other way of building keeps its library to itself.
NIF_SO := $(if $(filter release,$(VARIANT)),$(PRIV)/tsunami_nif.so,$(OUT)/tsunami_nif.so)

.PHONY: all nif erl help
all: nif erl

nif: $(NIF_SO)

erl: $(EBIN)/tsunami.app

$(NIF_SO): $(call obj,$(ENGINE_SRC) $(NIF_SRC)) $(OUT)/.sources
	@mkdir -p $(@D)
	$(CC) $(SHARED) $(ALL_LINK) -o $@.new $(filter %.o,$^) $(LIBS)
	@mv -f $@.new $@

# Libraries that only tests load: c_src/testing/x_nif.c becomes $(OUT)/x_nif.so, with the engine and all of
# c_src/nif but its function table.
.PHONY: test-nifs
test-nifs: $(patsubst c_src/testing/%.c,$(OUT)/%.so,$(TESTNIF_SRC))

$(OUT)/%_nif.so: $(OUT)/testing/%_nif.o $(call obj,$(ENGINE_SRC) $(filter-out c_src/nif/nif.c,$(NIF_SRC))) $(OUT)/.sources
	$(CC) $(SHARED) $(ALL_LINK) -o $@.new $(filter %.o,$^) $(LIBS)
	@mv -f $@.new $@

# Changes when a source comes or goes, which dates of files do not show.
$(OUT)/.sources: FORCE
	@mkdir -p $(@D)
	@echo '$(ENGINE_SRC) $(NIF_SRC)' | cmp -s - $@ || echo '$(ENGINE_SRC) $(NIF_SRC)' > $@

# Changes when the flags do (those that change an object), so that no object is older than they are.
COMPILE_ID = $(CC) $(filter-out -Werror,$(ALL_CFLAGS))
$(OUT)/.flags: FORCE
	@mkdir -p $(@D)
	@echo '$(COMPILE_ID)' | cmp -s - $@ || echo '$(COMPILE_ID)' > $@

$(OUT)/nif/%.o: c_src/nif/%.c $(OUT)/.flags
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) $(ERL_INC) -MMD -MP -c -o $@ $<

$(OUT)/testing/%_nif.o: c_src/testing/%_nif.c $(OUT)/.flags
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) $(ERL_INC) -MMD -MP -c -o $@ $<

$(OUT)/%.o: c_src/%.c $(OUT)/.flags
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

# All modules in one go; the .app file comes last and stands for them.
$(EBIN)/tsunami.app: $(ERL_SRC) $(ERL_HRL) src/tsunami.app.src Makefile
	@mkdir -p $(@D) && rm -f $(@D)/*.beam $@
	$(if $(ERL_SRC),$(ERLC) +debug_info $(if $(filter 1,$(WERROR)),+warnings_as_errors) -I include -pa $(@D) -o $(@D) $(ERL_SRC))
	@sed 's/{modules, *\[\]}/{modules, [$(subst $(eval ) ,$(COMMA),$(patsubst src/%.erl,%,$(ERL_SRC)))]}/' src/tsunami.app.src > $@
COMMA := ,

.PHONY: FORCE
FORCE:
.DELETE_ON_ERROR:
.SECONDARY:

# ---- C test executables --------------------------------------------------------------------------

.PHONY: ctests stress fuzzers
ctests: $(TEST_BIN)
stress: $(STRESS_BIN)
fuzzers: $(FUZZ_BIN)

$(SUPPORT_A): $(call obj,$(SUPPORT_SRC))
	@rm -f $@
	ar rcs $@ $^

define test_rule
$(call bin,$(1)): $(call obj,$(1)) $(call obj,$(call link_src,$(1))) $(SUPPORT_A) $(OUT)/.sources
	@mkdir -p $$(@D)
	$$(CC) $$(ALL_LINK) -o $$@ $$(filter %.o,$$^) $$(filter %.a,$$^) $$(LIBS)
endef
$(foreach t,$(TEST_SRC) $(STRESS_SRC) $(FUZZ_SRC),$(eval $(call test_rule,$(t))))

# ---- what people call ----------------------------------------------------------------------------

.PHONY: demo test check coverage race fuzz specs bench slices fresh tidy clean package-test conformance
.PHONY: list-tests list-stress list-fuzz list-engine-objects engine-objects

demo:              ## install what is missing, build, and show tsunami beside ets on real data
	@tools/demo.sh

test:              ## install what is missing, build, and run every test
	@tools/test.sh

check: all         ## the tests, without installing anything
	@NO_INSTALL=1 tools/test.sh

coverage:          ## lines of the engine that the last `make test` ran, file by file
	@tools/coverage.sh $(BUILD)/test

race:              ## C tests and stress under TSan and ASan with delays; eunit on a NIF under ASan
	@tools/race.sh

fuzz:              ## each fuzzer for FUZZ_SECONDS (60)
	@FUZZ_SECONDS=$(FUZZ_SECONDS) tools/fuzz.sh

specs:             ## model-check specs/ (SPEC=Word: only what has it in its line)
	@tools/specs.sh $(SPEC)

bench:             ## measure against ets (BENCH='pattern ...': only these)
	@tools/bench.sh $(BENCH)

slices: all        ## calls that hold a scheduler for more than 1 ms (SLICES='pattern ...' or --selftest)
	@bench/slices.sh $(SLICES)

fresh:             ## the README's commands on fresh Debian 12 and 13 systems
	@tools/fresh.sh

conformance:       ## OTP's own suite for ets, run against tsunami (CASES='name ...'; ARGS=--stock or --selftest)
	@tools/conformance.sh $(ARGS) $(if $(CASES),--case $(CASES))

tidy:              ## layers, ways out of the engine, side effects in checks, dead files
	@tools/tidy.sh

package-test:      ## build from the packaged files alone, with rebar3 and with mix
	@tools/package_test.sh

list-tests:        # for tools/: source and executable of each C test of this VARIANT
	@$(foreach t,$(TEST_SRC),echo '$(t) $(call bin,$(t))';)
list-stress:
	@$(foreach t,$(STRESS_SRC),echo '$(t) $(call bin,$(t))';)
list-fuzz:
	@$(foreach t,$(FUZZ_SRC),echo '$(t) $(call bin,$(t))';)
list-engine-objects:
	@$(foreach t,$(ENGINE_SRC),echo '$(t) $(call obj,$(t))';)
engine-objects: $(call obj,$(ENGINE_SRC))

# The longer runs of test/support: random steps and specifications beside ets (OPS, SPECS, SEED), killed processes (KILLS).
OPS   ?= 1000000
SPECS ?= 1000000
KILLS ?= 100000
CAMPAIGN = mkdir -p $(BUILD)/campaign && $(ERLC) -o $(BUILD)/campaign test/support/*.erl && $(ERL) -noshell -pa $(EBIN) -pa $(BUILD)/campaign
.PHONY: campaign spec-campaign leak-campaign
campaign: all      ## OPS=1000000 random steps on ets and on tsunami; SEED=n repeats one
	@$(CAMPAIGN) -run tsunami_model_campaign main $(OPS) $(SEED)

spec-campaign: all ## SPECS=1000000 random specifications on tables of ets and of tsunami; SEED=n repeats
	@mkdir -p $(BUILD)/campaign && $(ERLC) -o $(BUILD)/campaign test/tsunami_match_tests.erl test/tsunami_select_tests.erl
	@$(CAMPAIGN) -run tsunami_spec_campaign main $(SPECS) $(SEED)

leak-campaign: all ## KILLS=100000 processes killed at their work: resident memory stays flat
	@$(CAMPAIGN) -run tsunami_leak_campaign main $(KILLS)

clean:             ## remove everything that was built, but not what was downloaded
	rm -rf $(EBIN) $(PRIV)/tsunami_nif.so $(PRIV)/tsunami_nif.so.new
	rm -rf $(addprefix $(BUILD)/,release plain test asan tsan fuzz nifasan erl_tests erl_tests_asan mix_test demo package logs)

help:              ## this list
	@echo 'make              build priv/tsunami_nif.so and ebin/'
	@sed -n 's/^\([a-z-]*\): *[a-z]* *## \(.*\)/make \1 \2/p' Makefile | awk '{printf "make %-12s", $$2; $$1 = $$2 = ""; print $$0}'

-include $(shell find $(OUT) -name '*.d' 2>/dev/null)
