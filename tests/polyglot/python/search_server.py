# SPDX-License-Identifier: Apache-2.0
"""A server whose long work is done by tasks, as Elasticsearch's is: `search_server.py HOST PORT`, a thread a connection. As there,

- POST /INDEX/_delete_by_query?wait_for_completion=false answers at once with {"task": "NODE:NUMBER"};
- GET /_tasks/NODE:NUMBER?wait_for_completion=true&timeout=30s is answered when the task is over; without it at once. That a client who waits so has
  closed its connection changes nothing for the task (nor does it for a _delete_by_query that waits itself, whose id nobody else is told; a _search
  alone, since 7.4, ends with its connection);
- POST /_tasks/NODE:NUMBER/_cancel cancels it. Its answer is 200 with the task under `nodes`, or, where the task is over, 200 with `node_failures`
  (resource_not_found_exception). There is no cancelling by X-Opaque-Id, which only shows in the list;
- POST /_tasks/_cancel?actions=*delete/byquery cancels all of a kind;
- POST /INDEX/_async_search answers with {"id": …, "is_running": true}, GET /_async_search/ID waits as long as wait_for_completion_timeout says, and
  DELETE /_async_search/ID cancels: 200 {"acknowledged": true}, or 404 where there is no such search.

(docs/reference/cluster/tasks.asciidoc, search/async-search.asciidoc; RestCancelTasksAction, TransportCancelTasksAction.)
"""
import fnmatch
import itertools
import json
import re
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

NODE = "oTUltX4IQMOUUVeiohTt8A"
STEP = 0.01  # seconds
ACTIONS = {"_delete_by_query": "indices:data/write/delete/byquery", "_async_search": "indices:data/read/async_search/submit"}
numbers = itertools.count(1)
tasks = {}


class Task:
    """Cancelled is a flag that its own thread looks at between two steps."""

    def __init__(self, action, steps, opaque_id):
        self.number, self.action, self.opaque_id = next(numbers), action, opaque_id
        self.left, self.steps, self.cancelled_at, self.waiting = steps, 0, None, 0
        self.over = threading.Event()
        self.id = f"{NODE}:{self.number}"
        tasks[self.id] = self
        threading.Thread(target=self._work, daemon=True).start()

    def _work(self):
        while self.left and not self.cancelled_at:
            self.left -= 1
            self.steps += 1
            time.sleep(STEP)
        self.over.set()

    def cancel(self):
        self.cancelled_at = self.cancelled_at or time.monotonic() * 1000

    def info(self):
        return {"node": NODE, "id": self.number, "type": "transport", "action": self.action, "cancellable": True,
                "cancelled": self.cancelled_at is not None, "cancelled_at": self.cancelled_at, "steps": self.steps, "waiting": self.waiting,
                "headers": {"X-Opaque-Id": self.opaque_id} if self.opaque_id else {}}

    def wait(self, limit):
        self.waiting += 1
        self.over.wait(limit)

    def result(self):
        return {"completed": self.over.is_set(), "task": self.info()}


def nodes_of(found):
    return {"nodes": {NODE: {"name": "node-1", "tasks": {t.id: t.info() for t in found}}} if found else {}}


def not_found(name):
    return {"type": "resource_not_found_exception", "reason": f"task [{name}] is not found"}


def seconds(text):
    number, unit = re.fullmatch(r"(\d+)(ms|s|m)", text).groups()
    return int(number) * {"ms": 0.001, "s": 1, "m": 60}[unit]


def begin(h, q, index, kind):
    del index
    task = Task(ACTIONS[kind], int(q.get("steps", "1000")), h.headers.get("X-Opaque-Id"))
    if kind == "_async_search":
        return 200, {"id": task.id, "is_running": True, "is_partial": True}
    if q.get("wait_for_completion") == "false":
        return 200, {"task": task.id}
    task.wait(None)
    return 200, {"deleted": task.steps, "canceled": "by user request"} if task.cancelled_at else {"deleted": task.steps}


def show(h, q, name):
    del h
    task = tasks.get(name)
    if not task:
        return 404, {"error": {**not_found(name), "reason": f"task [{name}] isn't running and hasn't stored its results"}, "status": 404}
    if q.get("wait_for_completion") == "true":
        task.wait(seconds(q.get("timeout", "30s")))
    return 200, task.result()


def cancel(h, q, name):
    del h, q
    task = tasks.get(name)
    if not task or task.over.is_set():
        return 200, {"node_failures": [{"type": "failed_node_exception", "reason": f"Failed node [{NODE}]", "node_id": NODE, "caused_by": not_found(name)}],
                     "nodes": {}}
    task.cancel()
    return 200, nodes_of([task])


def under_way(q):
    return [t for t in tasks.values() if not t.over.is_set() and fnmatch.fnmatch(t.action, q.get("actions", "*"))]


def list_all(h, q):
    del h
    return 200, nodes_of(under_way(q))


def cancel_all(h, q):
    del h
    found = under_way(q)
    for task in found:
        task.cancel()
    return 200, nodes_of(found)


def show_search(h, q, name):
    del h
    task = tasks.get(name)
    if not task:
        return 404, {"error": {"type": "resource_not_found_exception", "reason": name}, "status": 404}
    task.wait(seconds(q.get("wait_for_completion_timeout", "1s")))
    return 200, {"id": name, "is_running": not task.over.is_set(), "is_partial": not task.over.is_set()}


def delete_search(h, q, name):
    del h, q
    task = tasks.get(name)
    if not task or task.over.is_set():
        return 404, {"error": {"type": "resource_not_found_exception", "reason": name}, "status": 404}
    task.cancel()
    return 200, {"acknowledged": True}


ROUTES = [("POST", r"/([^/]+)/(_delete_by_query|_async_search)", begin), ("GET", r"/_tasks", list_all), ("POST", r"/_tasks/_cancel", cancel_all),
          ("POST", r"/_tasks/([^/]+)/_cancel", cancel), ("GET", r"/_tasks/([^/]+)", show), ("GET", r"/_async_search/([^/]+)", show_search),
          ("DELETE", r"/_async_search/([^/]+)", delete_search)]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self):
        target = urlsplit(self.path)
        q = {k: v[0] for k, v in parse_qs(target.query, keep_blank_values=True).items()}
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        for method, pattern, handler in ROUTES:
            found = re.fullmatch(pattern, target.path)
            if found and method == self.command:
                return self.send(*handler(self, q, *(unquote(g) for g in found.groups())))
        return self.send(405, {"error": f"no handler for {self.command} {target.path}"})

    def send(self, status, body):
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        if self.headers.get("X-Opaque-Id"):
            self.send_header("X-Opaque-Id", self.headers["X-Opaque-Id"])
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_POST = do_DELETE = answer

    def log_message(self, *_):
        pass


if __name__ == "__main__":
    ThreadingHTTPServer((sys.argv[1], int(sys.argv[2])), Handler).serve_forever()
