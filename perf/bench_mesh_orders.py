"""Orders over the mesh into a core with its journal on: several client processes, each with orders under way.

    client process ══ DEALER/ROUTER ══▶ core's mesh thread ──ring──▶ kernel ▶ journal ▶ egress ──ring──▶ back
    client process ══                ══▶

Each order is a limit order that nothing meets, good for this moment only: checked, accepted, cancelled, journalled,
logged, answered. A client sends as long as fewer than its window of orders are without an answer, and judges every
answer: of an order that was sent, the first one of it, accepted. The core's own counts are compared at the end.
"""

from __future__ import annotations

import multiprocessing
import os
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import zmq
from zmq.backend import zmq_poll

from nautilus.bus import Mesh, MessageKind, make_context
from nautilus.core.clock import now_ns
from nautilus.core.port import core_facts
from nautilus.core.types import Side, TimeInForce
from nautilus.model.codec import from_msgpack, to_msgpack
from nautilus.model.commands import CommandBatch, SubmitOrder
from nautilus.model.enums import Priority
from nautilus.model.events import BatchAcknowledged, CommandAcknowledged
from nautilus.runtime.instance import Instance
from nautilus.runtime.live import mesh_endpoint
from nautilus.simulation.market import INSTRUMENT
from perf.bench_order_round_trip import ALONE, UNLIMITED, rows
from perf.harness import OtherLoad, Report, check
from perf.platform import platform

SUMMARY = "orders over the mesh into the core, journal on: several client processes, windows of orders"
CLIENTS = 2
EACH = 64_000
WINDOW = 256
PACKED = (1, 8, 64)
GOAL = 50_000
REPEATS = 5
PATIENCE_NS = 20_000_000_000


def run(report: Report) -> None:
    """Orders a second and latency under that load."""
    report.conditions["pinning"] = "not pinned"
    with platform(*ALONE, settings=UNLIMITED) as instance:
        for packed in PACKED:
            _case(report, instance, packed, goal=GOAL)
    report.checks.append(
        "every order answered once and accepted, none twice, none lost; the core accepted as many as were sent"
    )


@dataclass
class Sent:
    """What a client made of its orders: nanoseconds from a message to its answer, and how many orders went wrong."""

    nanos: np.ndarray
    wrong: int


def _case(report: Report, instance: Instance, packed: int, *, goal: float) -> None:
    name = f"{packed} a message" if packed > 1 else "one order a message"
    rates: list[float] = []
    costs: list[float] = []
    nanos: list[np.ndarray] = []
    with OtherLoad() as load:
        for _ in range(REPEATS):
            before = _spent(instance)
            rate, took = _once(instance, packed)
            rates.append(rate)
            costs.append((_spent(instance) - before) * 1e6 / (CLIENTS * EACH))
            nanos.append(took)
    report.add(f"{name}, {CLIENTS} clients, {WINDOW} under way each", "orders/s", rates, load.cores, goal=goal)
    report.add(f"{name}: processor time of the core, all threads", "us/order", costs, load.cores, lower_is_better=True)
    report.latency(f"{name}, {CLIENTS} clients, {WINDOW} under way each", np.concatenate(nanos))


def _spent(instance: Instance) -> float:
    """Seconds of processor time of the core's process."""
    [pid] = [process.pid for process in instance.state().processes if process.name == "core"]
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _once(instance: Instance, packed: int) -> tuple[float, np.ndarray]:
    """Orders a second of all clients together, and the latency of each message."""
    shared = str(instance.shared)
    before = core_facts(shared)["accepted"]
    context = multiprocessing.get_context("fork")
    ready, results = context.Barrier(CLIENTS + 1), context.Queue()
    clients = [
        context.Process(target=_client, args=(instance, number, packed, ready, results)) for number in range(CLIENTS)
    ]
    for client in clients:
        client.start()
    ready.wait()
    start = perf_counter()
    found = [results.get(timeout=PATIENCE_NS / 1e9 * 2) for _ in clients]
    elapsed = max(end for _, end in found) - start
    for client in clients:
        client.join()
    wrong = sum(sent.wrong for sent, _ in found)
    check(wrong == 0, f"{wrong} answers were missing, second ones, or no acceptance")
    accepted = core_facts(shared)["accepted"] - before
    check(accepted == CLIENTS * EACH, f"{accepted} of {CLIENTS * EACH} orders were accepted")
    return CLIENTS * EACH / elapsed, np.concatenate([sent.nanos for sent, _ in found])


def _client(instance: Instance, number: int, packed: int, ready: Any, results: Any) -> None:
    context = make_context()
    mesh = Mesh(context, f"client{number}", now_ns(), partial(mesh_endpoint, instance.plan()), now_ns)
    messages = _messages(20 + number, packed)
    mesh.dial("core", Priority.HIGH)
    ready.wait()
    sent = _send(mesh, messages, packed)
    results.put((sent, perf_counter()))
    results.close()
    results.join_thread()
    mesh.close()
    context.destroy(0)


def _messages(source_id: int, packed: int) -> list[bytes]:
    """EACH orders, encoded: one a message, or so many records in a row."""
    commands = rows(EACH, source_id=source_id)
    commands["source_sequence"] = commands["order_id"]
    if packed > 1:
        return [
            to_msgpack(CommandBatch(commands[first : first + packed].tobytes())) for first in range(0, EACH, packed)
        ]
    return [
        to_msgpack(
            SubmitOrder(
                account_id=1,
                instrument_id=INSTRUMENT.instrument_id,
                order_id=order_id,
                side=Side.BUY,
                quantity=1,
                price_ticks=1_000,
                time_in_force=TimeInForce.IOC,
                source_id=source_id,
                source_sequence=order_id,
            )
        )
        for order_id in commands["order_id"].tolist()
    ]


def _send(mesh: Mesh, messages: list[bytes], packed: int) -> Sent:
    """Keep at most WINDOW orders under way until all are answered."""
    window = max(1, WINDOW // packed)
    begun: dict[int, tuple[int, int]] = {}
    nanos, answers = np.zeros(len(messages), np.int64), np.zeros(len(messages), np.int64)
    items: list[Any] = []
    generation = -1
    sent = done = wrong = 0
    while done < len(messages):
        while sent < len(messages) and sent - done < window:
            start = now_ns()
            asked = mesh.post(
                "core",
                to="core",
                sender="bench",
                kind=MessageKind.REQUEST,
                payload=messages[sent],
                priority=Priority.HIGH,
                deadline_ns=start + PATIENCE_NS,
            )
            begun[asked] = (sent, start)
            sent += 1
        if generation != mesh.generation:
            generation, items = mesh.generation, [(item, zmq.POLLIN) for item in mesh.sockets()]
        for delivery in mesh.receive(window, ready={item for item, _ in zmq_poll(items, 10)}):
            mesh.done(delivery)
            number, start = begun.get(delivery.id, (-1, 0))
            if number < 0 or answers[number]:
                wrong += packed
                continue
            nanos[number] = now_ns() - start
            answers[number] = 1
            done += 1
            reply = from_msgpack(delivery.payload)
            if isinstance(reply, BatchAcknowledged):
                wrong += packed - sum(reply.accepted)
            else:
                wrong += not (isinstance(reply, CommandAcknowledged) and reply.accepted)
        unknown = mesh.tick(now_ns())
        wrong += packed * len(unknown)
        done += len(unknown)
    return Sent(nanos, wrong)
