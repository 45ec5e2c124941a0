"""Operations of the engines of a live platform: over the gateway and straight, side by side.

All that are read of the engines in the platform's table, and one that changes something: an order, which is sent once,
audited at both ports, and never joined, kept or hedged.

::

    client ══▶ gateway ══▶ engine     by turns, one connection each
    client ════════════▶ engine

What the gateway adds is the difference of the percentiles. Engines of the platform's table that are still to come have
their share measured against a stand-in in the bench `gateway`.
"""

from __future__ import annotations

import json
import socket
from time import monotonic, perf_counter_ns

import numpy as np

from nautilus.core.proxy_head import AnswerHead, read_answer
from nautilus.engines import CATALOGUE
from nautilus.runtime.instance import Instance
from perf.harness import REPEATS, OtherLoad, Report, check
from perf.platform import platform, ports

SUMMARY = "operations of live engines over the gateway and straight, side by side"
TARGETS_MS = {"strategy": 45, "risk": 65, "marketdata": 95, "portfolio": 140}
"""Of the platform's table, over the gateway; the gateway's own share may be one tenth."""
ORDER = {"instrument": "SIMUSD", "side": "BUY", "quantity": "0.001", "price": "0.1", "time_in_force": "IOC"}
"""Far from the market: it goes all the way through the core, and nothing comes of it. The table has none."""
ARGUMENTS = {"{instrument}": "SIMUSD", "{account_id}": "1"}
REQUESTS, WARM = 300, 50
WAIT_SECONDS = 60.0


def run(report: Report) -> None:
    """Each operation by turns, while the simulated market trades."""
    found: dict[str, dict[str, list[float]]] = {}
    with platform("--simulated", "--strategy", "quoting", settings=("platform.processes=native",)) as instance:
        lines = _lines(instance)
        with OtherLoad() as load:
            for _ in range(REPEATS):
                for name, (engine, straight, through) in lines.items():
                    direct, over = straight.times_ms(REQUESTS), through.times_ms(REQUESTS)
                    values = found.setdefault(name, {"target": [TARGETS_MS.get(engine, 0.0)]})
                    for percent in (50, 99):
                        for what, times in (("straight", direct), ("over", over)):
                            values.setdefault(f"{what} {percent}", []).append(float(np.percentile(times, percent)))
    for name, values in found.items():
        goal = values["target"][0] / 10 or None
        for percent in (50, 99):
            straight_ms, over_ms = values[f"straight {percent}"], values[f"over {percent}"]
            added = [b - a for a, b in zip(straight_ms, over_ms, strict=True)]
            report.add(f"{name}, straight, p{percent}", "ms", straight_ms, load.cores, lower_is_better=True)
            report.add(f"{name}, over the gateway, p{percent}", "ms", over_ms, load.cores, lower_is_better=True)
            report.add(f"{name}, added, p{percent}", "ms", added, load.cores, goal=goal, lower_is_better=True)
    report.checks.append("every answer was 200 and whole, on both ways, by a gateway that keeps none of them")


class Line:
    """One connection, and what is asked on it."""

    def __init__(self, port: int, path: str, body: bytes = b"", token: str = "") -> None:
        self._path = path
        head = f"{'POST' if body else 'GET'} {path} HTTP/1.1\r\nhost: localhost\r\n"
        if body:
            head += (
                f"authorization: Bearer {token}\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n"
            )
        self._request = head.encode() + b"\r\n" + body
        self._socket = socket.create_connection(("127.0.0.1", port), WAIT_SECONDS)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def ask(self) -> int:
        """Ask once; the status."""
        self._socket.sendall(self._request)
        data = b""
        while True:
            piece = self._socket.recv(1 << 20)
            check(bool(piece), f"{self._path}: the connection ended")
            data += piece
            head = read_answer(data)
            if isinstance(head, AnswerHead) and len(data) >= head.size + head.length:
                check(b"cache-status: nautilus; hit" not in data[: head.size].lower(), f"{self._path}: a kept answer")
                check(b'"status":"filled"' not in data, f"{self._path}: the order was filled")
                return int(head.status)

    def times_ms(self, count: int) -> np.ndarray:
        """Ask so often; how long each took."""
        times = np.zeros(count)
        for number in range(-WARM, count):
            begun = perf_counter_ns()
            status = self.ask()
            check(status == 200, f"{self._path}: status {status}")
            if number >= 0:
                times[number] = (perf_counter_ns() - begun) / 1e6
        return times


def _lines(instance: Instance) -> dict[str, tuple[str, Line, Line]]:
    """Each operation's two ways, once it answers: there are quotes, a book and positions."""
    places, found = ports(instance), {}
    asked = {"trading POST /orders": ("trading", "/orders", json.dumps(ORDER).encode())}
    for engine in TARGETS_MS:
        for operation in CATALOGUE[engine].load().operations:
            path = operation.path
            for name, value in ARGUMENTS.items():
                path = path.replace(name, value)
            if operation.method != "GET" or "{" in path:
                continue
            asked[f"{engine} GET {operation.path}"] = (engine, path, b"")
    for name, (engine, path, body) in asked.items():
        straight = Line(places[engine], path, body, instance.token())
        through = Line(places["gateway"], f"/api/v1/engines/{engine}{path}", body, instance.token())
        until = monotonic() + WAIT_SECONDS
        while (straight.ask(), through.ask()) != (200, 200):
            check(monotonic() < until, f"{name} is not answered")
        found[name] = (engine, straight, through)
    return found


__all__ = ["SUMMARY", "run"]
