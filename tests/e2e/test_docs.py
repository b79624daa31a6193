# SPDX-License-Identifier: Apache-2.0
"""What documentation is made from the program: it must be as the program has it. UPDATE=1 writes it anew."""
import os
import re

from harness import ROOT, Gateway, curfew, expect

UPDATE = os.environ.get("UPDATE")


def expect_fresh(path, wanted):
    """The file is `wanted`, or is made so where UPDATE is set."""
    path = os.path.join(ROOT, path)
    if UPDATE:
        with open(path, "w", encoding="utf-8") as f:
            f.write(wanted)
    with open(path, encoding="utf-8") as f:
        text = f.read()
    for line, (is_, should) in enumerate(zip(text.split("\n"), wanted.split("\n")), 1):
        expect(is_, should, f"{os.path.relpath(path, ROOT)}:{line} is stale (UPDATE=1 tests/e2e/run docs)")
    expect(text, wanted)


def test_the_reference_is_fresh():
    """docs/configuration.md is what `curfew reference` prints."""
    code, out, err = curfew("reference")
    expect((code, err), (0, ""))
    expect_fresh("docs/configuration.md", out)


# ---- the table of endings ------------------------------------------------------------------------------------------------------------

GRPC = ("OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED",
        "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED")
TOLD = {"NOTHING": "—", "CANCEL": "cancelled", "NEVER_ASKED": "never asked", "PROTOCOL": "protocol error"}
ROW = re.compile(r'^ENDING\((\w+), *"(\w+)", *(\w+), *(\w+), *(\d+), *(\w+), *(\w+), *"([^"]*)"\)$', re.M)


def endings():
    """The rows of core/ending.def as a table; the answer is what is given where the policy says nothing else."""
    with open(os.path.join(ROOT, "core/ending.def"), encoding="utf-8") as f:
        text = f.read()
    rows = ROW.findall(text)
    expect(len(rows), len(re.findall(r"^ENDING\(", text, re.M)), "rows of core/ending.def that are understood")
    yield "| ending | who ended it | what happened | HTTP | gRPC | upstream |"
    yield "|---|---|---|---|---|---|"
    for _, name, side, http, grpc, _, told, sentence in rows:
        owed = http not in ("0", "ENDING_CUT")
        status = http if owed else "the connection or stream is reset" if http == "ENDING_CUT" else "—" if side == "NOBODY" else "none: the client is gone (log: 499)"
        yield f"| `{name}` | {side.lower()} | {sentence} | {status} | {GRPC[int(grpc)] if owed else '—'} | {TOLD[told]} |"


def test_the_table_of_endings_is_fresh():
    """The table of endings in docs/policies.md is that of core/ending.def."""
    begin, end = "<!-- endings -->\n", "<!-- end of endings -->\n"
    with open(os.path.join(ROOT, "docs/policies.md"), encoding="utf-8") as f:
        text = f.read()
    before, rest = text.split(begin)
    _, after = rest.split(end)
    expect_fresh("docs/policies.md", before + begin + "\n".join(endings()) + "\n" + end + after)


# ---- the table of metrics ----------------------------------------------------------------------------------------------------------------


def metrics():
    """The families that a gateway exports, in its own words."""
    with Gateway() as g:
        text = g.admin("/metrics").body.decode()
    helps = re.findall(r"^# HELP (\S+) (.*)$", text, re.M)
    types = dict(re.findall(r"^# TYPE (\S+) (\S+)$", text, re.M))
    expect(sorted(types), sorted(name for name, _ in helps), "families with a TYPE, and with a HELP")
    yield "| metric | type | |"
    yield "|---|---|---|"
    for name, words in helps:
        yield f"| `{name}` | {types[name]} | {words} |"


def test_the_table_of_metrics_is_fresh():
    """docs/operations.md names every metric that /metrics has, and no other."""
    begin, end = "<!-- metrics -->\n", "<!-- end of metrics -->\n"
    with open(os.path.join(ROOT, "docs/operations.md"), encoding="utf-8") as f:
        text = f.read()
    before, rest = text.split(begin)
    _, after = rest.split(end)
    expect_fresh("docs/operations.md", before + begin + "\n".join(metrics()) + "\n" + end + after)


def test_the_fields_of_the_log_are_those_of_the_documentation():
    """docs/operations.md names every field of the access log, and no other."""
    with open(os.path.join(ROOT, "proxy/access_log.c"), encoding="utf-8") as f:
        written = set(re.findall(r'PUT_\w+\(at, "(\w+)"|[{,]\\"(\w+)\\":', f.read()))
    written = {a or b for a, b in written}
    with open(os.path.join(ROOT, "docs/operations.md"), encoding="utf-8") as f:
        section = f.read().split("## The access log\n")[1].split("\n## ")[0]
    said = {name for row in re.findall(r"^\| (`.*?) \|", section, re.M) for name in re.findall(r"`(\w+)`", row)}
    expect(sorted(said ^ written), [])


def test_metrics_that_are_spoken_of_exist():
    """Wherever the documentation and the examples name a metric, there is one of that name."""
    known = {line.split("`")[1] for line in metrics() if "`" in line}
    pages = ["README.md"] + [os.path.join(f, n) for f in ("docs", "conf/examples") for n in os.listdir(os.path.join(ROOT, f))]
    for page in pages:
        with open(os.path.join(ROOT, page), encoding="utf-8") as f:
            for name in re.findall(r"\bcurfew_[a-z_]+\b", f.read()):
                assert name in known, f"{page}: there is no metric {name}"


def test_links_lead_somewhere():
    """Every relative link of the documentation is to a file, and to a heading that is there."""
    folder = os.path.join(ROOT, "docs")
    pages = [os.path.join(folder, name) for name in sorted(os.listdir(folder)) if name.endswith(".md")] + [os.path.join(ROOT, "README.md")]
    for page in pages:
        with open(page, encoding="utf-8") as f:
            text = f.read()
        for target in re.findall(r"\]\(([^)\s]+)\)", re.sub(r"```.*?```", "", text, flags=re.S)):
            if "://" in target:
                continue
            path, _, anchor = target.partition("#")
            path = os.path.normpath(os.path.join(os.path.dirname(page), path)) if path else page
            assert os.path.exists(path), f"{os.path.relpath(page, ROOT)}: {target} is no file"
            if anchor:
                with open(path, encoding="utf-8") as f:
                    headings = re.findall(r"^#+ +(.*)$", f.read(), re.M)
                anchors = [re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in headings]
                assert anchor in anchors, f"{os.path.relpath(page, ROOT)}: {target} is no heading"
