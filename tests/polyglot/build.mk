# SPDX-License-Identifier: Apache-2.0
# Builds the programs of tests/polyglot into build/polyglot: make -f tests/polyglot/build.mk, from the project's root.
S := tests/polyglot
O := build/polyglot
Q := $(if $(V),,@)
say = @echo "  $(1) $@"

all: go python node cpp java certificate
go: $(O)/go/peer
python: $(O)/python/echo_pb2.py $(O)/python/interop_pb2.py
node: $(O)/node/ready
cpp: $(O)/cpp/peer
java: $(O)/java/Peer.class
certificate: $(O)/cert.pem

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
$(O)/node/ready: $(S)/node/package.json $(S)/node/package-lock.json $(wildcard $(S)/node/*.js) $(wildcard $(S)/*.proto)
	$(call say,npm)
	$(Q)mkdir -p $(@D)
	$(Q)cp $(filter-out %.proto,$^) $(@D)/
	$(Q)cp $(filter %.proto,$^) $(O)/
	$(Q)cmp -s $(@D)/package-lock.json $(@D)/node_modules/.installed || \
	  { (cd $(@D) && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error) && cp $(@D)/package-lock.json $(@D)/node_modules/.installed; }
	$(Q)touch $@

GRPC_CPP := grpc++ protobuf
$(O)/cpp/echo.pb.cc: $(S)/echo.proto
	$(Q)mkdir -p $(@D)
	$(Q)protoc -I$(S) --cpp_out=$(@D) --grpc_out=$(@D) --plugin=protoc-gen-grpc=/usr/bin/grpc_cpp_plugin $<
$(O)/cpp/peer: $(S)/cpp/peer.cc $(O)/cpp/echo.pb.cc
	$(call say,g++)
	$(Q)g++ -std=c++17 -O1 -Wall -Wextra -I$(@D) -o $@ $(S)/cpp/peer.cc $(@D)/echo.pb.cc $(@D)/echo.grpc.pb.cc \
	  $$(pkg-config --cflags --libs $(GRPC_CPP)) -pthread

JARS := $(wildcard /usr/share/java/grpc-api.jar /usr/share/java/grpc-core.jar /usr/share/java/grpc-context.jar /usr/share/java/grpc-stub.jar \
  /usr/share/java/grpc-protobuf.jar /usr/share/java/grpc-protobuf-lite.jar /usr/share/java/grpc-netty.jar /usr/share/java/protobuf.jar \
  /usr/share/java/protobuf-util.jar /usr/share/java/netty-all.jar /usr/share/java/guava.jar /usr/share/java/failureaccess.jar \
  /usr/share/java/gson.jar /usr/share/java/libgoogle-gson-java.jar /usr/share/java/proto-google-common-protos.jar \
  /usr/share/java/googleapis-common-protos.jar /usr/share/java/perfmark-api.jar /usr/share/java/geronimo-annotation-1.3-spec.jar)
empty :=
CLASSPATH := $(subst $(empty) $(empty),:,$(JARS))
$(O)/java/src/polyglot/EchoGrpc.java: $(S)/echo.proto
	$(Q)mkdir -p $(O)/java/src
	$(Q)protoc -I$(S) --java_out=$(O)/java/src --grpc_out=$(O)/java/src --plugin=protoc-gen-grpc=/usr/bin/grpc_java_plugin $<
$(O)/java/Peer.class: $(S)/java/Peer.java $(O)/java/src/polyglot/EchoGrpc.java
	$(call say,javac)
	$(Q)javac -proc:none -nowarn -cp $(CLASSPATH) -d $(@D) $(S)/java/Peer.java $(O)/java/src/polyglot/*.java
	$(Q)echo '$(CLASSPATH):$(CURDIR)/$(@D)' > $(@D)/classpath

$(O)/cert.pem:
	$(Q)mkdir -p $(@D)
	$(Q)openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30 -subj /CN=localhost \
	  -addext subjectAltName=DNS:localhost,IP:127.0.0.1 -keyout $(O)/key.pem -out $@ 2>/dev/null

.PHONY: all go python node cpp java certificate
.SECONDARY:
