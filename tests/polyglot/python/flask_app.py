# SPDX-License-Identifier: Apache-2.0
"""An application as many are: Flask under gunicorn, a thread a request. While one works on a task it reads nothing of its client's connection, so that it
never learns that this was closed; what stops it is DELETE /tasks/NAME, which another thread takes.

    gunicorn --worker-class gthread --threads 16 --bind HOST:PORT flask_app:app

What each task has heard, and until when it worked, is its record: GET /tasks/NAME. Times are CLOCK_MONOTONIC in milliseconds.
"""
import hashlib
import time

from flask import Flask, Response, request

STEP = 0.01  # seconds
app = Flask(__name__)
tasks = {}


def now():
    return time.monotonic() * 1000


class Task:
    def __init__(self, name):
        self.record = {"name": name, "state": "works", "steps": 0, "begun_at": now(), "told": [], "path": request.path,
                       "deadline": request.headers.get("x-request-timeout")}
        self.digest = b""
        tasks[name] = self

    def works(self):
        return self.record["state"] == "works"

    def work(self, steps):
        """Some of it: until it is done, or cancelled."""
        for _ in range(steps):
            if not self.works():
                return
            self.digest = hashlib.sha256(self.digest).digest()
            self.record["steps"] += 1
            time.sleep(STEP)

    def end(self):
        if self.works():
            self.record["state"] = "done"
        self.record["ended_at"] = now()
        return self.digest.hex() + "\n"

    def cancel(self):
        self.record["told"].append({"at": now(), "reason": request.headers.get("x-reason"), "fields": sorted(k.lower() for k, _ in request.headers)})
        self.record["state"] = "cancelled"  # of which the work ends


@app.get("/tasks/<name>/run")
def run(name):
    """All of the answer comes at the end, and `after` steps later."""
    task = Task(name)
    task.work(int(request.args.get("steps", 1000)))
    answer = task.end()
    time.sleep(int(request.args.get("after", 0)) * STEP)
    return answer


@app.get("/exports/<name>")
def export(name):
    """The head of the answer comes after some steps, and names the task; between it and the last piece nothing is written."""
    task, steps = Task(name), int(request.args.get("steps", 1000))
    task.work(int(request.args.get("before", 0)))

    def pieces():
        yield "name,digest\n"
        task.work(steps)
        yield f"{name},{task.end()}"

    return Response(pieces(), headers={"x-task-id": name})


@app.delete("/tasks/<name>")
def cancel(name):
    """404 where there is nothing left to cancel."""
    task = tasks.get(name)
    if not task or not task.works():
        if task:
            task.record["told"].append({"at": now(), "reason": request.headers.get("x-reason"), "late": True})
        return {"error": "no such task is under way"}, 404
    task.cancel()
    return "", 204


@app.get("/tasks/<name>")
def record(name):
    return tasks[name].record if name in tasks else ({"error": "no such task"}, 404)
