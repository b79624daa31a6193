#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Installs what is missing to build, test or show curfew on Debian or a relative of it, and says what. Silent where nothing is missing.
#   deploy/need.sh [-n] GROUP...     -n: say only, and exit 1 where something is missing
# Groups: build run test demo lint bench ktls polyglot node. Works as root, or through sudo.
set -eu

packages() {
    case $1 in
        build) echo gcc make libc6-dev libevent-dev libnghttp2-dev libssl-dev libyaml-dev ;;
        run) echo libevent-core-2.1-7 libevent-extra-2.1-7 libevent-pthreads-2.1-7 libnghttp2-14 libssl3 libyaml-0-2 ;;
        # clang and its runtime are for the fuzzers
        test) packages build && echo libcmocka-dev python3 python3-hpack python3-jsonschema python3-yaml clang libclang-rt-dev openssl ;;
        # Flask and gunicorn are the application that a side-channel call arrives at
        demo) packages build && echo python3 python3-hpack python3-flask gunicorn openssl ;;
        lint) packages test && echo clang-tidy shellcheck ;;
        bench) packages build && echo python3 python3-hpack openssl wrk nghttp2-client nginx-light haproxy ;;
        # a kernel that has TLS, for those whose own has not; Debian has it for two architectures
        ktls) packages test && echo kmod iproute2 && case $(dpkg --print-architecture 2>/dev/null) in amd64 | i386) echo user-mode-linux ;; esac ;;
        # a runtime and a gRPC library for each language of tests/polyglot
        polyglot) packages demo && echo curl nghttp2-client pkgconf protobuf-compiler protobuf-compiler-grpc golang-go \
            golang-google-grpc-dev golang-goprotobuf-dev golang-golang-x-sys-dev python3-grpcio python3-protobuf g++ libgrpc++-dev default-jdk-headless libgrpc-java \
            protobuf-compiler-grpc-java-plugin libprotobuf-java libnetty-java libnetty-tcnative-java libnetty-tcnative-jni \
            libgoogle-gson-java libguava-java libperfmark-java libgeronimo-annotation-1.3-spec-java ;;
        node) echo nodejs npm ;;
        *) echo "need.sh: no group '$1' (build run test demo lint bench ktls polyglot node)" >&2 && return 2 ;;
    esac
}

is_installed() {
    case $(dpkg-query -W -f='${Status}' "$1" 2>/dev/null) in
        *' installed') return 0 ;;
    esac
    # nginx comes in several packages that exclude each other
    [ "$1" = nginx-light ] && command -v nginx >/dev/null 2>&1
}

say_only=
if [ "${1:-}" = -n ]; then
    say_only=1
    shift
fi
[ $# -gt 0 ] || { echo "usage: need.sh [-n] GROUP..." >&2; exit 2; }

wanted=
for group in "$@"; do
    wanted="$wanted $(packages "$group")"
done

if ! command -v dpkg-query >/dev/null 2>&1; then
    # shellcheck disable=SC2086 # a list of words
    echo "need.sh: not a Debian system; see to these yourself, by their Debian names:" $wanted >&2
    exit 0
fi

missing=
for package in $wanted; do
    case " $missing " in *" $package "*) continue ;; esac
    is_installed "$package" || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

if [ -n "$say_only" ]; then
    echo "missing:$missing"
    exit 1
fi

root=
if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null 2>&1 || { echo "need.sh: as root, run: apt-get install$missing" >&2; exit 1; }
    root=sudo
fi

log=$(mktemp)
trap 'rm -f "$log"' EXIT
quietly() { # what it printed is shown only where it failed
    "$@" >"$log" 2>&1 </dev/null || { cat "$log" >&2; return 1; }
}
is_known() { # to apt's lists as they are now
    apt-cache show "$1" 2>/dev/null | grep -q '^Package:'
}
install_missing() {
    # shellcheck disable=SC2086 # a list of words
    quietly $root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends $missing
}

echo "installing, by apt-get:$missing"
updated=
for package in $missing; do
    is_known "$package" && continue
    echo "apt-get update, since $package is not in its lists"
    quietly $root apt-get update -q
    updated=1
    break
done
[ -n "$updated" ] && { install_missing; exit; }
# Lists that are there may be old, and name files that the mirror has no more.
install_missing 2>/dev/null || { echo "apt-get update, since the lists are old"; quietly $root apt-get update -q; install_missing; }
