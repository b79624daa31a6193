# SPDX-License-Identifier: Apache-2.0
# Builds the programs of tests/polyglot into build/polyglot: make -f tests/polyglot/build.mk, from the project's root.
S := tests/polyglot
O := build/polyglot
Q := $(if $(V),,@)
say = @echo "  $(1) $@"

all: go python node cpp java
go: $(O)/go/peer
python: $(O)/python/echo_pb2.py $(O)/python/interop_pb2.py
node: $(O)/node/ready
cpp: $(O)/cpp/peer
java: $(O)/java/Peer.class

# golang-google-grpc-dev puts the library's source under /usr/share/gocode: a GOPATH, from before modules.
GO := GO111MODULE=off GOFLAGS= GOPATH=$(CURDIR)/$(O)/go:/usr/share/gocode GOCACHE=$(CURDIR)/$(O)/go/cache go
$(O)/go/src/polyglot/echo.pb.go: $(S)/echo.proto
$(O)/go/src/interop/interop.pb.go: $(S)/interop.proto
$(O)/go/src/%.pb.go:
	$(Q)mkdir -p $(@D)
	$(Q)protoc -I$(S) --go_out=plugins=grpc:$(@D) $<
$(O)/go/peer: $(wildcard $(S)/go/*.go) $(O)/go/src/polyglot/echo.pb.go $(O)/go/src/interop/interop.pb.go
	$(call say,go)
	$(Q)$(GO) build -o $@ ./$(S)/go

$(O)/python/%_pb2.py: $(S)/%.proto
	$(call say,protoc)
	$(Q)mkdir -p $(@D)
	$(Q)protoc -I$(S) --python_out=$(@D) --grpc_out=$(@D) --plugin=protoc-gen-grpc=/usr/bin/grpc_python_plugin $<

# What package-lock.json says, wherever npm gets it from; modules are found from the folder that the program is in.
$(O)/node/ready: $(S)/node/package.json $(S)/node/package-lock.json $(wildcard $(S)/node/*.js $(S)/node/*.mjs) $(wildcard $(S)/*.proto) $(O)/echo.pb
	$(call say,npm)
	$(Q)mkdir -p $(@D)
	$(Q)cp $(filter-out %.proto %.pb,$^) $(@D)/
	$(Q)cp $(filter %.proto,$^) $(O)/
	$(Q)cmp -s $(@D)/package-lock.json $(@D)/node_modules/.installed || \
	  { (cd $(@D) && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error) && cp $(@D)/package-lock.json $(@D)/node_modules/.installed; }
	$(Q)touch $@
$(O)/echo.pb: $(S)/echo.proto
	$(Q)mkdir -p $(@D)
	$(Q)protoc -I$(S) --descriptor_set_out=$@ $<

$(O)/cpp/echo.pb.cc: $(S)/echo.proto
	$(Q)mkdir -p $(@D)
	$(Q)protoc -I$(S) --cpp_out=$(@D) --grpc_out=$(@D) --plugin=protoc-gen-grpc=/usr/bin/grpc_cpp_plugin $<
$(O)/cpp/generated.o: $(O)/cpp/echo.pb.cc
	$(call say,g++)
	$(Q)cat $(@D)/echo.pb.cc $(@D)/echo.grpc.pb.cc | g++ -std=c++17 -O1 -I$(@D) -c -o $@ -x c++ -
$(O)/cpp/peer: $(S)/cpp/peer.cc $(O)/cpp/generated.o
	$(call say,g++)
	$(Q)g++ -std=c++17 -O1 -Wall -Wextra -I$(@D) -o $@ $^ $$(pkg-config --libs grpc++ protobuf) -pthread

JARS := $(patsubst %,/usr/share/java/%.jar,grpc-api grpc-core grpc-context grpc-stub grpc-protobuf grpc-protobuf-lite grpc-netty protobuf \
  protobuf-util gson guava perfmark-api geronimo-annotation-1.3-spec $(addprefix netty-,buffer codec codec-http codec-http2 common handler \
  resolver tcnative transport transport-native-unix-common))
empty :=
CLASSPATH := $(subst $(empty) $(empty),:,$(JARS))
# Debian's Netty has ALPN with OpenSSL alone, and looks for its library under another name than Debian's, which must be a file's own.
$(O)/java/src/polyglot/EchoGrpc.java: $(S)/echo.proto
	$(Q)mkdir -p $(O)/java/src
	$(Q)protoc -I$(S) --java_out=$(O)/java/src --grpc_out=$(O)/java/src --plugin=protoc-gen-grpc=/usr/bin/grpc_java_plugin $<
$(O)/java/Peer.class: $(S)/java/Peer.java $(O)/java/src/polyglot/EchoGrpc.java
	$(call say,javac)
	$(Q)javac -proc:none -nowarn -cp $(CLASSPATH) -d $(@D) $(S)/java/Peer.java $(O)/java/src/polyglot/*.java
	$(Q)cp /usr/lib/$$(gcc -print-multiarch)/jni/libnetty-tcnative.so $(@D)/libnetty_tcnative.so
	$(Q)echo '-cp $(CLASSPATH):$(@D) -Djava.library.path=$(@D)' > $(@D)/arguments

.PHONY: all go python node cpp java
.SECONDARY:
