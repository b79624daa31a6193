# SPDX-License-Identifier: Apache-2.0
"""Judging and showing: what came of a case against what its row says, as a line of a table."""
import os
import sys
import textwrap

from stage import CONFIG
import h2
from plays import ANSWERED, CALLED, CLOSED, NEVER_ASKED, TOLD_TO_STOP

SLACK = float(os.environ.get("DEMO_SLACK", "150"))
COLOURS = {"ok": "\033[32m", "NO": "\033[31m"} if sys.stdout.isatty() else {}
GRPC = ("OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED",
        "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED")
MILLISECONDS = {"ms": 1, "S": 1000, "m": 1, "u": 1e-3, "n": 1e-6, "": 1}  # by the suffix of what an upstream is told


def after(begun, then):
    return (then - begun) / 1e6


# ---- judging --------------------------------------------------------------------------------------------------------------------------


def late(ms, wanted):
    return wanted - 1 <= ms < wanted + SLACK  # the client's clock and the gateway's start within a millisecond


def is_as_told(value, most):
    digits = value.rstrip("msSun")
    return most - SLACK <= int(digits) * MILLISECONDS[value[len(digits):]] <= most


def judge_told(case, got):
    told = got.seen["told"]
    if case.told is None:
        return not told
    dialect, most = case.told
    return list(told) == [dialect] and is_as_told(told[dialect], most)


def how_it_ended(seen):
    """As the upstream saw it, in the words of a row."""
    if seen["how"] == "RST_STREAM":
        return f"RST_STREAM {h2.name_of(seen['wire'])}"
    if seen["how"] == "cancelled":
        return CALLED
    return ANSWERED if seen["answered"] and seen["how"] == ANSWERED else CLOSED


def judge_seen(case, got, check):
    check(judge_told(case, got), f"the upstream is told {case.told[0] + f': {case.told[1]:.0f}ms' if case.told else 'nothing'}")
    check(how_it_ended(got.seen) == case.saw, f"its request ends so: {case.saw}")
    check(got.seen["times"] == case.asked, f"the upstream is asked {case.asked} times, not {got.seen['times']}")
    if case.first:
        check(how_it_ended(got.first) == case.first, f"the first attempt ends so: {case.first}")
        check(0 <= after(got.seen["ended_ns"], got.first["ended_ns"]) < SLACK, "the loser hears of it at once")
    if case.saw in TOLD_TO_STOP and got.left:
        check(0 <= after(got.left, got.seen["ended_ns"]) < SLACK, "the upstream sees the client's leaving at once")
    if case.saw_at is not None:
        check(late(after(got.begun, got.seen["ended_ns"]), case.saw_at), f"the upstream sees it at {case.saw_at} ms")


def judge(case, got):
    """What is not as the row says, as sentences that say how it should be."""

    def check(truth, what):
        if not truth:
            got.wrong.append(what)

    check((got.seen is None) == (case.saw == NEVER_ASKED), "the upstream is not asked" if case.saw == NEVER_ASKED else "the upstream is asked")
    if got.seen and case.saw != NEVER_ASKED:
        judge_seen(case, got, check)
    check(got.status == case.status, f"the status is {case.status}, not {got.status}")
    check(got.grpc == case.grpc, f"grpc-status is {case.grpc}, not {got.grpc}")
    check(case.says is None or case.says in got.text, f"it says '{case.says}'")
    check(bool(got.cut) == case.cut, "the answer is cut short" if case.cut else "the answer is whole")
    if case.at is not None:
        check(late(after(got.begun, got.ended), case.at), f"it comes at {case.at} ms")
    check(got.line["ending"] == case.ending, f"the ending is {case.ending}, not {got.line['ending']}")
    check(case.attempts in (None, got.line.get("attempts")), f"there are {case.attempts} attempts, not {got.line.get('attempts')}")
    check(got.line.get("cancel_level") == case.level, f"the cancel level is {case.level}, not {got.line.get('cancel_level')}")


# ---- cells: what a column shows of a case ---------------------------------------------------------------------------------------------


def cell_sent(case, got):
    del got
    return case.sent or ", ".join(case.fields)


def cell_told(case, got):
    del case
    return ", ".join(f"{k}: {v}" for k, v in got.seen["told"].items()) or "nothing" if got.seen else "—"


def cell_saw(case, got):
    del case
    if got.seen is None:
        return NEVER_ASKED
    if got.seen["how"] == "open":
        return "no end of it"
    how = how_it_ended(got.seen)
    if how == CLOSED:
        how = {"client_reset": "RST", "upstream_closed": "it closed"}.get(got.seen["how"], got.seen["how"])
    if got.left and how != ANSWERED:
        return f"{how} {after(got.left, got.seen['ended_ns']):.2f} ms later"
    if got.first:
        return f"{how} (try 2), and the 1st {how_it_ended(got.first)} {after(got.seen['ended_ns'], got.first['ended_ns']):.2f} ms later"
    if got.seen["times"] > 1:
        return f"{how} (try {got.seen['times']})"
    return f"{how}, {after(got.begun, got.seen['ended_ns']):.0f} ms"


def cell_back(case, got):
    if not got.ended:
        return "— (it left)" if got.left else "—"
    what = got.status if case.grpc is None or got.grpc is None else f"grpc {got.grpc}"
    return f"{what}{' cut' if got.cut else ''}, {after(got.begun, got.ended):.0f} ms"


def cell_ending(case, got):
    del case
    return got.line["ending"] if got.line else "—"


def cell_level(case, got):
    del case
    return got.line.get("cancel_level", "—") if got.line else "—"


def cell_name(case, got):
    del got
    return case.name


CELLS = {"case": cell_name, "rung": cell_name, "the client": cell_sent, "the policy": cell_sent, "the upstream was told": cell_told,
         "it saw": cell_saw, "came back": cell_back, "ending": cell_ending, "level": cell_level}

# ---- lines ----------------------------------------------------------------------------------------------------------------------------


def row(cells, widths):
    return " ".join(f"{cell:{width}s}" for cell, width in zip(cells, widths)).rstrip()


def begin(title, columns):
    """columns: (name, width) each."""
    print("\n" + textwrap.fill(title, 138) + "\n\n   " + row([name for name, _ in columns], [width for _, width in columns]))
    print("   " + " ".join("-" * width for _, width in columns), flush=True)


def line(text, wrong):
    verdict = "NO" if wrong else "ok"
    print(f"{COLOURS[verdict] + verdict + chr(27) + '[0m' if COLOURS else verdict} {text}", flush=True)
    for what in wrong:
        print(textwrap.indent(textwrap.fill(f"should be: {what}", 130), "     "), flush=True)


def show(case, got, columns):
    line(row([CELLS[name](case, got) for name, _ in columns], [width for _, width in columns]), got.wrong)
    if case.says and got.text:
        print(textwrap.indent(textwrap.shorten(got.text, 132), "     "), flush=True)


def heading():
    print(f"{CONFIG}: default 1s, max 10s, min 10ms, reserve 5ms, which is kept back from the upstream")


def spread(values):
    return f"{min(values):.2f} to {max(values):.2f} ms"


def totals(played, others, took, clean):
    """others: whether each line that is no case was as it should be."""
    wrong = sum(bool(got.wrong) for _, got in played) + others.count(False)
    left = [after(got.left, got.seen["ended_ns"]) for case, got in played
            if case.saw in TOLD_TO_STOP and got.left and got.seen and got.seen["ended_ns"]]
    missed = [after(got.begun, got.ended) - case.at for case, got in played if case.ending == "deadline" and case.at and got.ended]
    parts = [f"{len(played) + len(others)} lines, {wrong or 'none'} not as the policy says"]
    if left:
        parts.append(f"the upstream saw a client leave after {spread(left)}")
    if missed:
        parts.append(f"the answer to a missed deadline came {spread(missed)} after it")
    parts.append("at the end nothing was left" if clean else "the programs did not end well")
    print("\n" + ";\n".join(parts) + f"; {took:.1f} s in all")
    return wrong
