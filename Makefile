# SPDX-License-Identifier: Apache-2.0
# make            builds build/curfew
# make demo       installs what is missing, builds, and shows the gateway at work
# make test       installs what is missing, and runs all tests that a change needs (under ten minutes)
# make lint       floors, clang-tidy, shellcheck
# make fuzz       every fuzzer in turn, FUZZ_SECONDS each (300); FUZZ=http1_request: that one, until it is stopped; FUZZ_RUNS=n: the same n inputs each
# make coverage   all tests in the cov flavour, and a table by folder and file
# make bench      the measurements of tests/bench
# make bench-beside   the same requests through nginx, HAProxy and nghttpx, too
# make install    PREFIX (/usr/local), SYSCONFDIR (/etc), DESTDIR
# FLAVOUR: release (default), san (ASan and UBSan), tsan, cov. CC: gcc (default) or clang. CFLAGS and LDFLAGS are added. V=1 shows commands.

CC ?= gcc
ifeq ($(origin CC),default)
CC := gcc
endif
FLAVOUR ?= release
VERSION := 0.1.0
PREFIX ?= /usr/local
SYSCONFDIR ?= /etc
JOBS ?= $(shell nproc 2>/dev/null || echo 2)
Q := $(if $(V),,@)

WARN := -Wall -Wextra -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes -Wswitch-enum -Wvla -Werror
BASE := -std=gnu17 -g -fno-omit-frame-pointer -pthread -I. -DCURFEW_VERSION='"$(VERSION)"'
# As one unit, and without lazy binding: a request runs through most of the program once, so that calls and the size of code are what it costs. So
# there is no padding, nor are there partitions, which spread that over more cache lines (first-level instruction misses a request, HTTP/2 on both
# sides: 685 with them, 597 without).
PACKED := -flto=auto -flto-partition=one -fno-align-functions -fno-align-loops -fno-align-jumps
FLAGS_release := -O2 -fomit-frame-pointer -fno-plt $(if $(filter %gcc,$(CC)),$(PACKED))
FLAGS_san := -O1 -fsanitize=address,undefined -fno-sanitize-recover=all
FLAGS_tsan := -O1 -fsanitize=thread
FLAGS_cov := -O0 --coverage
FLAGS_fuzz := -O1 -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all
ifeq ($(FLAGS_$(FLAVOUR)),)
$(error FLAVOUR=$(FLAVOUR): one of release, san, tsan, cov)
endif
CFLAGS_ALL := $(BASE) $(WARN) $(FLAGS_$(FLAVOUR)) $(CFLAGS)
LIBS := -Wl,-z,relro,-z,now -levent_core -levent_extra -levent_pthreads -lnghttp2 -lssl -lcrypto -lyaml -lm
FLOORS := core conf codecs policies proxy
SUFFIX := $(if $(filter-out fuzz,$(FLAVOUR)),$(if $(filter clang%,$(CC)),-clang))
B := build/$(FLAVOUR)$(SUFFIX)
# Below this one, make is called again for another flavour; where make got no -j, it gets one.
PAR = $(if $(findstring jobserver,$(MAKEFLAGS)),,-j$(JOBS))

srcs = $(wildcard $(1)/*.c)
objs = $(patsubst %.c,$(B)/%.o,$(call srcs,$(1)))
OBJ_core := $(call objs,core)
OBJ_conf := $(call objs,conf) $(OBJ_core)
OBJ_codecs := $(call objs,codecs) $(OBJ_conf)
OBJ_policies := $(call objs,policies) $(OBJ_codecs)
OBJ_proxy := $(filter-out $(B)/proxy/main.o,$(call objs,proxy)) $(OBJ_policies)

all: build/curfew
	@:

# ---- the program
$(B)/curfew: $(OBJ_proxy) $(B)/proxy/main.o
	@echo "  link $@"
	$(Q)$(CC) $(CFLAGS_ALL) -o $@ $^ $(LDFLAGS) $(LIBS)
ifeq ($(B),build/release)
build/curfew: $(B)/curfew
	@cp -f $< $@
else
build/curfew: FORCE
	+@$(MAKE) $(PAR) --no-print-directory FLAVOUR=release CC=gcc $@
endif
program: $(B)/curfew

$(B)/%.o: %.c
	@mkdir -p $(@D)
	@echo "  $(CC) $@"
	$(Q)$(CC) $(CFLAGS_ALL) -MMD -MP -c -o $@ $<

# ---- tests
# A unit test of a floor links that floor and those below: tests/unit/FLOOR/x_test.c
define unit_rules
TESTS_$(1) := $$(patsubst %.c,$$(B)/%,$$(wildcard tests/unit/$(1)/*_test.c))
$$(B)/tests/unit/$(1)/%: $$(B)/tests/unit/$(1)/%.o $$(OBJ_$(1))
	$$(Q)$$(CC) $$(CFLAGS_ALL) -o $$@ $$^ $$(LDFLAGS) -lcmocka $$(LIBS)
unit-$(1): $$(TESTS_$(1))
	@set -e; for t in $$^; do echo "== $$$$t"; ./$$$$t; done
endef
$(foreach f,$(FLOORS),$(eval $(call unit_rules,$(f))))
# tests/contract links up to codecs, tests/flow all but main.
TESTS_contract := $(patsubst %.c,$(B)/%,$(wildcard tests/contract/*_test.c))
$(B)/tests/contract/%_test: $(B)/tests/contract/%_test.o $(OBJ_codecs)
	$(Q)$(CC) $(CFLAGS_ALL) -o $@ $^ $(LDFLAGS) -lcmocka $(LIBS)
TESTS_flow := $(patsubst %.c,$(B)/%,$(wildcard tests/flow/*_test.c))
$(B)/tests/flow/%_test: $(B)/tests/flow/%_test.o $(OBJ_proxy)
	$(Q)$(CC) $(CFLAGS_ALL) -o $@ $^ $(LDFLAGS) -lcmocka $(LIBS)
TESTS := $(foreach f,$(FLOORS) contract flow,$(TESTS_$(f)))
tests: $(TESTS)

test: need-test
	+@$(MAKE) $(PAR) --no-print-directory FLAVOUR=san CC=gcc program tests
	+@$(MAKE) $(PAR) --no-print-directory FLAVOUR=release CC=gcc all
	+@$(MAKE) $(PAR) --no-print-directory fuzzers
	@tests/run

# ---- fuzzers: tests/fuzz/NAME_fuzz.c becomes build/fuzz/NAME_fuzz, its seeds are in tests/fuzz/corpus/NAME
FUZZ_SECONDS ?= 300
FUZZERS := $(patsubst tests/fuzz/%.c,build/fuzz/%,$(wildcard tests/fuzz/*_fuzz.c))
ifeq ($(FLAVOUR),fuzz)
FUZZERS_PROXY := $(patsubst tests/fuzz/%.c,build/fuzz/%,$(shell grep -l '"proxy/' tests/fuzz/*_fuzz.c 2>/dev/null))
$(FUZZERS_PROXY): $(OBJ_proxy)
$(filter-out $(FUZZERS_PROXY),$(FUZZERS)): $(OBJ_policies)
$(B)/tests/fuzz/%.o: CFLAGS_ALL += -Wno-missing-prototypes
$(FUZZERS): build/fuzz/%: $(B)/tests/fuzz/%.o
	@echo "  link $@"
	$(Q)$(CC) $(CFLAGS_ALL) -fsanitize=fuzzer -o $@ $(sort $^) $(LDFLAGS) $(LIBS)
fuzzers: $(FUZZERS)
else
fuzzers: FORCE
	@echo 'int LLVMFuzzerTestOneInput(const char *p, unsigned long n); int LLVMFuzzerTestOneInput(const char *p, unsigned long n) { (void)p; return (int)(n & 0); }' | \
	clang -fsanitize=fuzzer,address,undefined -x c -o /dev/null - || \
	{ echo "fuzzers need clang and its runtime (Debian: clang libclang-rt-dev); they could not be built" >&2; exit 1; }
	+@$(MAKE) $(PAR) --no-print-directory FLAVOUR=fuzz CC=clang fuzzers
endif
fuzz: need-test
	+@$(MAKE) $(PAR) --no-print-directory fuzzers
	@tests/fuzz/run $(if $(FUZZ_RUNS),--runs $(FUZZ_RUNS),--seconds $(FUZZ_SECONDS)) $(FUZZ)

# ---- the rest
demo: need-demo
	+@$(MAKE) $(PAR) --no-print-directory FLAVOUR=release CC=gcc all
	@tests/demo/demo

lint: need-lint
	@tests/lint

coverage: need-test
	+@$(MAKE) $(PAR) --no-print-directory FLAVOUR=cov CC=gcc program tests
	@find build/cov -name '*.gcda' -delete
	@tests/run --flavour cov --no-fuzz; code=$$?; tests/coverage build/cov; exit $$code

# tests/bench/NAME.c becomes build/bench/NAME; bench.c is what they share.
BENCHES := $(patsubst tests/bench/%.c,build/bench/%,$(filter-out tests/bench/bench.c,$(wildcard tests/bench/*.c)))
$(BENCHES): build/bench/%: $(B)/tests/bench/%.o $(patsubst %.c,$(B)/%.o,$(wildcard tests/bench/bench.c)) $(OBJ_proxy)
	@mkdir -p $(@D)
	@echo "  link $@"
	$(Q)$(CC) $(CFLAGS_ALL) -o $@ $^ $(LDFLAGS) $(LIBS)
benches: $(BENCHES)
bench: need-bench
	+@$(MAKE) $(PAR) --no-print-directory FLAVOUR=release CC=gcc all benches
	@tests/bench/run
# The same requests through others, too, one after the other.
bench-beside: need-bench
	+@$(MAKE) $(PAR) --no-print-directory FLAVOUR=release CC=gcc all
	@tests/bench/beside

# Clients and servers in other languages against the gateway; installs their toolchains, so it is no part of `test`.
test-polyglot: need-build
	+@$(MAKE) $(PAR) --no-print-directory FLAVOUR=release CC=gcc all
	@tests/polyglot/run

# What TLS is when the kernel encrypts; boots a kernel that has TLS where this one has not.
test-ktls: need-ktls
	+@$(MAKE) $(PAR) --no-print-directory FLAVOUR=release CC=gcc all $(patsubst %.c,build/release/%,$(wildcard tests/unit/proxy/tls_*test.c))
	@tests/ktls/run

need-%:
	@deploy/need.sh $*

install: build/curfew
	install -D -m 755 build/curfew $(DESTDIR)$(PREFIX)/bin/curfew
	[ -e $(DESTDIR)$(SYSCONFDIR)/curfew/curfew.yaml ] || install -D -m 644 deploy/curfew.yaml $(DESTDIR)$(SYSCONFDIR)/curfew/curfew.yaml
	install -d $(DESTDIR)$(PREFIX)/lib/systemd/system
	sed -e 's|/usr/local/bin|$(PREFIX)/bin|g' -e 's|/etc/curfew|$(SYSCONFDIR)/curfew|g' deploy/curfew.service \
	  > $(DESTDIR)$(PREFIX)/lib/systemd/system/curfew.service
	install -D -m 644 LICENSE $(DESTDIR)$(PREFIX)/share/doc/curfew/LICENSE
	install -m 644 README.md $(wildcard docs/*.md) $(DESTDIR)$(PREFIX)/share/doc/curfew/
	install -d $(DESTDIR)$(PREFIX)/share/doc/curfew/examples
	install -m 644 $(wildcard conf/examples/*) $(DESTDIR)$(PREFIX)/share/doc/curfew/examples/

clean:
	rm -rf build

.PRECIOUS: $(B)/%.o
FORCE:
.PHONY: all program tests test fuzz fuzzers demo lint coverage bench bench-beside benches test-polyglot test-ktls install clean FORCE $(foreach f,$(FLOORS),unit-$(f))
-include $(shell find $(B) -name '*.d' 2>/dev/null)
