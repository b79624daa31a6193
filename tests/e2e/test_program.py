# SPDX-License-Identifier: Apache-2.0
"""The commands: check, dialects, version, help; what they print and how they exit."""
import json
import os
import re

from harness import ROOT, curfew, expect

GOOD = """version: 1
listeners: { a: { address: "127.0.0.1:8080" } }
upstreams: { be: { protocol: http1, endpoints: [ "127.0.0.1:9000" ] } }
routes:
  - { match: { path: /* }, upstream: be }
"""


def check(text, **more):
    return curfew("check", "-c", "@", text=text, **more)


def test_version_and_help():
    """version and help exit 0; no command and an unknown one exit 2 and tell how it goes."""
    code, out, _ = curfew("version")
    expect(code, 0)
    assert re.match(r"curfew \d+\.\d+\.\d+", out), out
    code, out, _ = curfew("help")
    expect(code, 0)
    for word in ("run", "check", "dialects", "upstream", "version"):
        assert re.search(rf"^\s*(curfew )?{word}\b", out, re.M), f"{word} is not in:\n{out}"
    for arguments in ((), ("frobnicate",), ("run",), ("run", "--frobnicate")):
        code, out, err = curfew(*arguments)
        assert code != 0, arguments
        assert err or out, arguments


def test_check_accepts():
    """A good configuration: exit 0."""
    code, _, err = check(GOOD)
    expect((code, err), (0, ""))


def test_check_accepts_what_is_shipped():
    """The configuration under deploy/ is good."""
    with open(os.path.join(ROOT, "deploy", "curfew.yaml"), encoding="utf-8") as f:
        code, out, err = check(f.read())
    expect(code, 0, out + err)


def test_check_reports_all_faults_in_one_run():
    """Each fault has its line and column, all of them in one run; a near name is hinted at; exit 1."""
    text = GOOD.replace("upstreams:", "policies:\n  default:\n    deadline: { defautl: 5s, max: 90, min: [ 1 ] }\nupstreams:") + "  - { match: { path: /x }, upstream: bee }\n"
    code, out, err = check(text)
    said = out + err
    expect(code, 1)
    for where, words in (("5:17", "defautl"), ("5:35", "90"), ("5:44", "min"), ("9:38", "bee")):
        assert re.search(rf"curfew\.yaml:{where}: error: .*{words}", said), f"nothing at {where} of {words}:\n{said}"
    assert "default" in said.split("defautl", 1)[1].split("error")[0], f"no hint:\n{said}"
    assert '"90s"' in said or "90s" in said, f"no hint for 90:\n{said}"


def test_check_reports_repeated_keys_and_bad_yaml():
    """Repeated keys and broken YAML have their place, too."""
    code, out, err = check(GOOD + "version: 1\n")
    expect(code, 1)
    assert re.search(r"curfew\.yaml:6:1: error: ", out + err), out + err
    code, out, err = check("version: 1\nlisteners: { a: \n")
    expect(code, 1)
    assert re.search(r"curfew\.yaml:\d+:\d+: error: ", out + err), out + err


def test_check_of_a_file_that_is_not_there():
    """A missing file is said so, exit 1."""
    code, out, err = curfew("check", "-c", "nowhere.yaml")
    expect(code, 1)
    assert "nowhere.yaml" in out + err, out + err


def test_environment_in_values():
    """${NAME} and ${NAME:-default} are expanded; one that is not set is an error at its place."""
    text = GOOD.replace("127.0.0.1:9000", "${BE_HOST}:${BE_PORT:-9000}")
    expect(check(text, environment={"BE_HOST": "127.0.0.1"})[0], 0)
    code, out, err = check(text)
    expect(code, 1)
    assert re.search(r"curfew\.yaml:3:\d+: error: .*BE_HOST", out + err), out + err


def test_check_effective():
    """check --effective prints what counts, and what it prints is accepted again."""
    code, out, _ = curfew("check", "--effective", "-c", "@", text=GOOD)
    expect(code, 0)
    assert "x-request-timeout" in out and "drain_limit" in out, out
    code, again, err = check(out)
    expect(code, 0, again + err)


def test_run_refuses_a_bad_configuration():
    """run prints the same diagnostics and exits 1."""
    code, out, err = curfew("run", "-c", "@", text=GOOD.replace("http1", "htpt1"))
    expect(code, 1)
    assert re.search(r"curfew\.yaml:3:\d+: error: .*htpt1", out + err), out + err


def test_dialects():
    """dialects prints the table: every well-known one with its place and unit."""
    code, out, _ = curfew("dialects")
    expect(code, 0)
    for name in ("grpc-timeout", "connect-timeout-ms", "x-request-timeout", "x-envoy-expected-rq-timeout-ms", "l5d-request-timeout",
                 "finagle-ctx-com.twitter.finagle.deadline", "context-ttl-ms", "x-server-timeout", "x-stainless-timeout", "expect-within",
                 "x-yataxi-client-timeoutms", "tri-service-timeout", "x-context-deadline", "request-timeout", "query-timeout", "prefer-wait"):
        assert re.search(rf"^\s*{re.escape(name)}\b", out, re.M), f"{name} is not in:\n{out}"


def test_reference_and_schema():
    """reference prints every part of the configuration as Markdown, schema as a JSON Schema."""
    code, out, _ = curfew("reference")
    expect(code, 0)
    for word in ("listeners", "upstreams", "policies", "deadline", "half_close", "max_pending"):
        assert word in out, f"{word} is not in the reference"
    code, out, _ = curfew("schema")
    expect(code, 0)
    definitions = json.loads(out)["$defs"]
    assert "listeners" in definitions["configuration"]["properties"], out[:300]
