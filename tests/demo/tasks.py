# SPDX-License-Identifier: Apache-2.0
"""A Flask application under gunicorn (tests/polyglot/python/flask_app.py), which reads nothing of its socket while it works on a task; what it says of
its clients that leave."""
import os
import time

import plays
import table
from harness import Gone, eventually
from plays import Case, Got
from table import SLACK

STEPS = 40  # of 10 ms each
TITLE = (f"A Flask application under gunicorn, at work on a task of {STEPS} steps of 10 ms: its client closes some 60 ms after it began. It learns "
         "nothing from its connection; what it was told, and what it did, is its own record")
COLUMNS = [("rung", 10), ("the policy", 24), ("the application was told", 50), ("it worked", 26), ("ending", 14), ("level", 12)]
ROWS = [("call", "http1: [ call, close ]", "tasks.test", "side_channel"), ("close", "http1: [ close ]", "deaf.test", "close")]


def leave(stage, name, host):
    """A client that asks for the task, and closes; what came of it, and the line of the log."""
    case, got = Case(name, path=f"/tasks/{name}/run?steps={STEPS}", host=host, id=name), Got()
    client = plays.send(stage, case, got)
    eventually(lambda: stage.task(name), 5, "the task at the application")
    time.sleep(case.after / 1000)
    got.left = time.monotonic_ns()
    client.leave()
    got.line = eventually(lambda: stage.line(case.target()), 5, "its line in the access log")
    return got


def judge(got, task, level):
    """What is not as the policy says."""
    wrong = []

    def check(truth, what):
        if not truth:
            wrong.append(what)

    if level == "side_channel":
        check([t["reason"] for t in task["told"]] == ["client_closed"], "the application is told once, and why")
        check(task["told"] and 0 <= task["told"][0]["at"] - got.left / 1e6 < SLACK, "the application hears of the client's leaving at once")
        check(task["state"] == "cancelled" and task["steps"] < STEPS, "it stops")
    else:
        check(not task["told"], "nobody calls")
        check(task["state"] == "done" and task["steps"] == STEPS, "it works on to the end")
    check(got.line["ending"] == "client_closed", f"the ending is client_closed, not {got.line['ending']}")
    check(got.line.get("cancel_level") == level, f"the cancel level is {level}, not {got.line.get('cancel_level')}")
    return wrong


def cells(got, task):
    told = [f"DELETE /tasks/NAME, {t['reason']}, {t['at'] - got.left / 1e6:.2f} ms later" for t in task["told"]]
    ended = task["ended_at"] - got.left / 1e6
    did = f"{task['steps']} steps, {ended:.0f} ms for nobody" if ended > 0 else f"{task['steps']} steps"
    return ", ".join(told) or "nothing", did, got.line["ending"], got.line.get("cancel_level", "—")


def show(stage):
    """The table; whether each line is as it should be."""
    table.begin(TITLE, COLUMNS)
    good = []
    for rung, policy, host, level in ROWS:
        shown, wrong = ("—",) * 4, []
        try:
            name = f"{rung}-{os.getpid()}"
            got = leave(stage, name, host)
            task = eventually(lambda n=name: (t := stage.task(n)) and "ended_at" in t and t, 5, "the end of the task")
            shown, wrong = cells(got, task), judge(got, task, level)
        except (AssertionError, Gone, OSError) as e:
            wrong = [f"it goes through; but: {e}"]
        table.line(table.row([rung, policy, *shown], [width for _, width in COLUMNS]), wrong)
        good.append(not wrong)
    return good
