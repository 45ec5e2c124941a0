"""An order from its sender to the acknowledgement, over every way into the core.

    in process:  Kernel.process(one command), journal written
    shared ring: this process ──ring──▶ kernel ▶ journal ▶ egress ──ring──▶ this process
    mesh:        this process ══DEALER/ROUTER══▶ core's mesh thread ──ring──▶ as above, and back
    HTTP:        this process ──POST /orders──▶ trading process ──ring──▶ as above, and back

Each order is a limit order that nothing meets, good for this moment only: it is checked, accepted, cancelled,
journalled, logged and shown, and nothing piles up. One order at a time: the next is sent when the answer to the last
is there (closed loop), or when it is due (open loop: latency from when it was due, and from when it was sent).
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import socket
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from time import perf_counter, perf_counter_ns
from typing import Any

import numpy as np
import zmq

from nautilus.bus import Mesh, MessageKind, make_context
from nautilus.core import Kernel
from nautilus.core.clock import now_ns
from nautilus.core.eventlog import DELIVERY, LAST
from nautilus.core.port import OWN, Port, core_facts
from nautilus.core.trading_core import TradingCore
from nautilus.core.types import COMMAND, CommandKind, EventKind, OrderType, Side, TimeInForce
from nautilus.engines import CATALOGUE
from nautilus.model.account import Account
from nautilus.model.codec import from_msgpack, to_msgpack
from nautilus.model.commands import SubmitOrder
from nautilus.model.enums import Priority
from nautilus.model.events import CommandAcknowledged
from nautilus.runtime.instance import Instance
from nautilus.runtime.live import mesh_endpoint
from nautilus.simulation.market import INSTRUMENT
from nautilus.trading.recovery import recover
from perf.harness import OtherLoad, Report, check, paced
from perf.platform import platform, ports

SUMMARY = "an order to its acknowledgement: in process, shared ring, mesh, HTTP; throughput from four producers"
ORDERS = 4_000
DISK_ORDERS = 1_000
WARM = 300
PRODUCERS = 4
EACH = 250_000
REPEATS = 5
SLOTS = ("client0", "client1", "client2", "client3")
UNLIMITED = ("limits.message_rate=0",)
DURABLE = "core.acknowledge=disk"
ALONE = tuple(word for name in CATALOGUE for word in ("--without", name))
RING_RATE, MESH_RATE, HTTP_RATE = 10_000, 1_000, 400
OPEN_SECONDS = 4
Ask = Callable[[int], bool]
Timing = Callable[[int, Ask], np.ndarray]


def run(report: Report) -> None:
    """Every way in, then throughput."""
    report.conditions["pinning"] = "not pinned"
    once(report, "in process, journal memory", in_process)
    with core_alone(spin_us=1_000_000) as shared:
        case(report, "shared ring, all sides awake", lambda: shared_ring(shared, ORDERS, 1_000_000), goals=(20, 100))
        open_loop(report, "shared ring, all sides awake", RING_RATE, partial(shared_ring, shared, spin_ns=1_000_000))
    with core_alone(spin_us=20) as shared:
        case(report, "shared ring, core at rest", lambda: shared_ring(shared, ORDERS, 20_000))
    with core_alone(spin_us=20) as shared:
        report.measure(
            f"orders through the core from {PRODUCERS} producers, journal memory",
            "orders/s",
            lambda: throughput(shared),
            goal=500e3,
            repeats=5,
        )
    with platform(*ALONE, settings=UNLIMITED) as instance:
        case(report, "mesh, no other engine up", lambda: over_mesh(instance, ORDERS))
    with platform(*ALONE, settings=(*UNLIMITED, DURABLE)) as instance:
        case(report, "mesh, durable, no other engine up", lambda: over_mesh(instance, DISK_ORDERS))
    with platform(settings=UNLIMITED) as instance:
        shared = str(instance.shared)
        case(report, "shared ring, whole platform beside it", lambda: shared_ring(shared, ORDERS, 20_000))
        case(report, "mesh", lambda: over_mesh(instance, ORDERS), goals=(250, 1_000))
        case(report, "HTTP", lambda: over_http(instance, ORDERS), goals=(1_000, 5_000))
        open_loop(report, "mesh", MESH_RATE, partial(over_mesh, instance))
        open_loop(report, "HTTP", HTTP_RATE, partial(over_http, instance))
    with platform(settings=(*UNLIMITED, DURABLE)) as instance:
        case(report, "mesh, acknowledged when durable", lambda: over_mesh(instance, DISK_ORDERS), goals=(None, 1_500))
    report.checks.append(
        "every order accepted, then cancelled as unfilled; every answer belongs to the order asked for"
    )
    report.notes.append(
        "Shared ring and throughput: the core's process alone, as nothing else of the platform has to run for it; "
        "awake: core.spin_us=1000000, and the sender looks without sleeping; at rest: both look for 20 us, then sleep. "
        "Mesh and HTTP: the whole platform with its defaults, whose engines are told of every order meanwhile."
    )


def case(
    report: Report, name: str, way: Callable[[], np.ndarray], *, goals: tuple[float | None, float | None] = (None, None)
) -> None:
    """One way in: percentiles of all repeats together, medians of each repeat's p50 and p99 as figures."""
    with OtherLoad() as load:
        runs = [way() for _ in range(REPEATS)]
    report.latency(name, np.concatenate(runs))
    for percent, goal in zip((50, 99), goals, strict=True):
        values = [float(np.percentile(nanos, percent)) / 1e3 for nanos in runs]
        report.add(f"{name}: p{percent}", "us", values, load.cores, goal=goal, lower_is_better=True)


def open_loop(report: Report, name: str, rate: int, way: Callable[..., np.ndarray]) -> None:
    """One way in at a steady rate."""
    found: list[np.ndarray] = []

    def timing(count: int, ask: Ask) -> np.ndarray:
        right = [ask(number) for number in range(WARM)]
        from_due, from_sent = paced(count, rate, lambda number: right.append(ask(WARM + number)))
        check(all(right), f"{right.count(False)} of {count} orders were not answered as they must be")
        found.append(from_sent)
        return from_due

    from_due = way(OPEN_SECONDS * rate, timing=timing)
    report.latency(f"{name}, {rate:,} orders/s, from due", from_due)
    report.latency(f"{name}, {rate:,} orders/s, from sent", found[0])


@contextmanager
def core_alone(*, spin_us: int) -> Iterator[str]:
    """A core in a process of its own, with its threads, journal and event log; its shared memory."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as shared, tempfile.TemporaryDirectory() as data:
        ready, said = os.pipe()
        pid = os.fork()
        if pid == 0:
            found = recover(data, policy="memory", open_orders=1 << 17, segment_bytes=64 << 20)
            core = TradingCore(found.kernel, found.journal, found.log, shared, (*SLOTS, "set-up"), spin_us=spin_us)
            core.start()
            os.write(said, b"x")
            while True:
                signal.pause()
        try:
            os.close(said)
            os.read(ready, 1)
            port, buffer = attached(shared, "set-up")
            opening = [INSTRUMENT.to_commands(), *(Account(number + 1).to_commands() for number in range(PRODUCERS))]
            check(port.send(np.concatenate(opening)) == len(opening), "the core takes no set-up")
            done = 0
            while done < len(opening):
                got = port.receive(buffer, 1_000_000_000)
                check(got > 0, "the core does not answer")
                done += int(((buffer["flags"][:got] & LAST) != 0).sum())
            port.close()
            yield shared
        finally:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            os.close(ready)


def attached(shared: str, slot: str) -> tuple[Port, np.ndarray]:
    """A port that the core feeds, and room for what it says."""
    port, buffer = Port(shared, slot, OWN), np.zeros(8_192, DELIVERY)
    while port.joined is None:
        port.receive(buffer[:0])
    return port, buffer


def once(report: Report, name: str, way: Callable[[int], np.ndarray]) -> None:
    """A way in without a platform."""
    report.latency(name, np.concatenate([way(ORDERS) for _ in range(5)]))


def rows(count: int, *, account_id: int = 1, source_id: int = 0) -> np.ndarray:
    """Orders that nothing meets."""
    commands = np.zeros(count, COMMAND)
    commands["kind"] = CommandKind.NEW
    commands["account_id"] = account_id
    commands["instrument_id"] = INSTRUMENT.instrument_id
    commands["order_id"] = now_ns() + np.arange(count)
    commands["side"] = Side.BUY
    commands["quantity"] = 1
    commands["price_ticks"] = 1_000
    commands["order_type"] = OrderType.LIMIT
    commands["time_in_force"] = TimeInForce.IOC
    commands["source_id"] = source_id
    return commands


def timed(count: int, ask: Ask) -> np.ndarray:
    """Nanoseconds of each call, after some that do not count."""
    nanos = np.zeros(count, np.int64)
    wrong = sum(not ask(number) for number in range(WARM))
    for number in range(count):
        start = perf_counter_ns()
        right = ask(WARM + number)
        nanos[number] = perf_counter_ns() - start
        wrong += not right
    check(wrong == 0, f"{wrong} of {count} orders were not answered as they must be")
    return nanos


def in_process(count: int) -> np.ndarray:
    """`Kernel.process` with one command a call."""
    commands = rows(WARM + count)
    with tempfile.TemporaryDirectory() as place:
        kernel = Kernel(instruments=[INSTRUMENT], accounts=[1], journal=Path(place, "journal"))

        def ask(number: int) -> bool:
            return bool(kernel.process(commands[number : number + 1])["kind"][-1] == EventKind.CANCELLED)

        nanos = timed(count, ask)
        kernel.close()
    return nanos


def shared_ring(shared: str, count: int, spin_ns: int, *, timing: Timing = timed) -> np.ndarray:
    """Through a slot of the core."""
    commands = rows(WARM + count)
    port, buffer = attached(shared, "client0")

    def ask(number: int) -> bool:
        port.send(commands[number : number + 1])
        while True:
            got = port.receive(buffer, 1_000_000_000, spin_ns)
            if not got:
                return False
            if buffer["flags"][got - 1] & LAST:
                return bool(buffer["event"]["order_id"][got - 1] == commands["order_id"][number])

    try:
        return timing(count, ask)
    finally:
        port.close()


def over_mesh(instance: Instance, count: int, *, timing: Timing = timed) -> np.ndarray:
    """As an engine of another process sends it."""
    plan = instance.plan()
    context = make_context()
    mesh = Mesh(context, "client0", now_ns(), partial(mesh_endpoint, plan), now_ns)
    first = now_ns()
    poller: list[Any] = []
    generation = -1

    def ask(number: int) -> bool:
        nonlocal poller, generation
        order = SubmitOrder(
            account_id=1,
            instrument_id=INSTRUMENT.instrument_id,
            order_id=first + number,
            side=Side.BUY,
            quantity=1,
            price_ticks=1_000,
            time_in_force=TimeInForce.IOC,
            source_id=20,
            source_sequence=first + number,
        )
        asked = mesh.post(
            "core",
            to="core",
            sender="bench",
            kind=MessageKind.REQUEST,
            payload=to_msgpack(order),
            priority=Priority.HIGH,
            deadline_ns=now_ns() + 2_000_000_000,
        )
        if generation != mesh.generation:
            generation, poller = mesh.generation, [(item, zmq.POLLIN) for item in mesh.sockets()]
        while True:
            for delivery in mesh.receive(ready={item for item, _ in zmq.zmq_poll(poller, 10)}):
                mesh.done(delivery)
                if delivery.id == asked:
                    reply = from_msgpack(delivery.payload)
                    return isinstance(reply, CommandAcknowledged) and reply.accepted
            if asked in mesh.tick(now_ns()):
                return False

    try:
        return timing(count, ask)
    finally:
        mesh.close()
        context.destroy(0)


def over_http(instance: Instance, count: int, *, timing: Timing = timed) -> np.ndarray:
    """One kept connection, one request at a time."""
    port = ports(instance)["trading"]
    body = b'{"instrument":"SIMUSD","side":"BUY","quantity":"0.001","price":"100.0","time_in_force":"IOC"}'
    head = (
        f"POST /orders HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAuthorization: Bearer {instance.token()}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    request = head.encode() + body
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

        def ask(number: int) -> bool:
            connection.sendall(request)
            answer = connection.recv(65_536)
            while b"}" not in answer:
                answer += connection.recv(65_536)
            return answer.startswith(b"HTTP/1.1 200") and b'"cancelled"' in answer

        return timing(count, ask)


def throughput(shared: str) -> float:
    """Orders a second from producers in processes of their own, all answered."""
    before = core_facts(shared)["accepted"]
    context = multiprocessing.get_context("fork")
    ready = context.Barrier(PRODUCERS + 1)
    producers = [context.Process(target=produce, args=(shared, number, ready)) for number in range(PRODUCERS)]
    for producer in producers:
        producer.start()
    ready.wait()
    start = perf_counter()
    for producer in producers:
        producer.join()
    elapsed = perf_counter() - start
    check(all(producer.exitcode == 0 for producer in producers), "a producer was not answered")
    accepted = core_facts(shared)["accepted"] - before
    check(accepted == PRODUCERS * EACH, f"{accepted} of {PRODUCERS * EACH} orders were accepted")
    return PRODUCERS * EACH / elapsed


def produce(shared: str, number: int, ready: Any) -> None:
    """Keep at most 2,048 orders under way until all are answered."""
    commands = rows(EACH, account_id=number + 1)
    port, buffer = attached(shared, SLOTS[number])
    ready.wait()
    sent = done = 0
    while done < EACH:
        if sent < EACH and sent - done < 2_048:
            sent += port.send(commands[sent : min(sent + 512, done + 2_048)])
        got = port.receive(buffer, 20_000_000, 20_000)
        done += int(((buffer["flags"][:got] & LAST) != 0).sum())
        if port.cut:
            raise SystemExit(1)
    port.close()
