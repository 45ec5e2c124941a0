"""A question for data of a provider that the hub has an answer to: over the mesh, and over HTTP.

    client ══ mesh ══▶ hub's thread: kept, encoded before ══▶ client
    client ══ HTTP ══▶ HTTP thread ══▶ hub's thread ══▶ HTTP thread ══▶ client

Whole processes: a real hub with its door, its child process and its port. One question is under way at a time; each
answer is looked at. Over the mesh once with both sides asleep while they wait, and once awake (`bus.wake = "spin"`).
"""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from functools import partial
from time import perf_counter_ns

import numpy as np

from nautilus.model.codec import from_msgpack, to_msgpack
from nautilus.model.datasets import DataAnswer, DataKind, GetData
from perf.data_host import Asker, data_host
from perf.harness import Report, check

SUMMARY = "a question that the hub has an answer to: one quote and 250 bars, over the mesh and over HTTP"
COUNT = 2_000
MESH_GOAL_US, HTTP_GOAL_US = 100, 300
QUESTIONS = {
    "a quote": GetData(DataKind.QUOTE, "BENCH"),
    "250 bars": GetData(DataKind.BAR, "BENCH", interval="1d", limit=250),
}


def run(report: Report) -> None:
    """Both ways for both questions."""
    with data_host() as (asker, port):
        pings: list[np.ndarray] = []

        def by_ping() -> float:
            pings.append(ping_ns(asker))
            return float(np.percentile(pings[-1], 50)) / 1e3

        report.measure("mesh, an echo: p50", "us", by_ping, lower_is_better=True)
        report.latency("mesh, an echo", np.concatenate(pings))
        for name, question in QUESTIONS.items():
            first = from_msgpack(asker.ask("marketdata", to_msgpack(question), seconds=30.0))
            check(isinstance(first, DataAnswer) and len(first.facts) in (1, 250), "the first answer")
            found: list[np.ndarray] = []

            def by_mesh(question: GetData = question, found: list[np.ndarray] = found) -> float:
                found.append(mesh_ns(asker, question))
                return float(np.percentile(found[-1], 50)) / 1e3

            goal = MESH_GOAL_US if name == "a quote" else None
            report.measure(f"mesh, {name}: p50", "us", by_mesh, goal=goal, lower_is_better=True)
            report.latency(f"mesh, {name}", np.concatenate(found))
            asked: list[np.ndarray] = []
            path = f"/marketdata/data?kind={question.kind.name}&symbol=BENCH&interval={question.interval}"
            path += f"&limit={question.limit}" if question.limit else ""

            def by_http(path: str = path, asked: list[np.ndarray] = asked) -> float:
                asked.append(http_ns(port, path))
                return float(np.percentile(asked[-1], 50)) / 1e3

            goal = HTTP_GOAL_US if name == "a quote" else None
            report.measure(f"HTTP, {name}: p50", "us", by_http, goal=goal, lower_is_better=True)
            report.latency(f"HTTP, {name}", np.concatenate(asked))
    with data_host("spin") as (asker, _):
        question = QUESTIONS["a quote"]
        asker.ask("marketdata", to_msgpack(question), seconds=30.0)
        for name, play in (("an echo", ping_ns), ("a quote", partial(mesh_ns, question=question))):
            awake: list[np.ndarray] = []

            def by_spinning(play: Callable[[Asker], np.ndarray] = play, awake: list[np.ndarray] = awake) -> float:
                awake.append(play(asker))
                return float(np.percentile(awake[-1], 50)) / 1e3

            report.measure(f"mesh, both spin, {name}: p50", "us", by_spinning, lower_is_better=True)
            report.latency(f"mesh, both spin, {name}", np.concatenate(awake))
    report.checks.append("every answer is of the question, was kept, and has its facts")
    report.notes.append("The answer over the mesh is decoded by the client; that over HTTP is read to its last byte.")


def mesh_ns(asker: Asker, question: GetData) -> np.ndarray:
    """Nanoseconds of each request, until its answer is decoded."""
    nanos, payload = np.empty(COUNT, np.int64), to_msgpack(question)
    for number in range(COUNT):
        begun_ns = perf_counter_ns()
        answer = from_msgpack(asker.ask("marketdata", payload))
        nanos[number] = perf_counter_ns() - begun_ns
        assert isinstance(answer, DataAnswer)
        check(answer.cached and not answer.stale and answer.symbol == question.symbol, repr(answer)[-300:])
    return nanos


def ping_ns(asker: Asker) -> np.ndarray:
    """The same for what the process of the hub gives back as it is: what the way alone takes."""
    nanos = np.empty(COUNT, np.int64)
    for number in range(COUNT):
        begun_ns = perf_counter_ns()
        check(asker.ask("ping", b"x") == b"x", "another echo")
        nanos[number] = perf_counter_ns() - begun_ns
    return nanos


def http_ns(port: int, path: str) -> np.ndarray:
    """The same over one connection that is kept."""
    nanos = np.empty(COUNT, np.int64)
    request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
    with socket.create_connection(("127.0.0.1", port)) as line:
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for number in range(COUNT):
            begun_ns = perf_counter_ns()
            line.sendall(request)
            body = _body(line)
            nanos[number] = perf_counter_ns() - begun_ns
            check(b'"cached":true' in body[-120:], repr(body[-200:]))
    check(json.loads(body)["symbol"] == "BENCH", "another symbol")
    return nanos


def _body(line: socket.socket) -> bytes:
    content = line.recv(1 << 18)
    head, _, body = content.partition(b"\r\n\r\n")
    check(head.startswith(b"HTTP/1.1 200 "), repr(content[:300]))
    length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
    pieces = [body]
    left = length - len(body)
    while left > 0:
        pieces.append(line.recv(1 << 18))
        left -= len(pieces[-1])
    return b"".join(pieces)
