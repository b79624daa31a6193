# SPDX-License-Identifier: Apache-2.0
"""`curfew schema`, as an editor uses it: all that is accepted conforms, and what an editor should underline does not."""
import functools
import glob
import json
import os
import re

import jsonschema
import yaml

from harness import ROOT, curfew, expect, note


class Core(yaml.SafeLoader):
    """YAML 1.2's core schema, as editors read it: no dates, no sexagesimals, and `on` is a word."""
    yaml_implicit_resolvers = {}


for tag, pattern, first in (("null", r"^(~|null|)$", "~n"), ("bool", r"^(true|false)$", "tf"), ("int", r"^[-+]?[0-9]+$", "-+0123456789"),
                            ("float", r"^[-+]?[0-9]+\.[0-9]*$", "-+0123456789")):
    Core.add_implicit_resolver(f"tag:yaml.org,2002:{tag}", re.compile(pattern), [*first, ""])


@functools.lru_cache
def validator():
    code, out, err = curfew("schema")
    expect((code, err), (0, ""))
    schema = json.loads(out)
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def faults(text):
    return [f"{'.'.join(map(str, e.absolute_path))}: {e.message[:200]}" for e in validator().iter_errors(yaml.load(text, Core))]


def examples():
    paths = glob.glob(os.path.join(ROOT, "conf/examples/*.yaml")) + [os.path.join(ROOT, p) for p in ("deploy/curfew.yaml", "tests/demo/demo.yaml")]
    for path in sorted(paths):
        with open(path, encoding="utf-8") as f:
            yield os.path.relpath(path, ROOT), f.read()


def test_examples_conform():
    """Every configuration that is shipped conforms to the schema, and so does what `check --effective` makes of it."""
    n = 0
    for path, text in examples():
        expect(faults(text), [], path)
        code, effective, err = curfew("check", "-c", "@", "--effective", text=text)
        expect(code, 0, f"{path}: {err}")
        expect(faults(effective), [], f"{path} --effective")
        n += 1
    note(f"{n} files")


def test_ways_of_writing_conform():
    """What the loader takes in more than one form, the schema takes in each."""
    for text in ("{}", "workers: auto", "workers: 4", "admin:", "shutdown: { drain: 0 }", "shutdown: { drain: 1h30m }", "workers: ${WORKERS:-2}",
                 "upstreams: { a: { endpoints: x:1, tls: { min_version: 1.2 } } }", "upstreams: { a: { endpoints: [ x:1 ], tls: { min_version: '1.3' } } }",
                 "listeners: { a: { address: '127.0.0.1:1', http1: { max_head: 2048 } } }",
                 "listeners: { a: { address: '127.0.0.1:1', trust: 10.0.0.0/8, max_connections: none } }",
                 "upstreams: { u: { endpoints: u:1 }, v: { endpoints: v:1 } }\nroutes:\n  - match: { header: { x: 1, y: { at_least: 1.10 }, z: { present: true } } }\n"
                 "    upstreams: { u: 0, v: 1 }",
                 "policies: { a: , b: { extends: a, retry: ~, context: { fields: { x-a: } } } }", "policies: { a: { cancel: { http1: close }, answer: { deadline: { grpc: 4 } } } }",
                 "policies: { a: { deadline: { max: none, read: grpc-timeout }, retry: { budget: 0.5%, when: connect_failure } } }",
                 "policies: { a: { retry: { budget: { floor: 1 }, when: [ 503, UNAVAILABLE, upstream_closed ], backoff: { base: 0s }, hedge: { after: 1s } } } }",
                 "policies: { a: { retry: { budget: { ratio: 12.5% }, when: 429 } } }"):
        expect(curfew("check", "-c", "@", text=text)[0], 0, text)
        expect(faults(text), [], text)


def test_wrong_files_do_not_conform():
    """What no context is needed for, the schema refuses, too: unknown keys, wrong kinds, wrong words, malformed values."""
    for name in ("unknown_top_key", "unknown_nested_key", "unknown_codec_key", "list_for_a_map", "text_for_a_map", "map_for_a_list", "list_for_a_duration",
                 "bare_number_for_a_duration", "duration_in_other_words", "size_in_decimal_units", "rate_without_a_period", "percentage_without_its_sign",
                 "wrong_word", "yes_for_true", "quoted_truth", "log_level", "listener_without_address", "upstream_without_endpoints", "route_without_match",
                 "list_at_the_top", "workers_that_are_none", "workers_by_halves", "no_certificate", "deadline_mode_misspelt", "drain_without_end",
                 "answer_that_is_a_success", "answer_to_who_has_left", "call_without_path", "dialect_without_unit", "rung_misspelt", "policy_that_is_text", "retry_that_cannot_be"):
        with open(os.path.join(ROOT, "tests/conf/bad", name + ".yaml"), encoding="utf-8") as f:
            text = f.read()
        assert faults(text), f"{name} conforms to the schema:\n{text}"


def test_a_context_schema_has_a_schema():
    """`schema context`: docs/context.md's example conforms; an unknown key, a wrong word and a missing version do not."""
    code, out, _ = curfew("schema", "context")
    expect(code, 0)
    check = jsonschema.Draft202012Validator(json.loads(out))
    jsonschema.Draft202012Validator.check_schema(json.loads(out))
    with open(os.path.join(ROOT, "docs/context.md"), encoding="utf-8") as f:
        good = re.findall(r"^```yaml\n(version:.*?)^```$", f.read(), re.M | re.S)
    expect(len(good), 1)
    expect([e.message for e in check.iter_errors(yaml.load(good[0], Core))], [])
    for bad in ("fields: { x-a: {} }", "version: 1\nfeilds: {}", "version: 1\nfields: { x-a: { type: uid } }", "version: one", "version: 0"):
        assert list(check.iter_errors(yaml.load(bad, Core))), bad
