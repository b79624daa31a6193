# SPDX-License-Identifier: Apache-2.0
"""Servers that learn nothing from a closed connection, and are told by a call on another one: a Flask application under gunicorn, and a server whose tasks
are cancelled as Elasticsearch's are. What each case asserts of them is their own record; that they work on where nobody calls is asserted, too."""
import concurrent.futures
import contextlib
import itertools
import json
import os
import re
import socket
import statistics
import subprocess
import time
import urllib.error
import urllib.request

import peers
from http_cases import CLIENTS, Client, Run, curl
from peers import HERE, PATIENCE, ROOT, Gateway, TooLate, eventually, expect, expect_between, expect_in, free_port, in_time

SOON = 5000   # ms in which a call must have come, however busy the machine: a task works twice as long
STEP = 10     # ms that a step of a task takes at least
# Of which the next is tried where the machine was too slow for the first.
LIMITS = [400, 1600, 6400]  # ms: what a client gives, or curl gives itself
SHORT = [300, 1200, 4800]   # ms: what the policies "short-300" to "short-4800" give
STEPS = [50, 200, 800]      # of a task, or of an answer that is held back: in which a client leaves
LEFT = ("client_closed", "client_reset")
CALL = {"method": "DELETE", "path": "/tasks/{request.path.name}", "headers": {"x-reason": "{ending}"}, "timeout": "20s"}
POLICIES = {
    "default": {"deadline": {"default": "30s", "max": "60s"}, "cancel": {"http1": ["call", "close"], "call": CALL}},
    "deaf": {"extends": "default", "cancel": {"http1": ["close"]}},
    "drains": {"extends": "default", "cancel": {"http1": ["call", "drain"], "drain_limit": {"time": "20s"}}},
    **{f"short-{ms}": {"extends": "default", "deadline": {"default": f"{ms}ms"}} for ms in SHORT},
    "left": {"extends": "default", "cancel": {"call": {"endings": [*LEFT, "client_deadline"]}}},
    "named": {"extends": "default", "cancel": {"call": {"path": "/tasks/{response.x-task-id}"}}},
    "waits": {"extends": "default", "cancel": {"call": {"method": "POST", "path": "/_tasks/{request.path.name}/_cancel"}}},
    "searches": {"extends": "default", "cancel": {"call": {"path": "/_async_search/{request.path.name}"}}},
}
ROUTES = [("/tasks/{name}/run", "app", ["default", "deaf", "drains", *(f"short-{ms}" for ms in SHORT), "left"]),
          ("/exports/{name}", "app", ["named", "deaf"]), ("/_tasks/{name}", "search", ["waits", "deaf"]),
          ("/_async_search/{name}", "search", ["searches", "deaf"])]
COMMANDS = {
    "app": lambda host, port: ["/usr/bin/python3", "-m", "gunicorn", "--worker-class", "gthread", "--threads", "32", "--keep-alive", "60",
                               "--chdir", HERE + "/python", "--bind", f"{host}:{port}", "flask_app:app"],
    "search": lambda host, port: ["/usr/bin/python3", HERE + "/python/search_server.py", host, str(port)],
}


def now():
    return time.monotonic() * 1000


class Server:
    """A program of the folder python."""

    def __init__(self, name):
        host, port = "127.0.0.1", free_port("127.0.0.1")
        self.address = f"{host}:{port}"
        with open(os.path.join(peers.OUT, f"{name}.log"), "w", encoding="utf-8") as log:
            self.process = subprocess.Popen(COMMANDS[name](host, port), cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            env={**os.environ, **peers.ENVIRONMENT})
        eventually(self.listens, 20, f"the server '{name}'")

    def listens(self):
        host, port = self.address.split(":")
        with contextlib.suppress(ConnectionRefusedError), socket.create_connection((host, int(port)), timeout=5):
            return True
        return False

    def ask(self, method, path, **fields):
        """Straight, not by the gateway: JSON; None where there is no such thing."""
        request = urllib.request.Request(f"http://{self.address}{path}", method=method, headers={k.replace("_", "-"): v for k, v in fields.items()})
        try:
            with urllib.request.urlopen(request, timeout=2 * PATIENCE) as answer:
                return json.loads(answer.read() or b"null")
        except urllib.error.HTTPError as e:
            expect(e.code, 404, f"status of {method} {path}")
            return None

    def stop(self):
        self.process.terminate()
        self.process.wait(10)


class Stage:
    """The gateway between HTTP clients and both servers."""

    def __init__(self, gateway, servers):
        self.gateway, self.app, self.search = gateway, servers["app"], servers["search"]
        self.numbers = itertools.count(1)
        self.noticed = []  # ms from an ending to the call

    def open(self, client, policy, path, **headers):
        """path: where {} is the task's name. Returns the client's run, and the name."""
        name = f"task-{next(self.numbers)}"
        return self.open_named(client, policy, path.format(name), **headers), name

    def open_named(self, client, policy, path, **headers):
        fields = {"user-agent": client.name, "x-policy": policy, **{k.replace("_", "-"): v for k, v in headers.items()}}
        return client.run(self.gateway.addresses["tls" if client.scheme == "https" else "plain"], path, fields)

    # -- the application's record
    def task(self, name):
        return self.app.ask("GET", f"/tasks/{name}")

    def works(self, name, steps=3):
        return eventually(lambda: (t := self.task(name)) and t["steps"] >= steps and t, PATIENCE, "the task")

    def over(self, name):
        return eventually(lambda: (t := self.task(name)) and "ended_at" in t and t, PATIENCE, "the end of the task")

    def expect_told(self, name, since, reasons):
        """The one call came at once."""
        task = self.expect_told_between(name, since - 1, since + SOON, reasons)
        self.noticed.append(task["told"][0]["at"] - since)
        return task

    def expect_told_later(self, name, asked, reasons, after):
        """The one call came so many ms after the client had asked, of which the application has not seen the first."""
        begun = self.begun_by_now(name)["begun_at"]
        if begun >= asked + after and not self.over(name)["told"]:
            raise TooLate("the application began when the call had come")
        return self.expect_told_between(name, max(asked + after, begun), begun + after + SOON, reasons)

    def expect_told_between(self, name, least, most, reasons):
        """And the work ended with the step that was under way."""
        task = self.over(name)
        expect((task["state"], len(task["told"])), ("cancelled", 1), "the task, and the calls for it")
        call = task["told"][0]
        expect_in(call["reason"], reasons, "{ending} in the call")
        expect_between(call["at"] - least, 0, most - least, "ms until the call")
        expect_between(task["ended_at"] - call["at"], 0, SOON, "ms that the application worked on")
        return task

    def begun_by_now(self, name):
        """Of a request that is over for its client: whether its time was enough to get to the application."""
        try:
            return eventually(lambda: self.task(name), 1, "the task")
        except AssertionError as e:
            raise TooLate(f"{name} did not reach the application") from e

    def expect_untold(self, name, since):
        """It worked on after that, step by step, and to its end."""
        task = self.over(name)
        expect((task["state"], task["told"]), ("done", []), "the task, and the calls for it")
        if task["ended_at"] < since + 20 * STEP:
            raise TooLate("the application had no more to do")
        return task

    # -- the gateway's
    def logged(self, name):
        is_its = lambda line: name in re.split("[/?]", line["path"])  # noqa: E731
        return eventually(lambda: next(filter(is_its, self.gateway.lines()), None), PATIENCE, "its line in the log")

    def expect_logged(self, name, endings, level):
        line = self.logged(name)
        if line["ending"] == "completed" or line.get("cancel_level") == "withdrawn":
            raise TooLate(f"{name} was {line.get('cancel_level', 'answered')}")
        expect_in(line["ending"], endings, "ending in the log")
        expect(line.get("cancel_level"), level, "cancel_level in the log")
        return line


def leave(run):
    since = now()
    run.leave()
    return since


# ---- every client, the application


def a_client_that_leaves(stage, client):
    run, name = stage.open(client, "default", "/tasks/{}/run")
    with run:
        stage.works(name)
        since = leave(run)
    task = stage.expect_told(name, since, LEFT)
    expect(task["told"][0]["reason"], stage.expect_logged(name, LEFT, "side_channel")["ending"], "{ending} in the call")


def a_client_whose_deadline_passes(stage, client):
    """It is answered; the application, which was told the time and does not look at it, is called."""
    def case(limit):
        asked = now()
        run, name = stage.open(client, "default", "/tasks/{}/run", x_request_timeout=f"{limit}ms")
        with run:
            expect_in(run.whole()[0], (504, None), "status")
        task = stage.expect_told_later(name, asked, ("deadline",), limit)
        expect_between(int(task["deadline"][:-2]), 1, limit - 1, "ms that the application was told")
        stage.expect_logged(name, ("deadline",), "side_channel")
    in_time(case, *LIMITS)


EACH = [a_client_that_leaves, a_client_whose_deadline_passes]

# ---- once, the application


def nobody_hears(stage, client, path, began=lambda run: None):
    """Of a client that leaves in the middle: path's {steps} are all worked."""
    def case(steps):
        run, name = stage.open(client, "deaf", path.replace("{steps}", str(steps)))
        with run:
            began(run)
            stage.works(name)
            since = leave(run)
        stage.expect_logged(name, LEFT, "close")
        expect(stage.expect_untold(name, since)["steps"], steps, "steps that it worked")
    in_time(case, *STEPS)


HTTP1 = next(c for c in CLIENTS if c.name == "http.client")
HTTP2 = next(c for c in CLIENTS if c.name == "node http2 (TLS)")


def nobody_calls(stage):
    """The control: the connection is closed, and the application works on to the end of a task that nobody waits for."""
    for client in (HTTP1, HTTP2, CLIENTS[0]):
        nobody_hears(stage, client, "/tasks/{}/run?steps={steps}")


def a_deadline_that_the_client_keeps_to_itself(stage):
    """curl --max-time: the gateway sees but a connection that closes."""
    for option in ("--http1.1", "--http2-prior-knowledge"):
        def case(limit):
            client, asked = Client("curl", curl(option, "--max-time", str(limit / 1000)), status_last=True), now()  # pylint: disable=cell-var-from-loop
            run, name = stage.open(client, "default", "/tasks/{}/run")
            with run:
                expect(run.process.wait(PATIENCE), 28, "exit code: it timed out")
            stage.expect_told_later(name, asked, LEFT, limit)
            stage.expect_logged(name, LEFT, "side_channel")
        in_time(case, *LIMITS)


def the_deadline_of_the_policy(stage):
    for client in (HTTP1, HTTP2):
        def case(limit):
            asked = now()
            run, name = stage.open(client, f"short-{limit}", "/tasks/{}/run")  # pylint: disable=cell-var-from-loop
            with run:
                expect(run.whole()[0], 504, "status")
            stage.expect_told_later(name, asked, ("deadline",), limit)
            stage.expect_logged(name, ("deadline",), "side_channel")
        in_time(case, *SHORT)


def nothing_is_left_to_cancel(stage):
    """404: the task is done, and its client leaves before it has the answer. That counts as told."""
    for client in (HTTP1, HTTP2):
        def case(after):
            run, name = stage.open(client, "default", f"/tasks/{{}}/run?steps=3&after={after}")  # pylint: disable=cell-var-from-loop
            with run:
                stage.over(name)
                leave(run)
            stage.expect_logged(name, LEFT, "side_channel")
            task = stage.task(name)
            expect((task["state"], [t.get("late") for t in task["told"]]), ("done", [True]), "the task, and the calls for it")
        in_time(case, *STEPS)


def only_the_named_endings_call(stage):
    """`endings` names those of a client that left: a deadline closes the connection, and calls nobody."""
    def case(limit):
        run, name = stage.open(HTTP1, "left", f"/tasks/{{}}/run?steps={2 * limit // STEP}", x_request_timeout=f"{limit}ms")
        with run:
            status = run.whole()[0]
        stage.expect_logged(name, ("deadline",), "close")
        expect(status, 504, "status")
        stage.expect_untold(name, stage.begun_by_now(name)["begun_at"] + limit)
    in_time(case, *LIMITS)
    run, name = stage.open(HTTP1, "left", "/tasks/{}/run")
    with run:
        stage.works(name)
        since = leave(run)
    stage.expect_told(name, since, LEFT)
    stage.expect_logged(name, LEFT, "side_channel")


def the_answer_names_the_task(stage):
    """{response.x-task-id}: the head of the answer has come, and its body is what nobody wants any more."""
    for client in (HTTP1, HTTP2):
        run, name = stage.open(client, "named", "/exports/{}")
        with run:
            run.first()
            stage.works(name)
            since = leave(run)
        stage.expect_told(name, since, LEFT)
        expect(stage.expect_logged(name, LEFT, "side_channel")["status"], 200, "status in the log")


def the_answer_names_the_task_too_late(stage):
    """Before there is a head the name has no value: no call is made, since half a path would cancel something else."""
    def case(steps):
        run, name = stage.open(HTTP1, "named", f"/exports/{{}}?before={steps}&steps=0")
        with run:
            stage.works(name)
            leave(run)
        if stage.logged(name)["status"] == 200:
            raise TooLate("the head had come")
        stage.expect_logged(name, LEFT, "close")
        expect(stage.works(name, steps)["told"], [], "calls for a task that works on")
    in_time(case, *STEPS)
    expect("{…x-task-id} has no value" in stage.gateway.messages(), True, "a line of the log that says so")


def an_export_that_nobody_calls_for(stage):
    """The control: an answer that has begun is no better heard, while nothing more of it is written."""
    nobody_hears(stage, HTTP2, "/exports/{}?steps={steps}", Run.first)


def a_cancelled_task_gives_its_connection_back(stage):
    """[call, drain]: the application, once told, answers with what it has; that is thrown away, and the connection is used again."""
    before = stage.gateway.metric("curfew_upstream_reuses_total")
    run, name = stage.open(HTTP1, "drains", "/tasks/{}/run")
    with run:
        stage.works(name)
        since = leave(run)
    stage.expect_told(name, since, LEFT)
    stage.expect_logged(name, LEFT, "side_channel")
    run, _ = stage.open(HTTP1, "drains", "/tasks/{}/run?steps=1")
    with run:
        expect(run.whole()[0], 200, "status")
    expect_between(stage.gateway.metric("curfew_upstream_reuses_total") - before, 1, 2, "requests on a connection that was there")


def many_at_once(stage):
    """Ten clients leave, each of its own task; ten that stay get their answers."""
    gone, stay = ([stage.open(HTTP1, "default", "/tasks/{}/run?steps=" + steps) for _ in range(10)] for steps in ("2500", "200"))
    with contextlib.ExitStack() as runs:
        for run, name in gone + stay:
            runs.enter_context(run)
        for _, name in gone + stay:
            stage.works(name)
        for name, since in [(name, leave(run)) for run, name in gone]:
            stage.expect_told(name, since, LEFT)
        for run, name in stay:
            expect(run.whole()[0], 200, "status")
            expect((stage.task(name)["state"], stage.task(name)["steps"]), ("done", 200), "the task of a client that stayed")


# ---- once, the server of tasks


def begun(stage, path, key):
    """Started straight at the server; the id that it gives."""
    return stage.search.ask("POST", path, X_Opaque_Id=f"opaque-{now()}")[key]


def waited_for(stage, name):
    eventually(lambda: stage.search.ask("GET", f"/_tasks/{name}")["task"]["waiting"], PATIENCE,
               "the client that waits for the task")


def expect_cancelled(stage, name, since, after=0):
    task = eventually(lambda: (t := stage.search.ask("GET", f"/_tasks/{name}"))["completed"] and t["task"], PATIENCE,
                      "the end of the task")
    expect(task["cancelled"], True, "the task is cancelled")
    expect_between(task["cancelled_at"] - since, after - 1, after + SOON, "ms until the call")
    if not after:
        stage.noticed.append(task["cancelled_at"] - since)


def who_waits_for_a_task_leaves(stage):
    """GET _tasks/ID?wait_for_completion=true: the task is what its client waits for; the call is POST _tasks/ID/_cancel, and no other task hears of it."""
    for client in (HTTP1, HTTP2):
        name = begun(stage, "/logs/_delete_by_query?wait_for_completion=false", "task")
        other = begun(stage, "/logs/_delete_by_query?wait_for_completion=false&steps=100", "task")
        with stage.open_named(client, "waits", f"/_tasks/{name}?wait_for_completion=true&timeout=30s") as run:
            waited_for(stage, name)
            since = leave(run)
        expect_cancelled(stage, name, since)
        stage.expect_logged(name, LEFT, "side_channel")
        task = stage.search.ask("GET", f"/_tasks/{other}?wait_for_completion=true&timeout=30s")["task"]
        expect((task["cancelled"], task["steps"]), (False, 100), "its neighbour")


def who_waits_for_a_task_has_a_deadline(stage):
    def case(limit):
        name = begun(stage, "/logs/_delete_by_query?wait_for_completion=false&steps=2000", "task")
        since = now()
        with stage.open_named(HTTP1, "waits", f"/_tasks/{name}?wait_for_completion=true&timeout=30s", x_request_timeout=f"{limit}ms") as run:
            expect(run.whole()[0], 504, "status")
        stage.expect_logged(name, ("deadline",), "side_channel")
        expect_cancelled(stage, name, since, limit)
    in_time(case, *LIMITS)


def who_waits_for_a_task_leaves_and_nobody_calls(stage):
    """The control."""
    def case(steps):
        name = begun(stage, f"/logs/_delete_by_query?wait_for_completion=false&steps={steps}", "task")
        with stage.open_named(HTTP1, "deaf", f"/_tasks/{name}?wait_for_completion=true&timeout=30s") as run:
            waited_for(stage, name)
            leave(run)
        stage.expect_logged(name, LEFT, "close")
        task = stage.search.ask("GET", f"/_tasks/{name}?wait_for_completion=true&timeout=60s")["task"]
        expect((task["cancelled"], task["steps"]), (False, steps), "the task that nobody waits for")
    in_time(case, *(2 * n for n in STEPS))


def an_async_search_is_deleted(stage):
    name = begun(stage, "/logs/_async_search", "id")
    with stage.open_named(HTTP2, "searches", f"/_async_search/{name}?wait_for_completion_timeout=30s") as run:
        waited_for(stage, name)
        since = leave(run)
    expect_cancelled(stage, name, since)
    stage.expect_logged(name, LEFT, "side_channel")


ONCE = [nobody_calls, a_deadline_that_the_client_keeps_to_itself, the_deadline_of_the_policy, nothing_is_left_to_cancel, only_the_named_endings_call,
        the_answer_names_the_task, the_answer_names_the_task_too_late, an_export_that_nobody_calls_for, a_cancelled_task_gives_its_connection_back,
        many_at_once, who_waits_for_a_task_leaves, who_waits_for_a_task_has_a_deadline, who_waits_for_a_task_leaves_and_nobody_calls,
        an_async_search_is_deleted]

# ---- running


def gateway(servers):
    tls = {"tls": {"tls": {"certificates": [{"certificate": peers.CERTIFICATE, "key": peers.KEY}]}}}
    routes = [{"match": {"path": path, "header": {"x-policy": policy}}, "upstream": upstream, "policy": policy}
              for path, upstream, policies in ROUTES for policy in policies]
    return Gateway(servers, upstream={"connect_timeout": "20s"}, routes=routes, listeners=tls, more={"policies": POLICIES})


def run_all(o, report):
    begin, failed, servers = time.monotonic(), report.failed, {}
    each = [(f"{client.name} {case.__name__}", case, client) for client in CLIENTS for case in EACH]
    each, once = ([t for t in todo if o.match in t[0]] for todo in (each, [(c.__name__, c) for c in ONCE]))
    try:
        servers = {name: Server(name) for name in COMMANDS}
        with gateway(servers) as g:
            stage = Stage(g, servers)
            with concurrent.futures.ThreadPoolExecutor(2 * o.jobs) as pool:
                for r in [pool.submit(report.run, f"tasks: {name}", case, stage, client) for name, case, client in each]:
                    r.result()
            for name, case in once:
                report.run(f"tasks: {name}", case, stage)
            report.run_again()
    finally:
        for s in servers.values():
            s.stop()
    print(f"tasks: {len(each) + len(once)} cases, {report.failed - failed} failed, {time.monotonic() - begin:.1f} s" +
          (f"; {len(stage.noticed)} calls came to a server: median {statistics.median(stage.noticed):.1f} ms, max {max(stage.noticed):.1f} ms"
           if stage.noticed else ""), flush=True)
