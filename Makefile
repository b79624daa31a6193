# SPDX-License-Identifier: Apache-2.0
# make            builds build/curfew
# make demo       installs what is missing, builds, and shows the gateway at work
# make test       installs what is missing, and runs all tests that a change needs (under ten minutes)
# FLAVOUR: release (default), san (ASan and UBSan), tsan, cov. CC: gcc (default) or clang.

CC ?= gcc
ifeq ($(origin CC),default)
CC := gcc
endif
FLAVOUR ?= release
VERSION := 0.1.0

WARN := -Wall -Wextra -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes -Wswitch-enum -Wvla -Werror
BASE := -std=gnu17 -g -fno-omit-frame-pointer -pthread -I. -DCURFEW_VERSION='"$(VERSION)"'
FLAGS_release := -O2
FLAGS_san := -O1 -fsanitize=address,undefined -fno-sanitize-recover=all
FLAGS_tsan := -O1 -fsanitize=thread
FLAGS_cov := -O0 --coverage
CFLAGS_ALL := $(BASE) $(WARN) $(FLAGS_$(FLAVOUR)) $(CFLAGS)
LIBS := -levent_core -levent_extra -levent_pthreads -lnghttp2 -lssl -lcrypto -lyaml -lm
FLOORS := core conf codecs policies proxy
SUFFIX := $(if $(filter clang%,$(CC)),-clang)
B := build/$(FLAVOUR)$(SUFFIX)

srcs = $(wildcard $(1)/*.c)
objs = $(patsubst %.c,$(B)/%.o,$(call srcs,$(1)))
OBJ_core := $(call objs,core)
OBJ_conf := $(call objs,conf) $(OBJ_core)
OBJ_codecs := $(call objs,codecs) $(OBJ_conf)
OBJ_policies := $(call objs,policies) $(OBJ_codecs)
OBJ_proxy := $(filter-out $(B)/proxy/main.o,$(call objs,proxy)) $(OBJ_policies)

all: build/curfew
build/curfew: $(if $(filter release,$(FLAVOUR)),$(B)/curfew,FORCE)
	@[ "$(FLAVOUR)" = release ] && cp -f $(B)/curfew $@ || $(MAKE) FLAVOUR=release build/curfew
$(B)/curfew: $(OBJ_proxy) $(B)/proxy/main.o
	$(CC) $(CFLAGS_ALL) -o $@ $^ $(LDFLAGS) $(LIBS)

$(B)/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(CFLAGS_ALL) -MMD -MP -c -o $@ $<

# A unit test of a floor links that floor and those below: tests/unit/FLOOR/x_test.c
define unit_rules
TESTS_$(1) := $$(patsubst %.c,$$(B)/%,$$(wildcard tests/unit/$(1)/*_test.c))
$$(B)/tests/unit/$(1)/%: $$(B)/tests/unit/$(1)/%.o $$(OBJ_$(1))
	$$(CC) $$(CFLAGS_ALL) -o $$@ $$^ $$(LDFLAGS) -lcmocka $$(LIBS)
unit-$(1): $$(TESTS_$(1))
	@set -e; for t in $$^; do echo "== $$$$t"; ./$$$$t; done
endef
$(foreach f,$(FLOORS),$(eval $(call unit_rules,$(f))))
# tests/contract links up to codecs, tests/flow all but main.
TESTS_contract := $(patsubst %.c,$(B)/%,$(wildcard tests/contract/*_test.c))
$(B)/tests/contract/%_test: $(B)/tests/contract/%_test.o $(OBJ_codecs)
	$(CC) $(CFLAGS_ALL) -o $@ $^ $(LDFLAGS) -lcmocka $(LIBS)
TESTS_flow := $(patsubst %.c,$(B)/%,$(wildcard tests/flow/*_test.c))
$(B)/tests/flow/%_test: $(B)/tests/flow/%_test.o $(OBJ_proxy)
	$(CC) $(CFLAGS_ALL) -o $@ $^ $(LDFLAGS) -lcmocka $(LIBS)
.PRECIOUS: $(B)/%.o
FORCE:
clean:
	rm -rf build
.PHONY: all clean FORCE $(foreach f,$(FLOORS),unit-$(f))
-include $(shell find build -name '*.d' 2>/dev/null)
