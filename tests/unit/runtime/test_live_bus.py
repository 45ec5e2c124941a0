"""What a live host makes of its bus: strangers, lives under a clock set back, late requests, urgency within batches."""

import logging
import os
import threading

import msgspec
import pytest
import zmq

from nautilus.bus import DeadLetter, MessageKind
from nautilus.bus.envelope import Envelope
from nautilus.core.affinity import threads_of
from nautilus.core.counters import Counters
from nautilus.core.mesh_wire import pack
from nautilus.engines.base import Engine
from nautilus.model.enums import EngineState
from nautilus.model.errors import ModelError
from nautilus.model.queries import GetStrategies, Reports, SourceStatus
from nautilus.model.topics import EXECUTION_REPORTS, QUOTES, RISK_ALERTS
from nautilus.runtime import buslog, clock, live, loop
from nautilus.runtime.buslog import BusLog
from nautilus.runtime.clock import LIFE_NS, next_epoch, wall_ns, whole_ns
from nautilus.runtime.live_context import LiveContext
from nautilus.runtime.questions import Questions, StoppingError
from nautilus.runtime.recovery import Recovery
from nautilus.runtime.wire import from_wire
from tests.kit.live_host import VENUE, RunningHost, Venue, eventually, make_plan, short_directory

MS = 1_000_000
DEEP = b"\x92" + msgspec.msgpack.encode(GetStrategies.__struct_config__.tag) + b"\x91" * 100_000 + b"\xc0"


class Listener(Engine):
    """Notes what it hears."""

    name = "strategy"
    subscribes = (EXECUTION_REPORTS, RISK_ALERTS)

    def __init__(self):
        self.seen = []
        self.asked = 0

    def on_report(self, report, ctx):
        self.seen.append(report.sequence)

    def on_alert(self, alert, ctx):
        self.seen.append("alert")

    def on_request(self, message, ctx):
        self.asked += 1
        return message


@pytest.fixture
def directory():
    with short_directory() as found:
        yield found


@pytest.fixture
def pair(directory):
    """A venue, and a host of one strategy."""
    plan = make_plan(directory, VENUE | {"strategy": ("strategy",)})
    venue = Venue(plan)
    host = RunningHost(plan, "strategy", {"strategy": Listener})
    try:
        yield venue, host.ready()
    finally:
        host.stop()
        venue.stop()


@pytest.mark.parametrize("schedule", ["normal", "batch"])
def test_threads_of_a_host_are_scheduled_as_its_bus_says(directory, schedule):
    def own():
        found = {each["tid"]: each["policy"] for each in threads_of(os.getpid())}
        return found[threading.get_native_id()], found

    usual, before = own()
    plan = make_plan(directory, VENUE | {"strategy": ("strategy",)}, sections={"bus": {"schedule": schedule}})
    venue = Venue(plan)
    host = RunningHost(plan, "strategy", {"strategy": Listener})
    try:
        policy, found = host.ready().do(own)
        # Of a host's own thread and the I/O threads of its sockets; who may not change it goes on as before.
        changed = [each for tid, each in found.items() if tid not in before and each == "batch"]
        assert policy in ((schedule, usual) if schedule == "batch" else (usual,))
        assert len(changed) >= 3 if policy == "batch" != usual else not changed
    finally:
        host.stop()
        venue.stop()
    assert own()[0] == usual


def frame(**fields):
    usual = {"kind": MessageKind.EVENT, "id": 1, "epoch": 1, "sequence": 1, "base": 1, "priority": 4}
    return pack([Envelope(**(usual | fields))])


def test_a_stranger_and_junk_do_not_end_a_process(pair, directory):
    _, host = pair
    context = zmq.Context()
    sockets = []

    def dial(name):
        sockets.append(context.socket(zmq.DEALER))
        sockets[-1].setsockopt(zmq.ROUTING_ID, name)
        sockets[-1].connect(f"ipc://{directory}/strategy.n")
        return sockets[-1]

    try:
        for name, frames in (
            (b"stranger", [frame()]),
            (b"venue2", [frame(), b"venue"]),
            (b"risk", [b"\x91" * 100_000]),
        ):
            dial(name).send_multipart(frames)
        eventually(lambda: host.host.mesh.strangers == 3)
        # One that may speak, with what is none of a topic, and with a payload that cannot be read.
        socket = dial(b"client.junk-1")
        socket.send(frame(payload=DEEP, to="risk.alert", sender="junk"))
        socket.send(frame(payload=DEEP, to="strategy", sender="junk", kind=MessageKind.REQUEST, sequence=2, id=2))
        eventually(lambda: host.host.calls.errors.count >= 1)
        assert host.host.mesh.dead_lettered == 1
    finally:
        context.destroy(0)
    assert host.error is None
    eventually(lambda: host.host.counters.snapshot()["mesh.strangers"] == 3)
    assert host.host.mesh.failed_calls == 0
    assert host.host.ask_engine("strategy", GetStrategies()).result(60) == GetStrategies()


@pytest.mark.parametrize("deep", [DEEP, b"[" * 100_000])
def test_a_payload_of_arrays_in_each_other_is_refused(deep):
    with pytest.raises(ModelError):
        from_wire(deep)


def test_a_life_begins_after_every_earlier_one_whatever_the_clock_says(tmp_path, monkeypatch):
    first = next_epoch(Counters(path=tmp_path / "counters"))
    second = next_epoch(Counters(path=tmp_path / "counters"))
    assert second > first
    assert second <= wall_ns()
    monkeypatch.setattr(clock, "wall_ns", lambda: first - 3_000 * MS)
    third = next_epoch(Counters(path=tmp_path / "counters"))
    assert third == second + LIFE_NS
    assert next_epoch(Counters(path=tmp_path / "counters")) == third + LIFE_NS


def test_a_process_whose_clock_was_set_back_is_heard_again(directory, monkeypatch):
    plan = make_plan(directory, VENUE | {"strategy": ("strategy",)})
    venue = Venue(plan)
    host = RunningHost(plan, "strategy", {"strategy": Listener}).ready()
    before = host.host.mesh.epoch, host.host.next_id()
    host.stop()
    monkeypatch.setattr(clock, "wall_ns", lambda: before[0] - 3_000 * MS)
    host = RunningHost(plan, "strategy", {"strategy": Listener})
    try:
        host.ready()
        assert host.host.mesh.epoch > before[0]
        assert host.host.next_id() > before[1]
        host.do(lambda: host.host.messages.ask("core", SourceStatus(1), lambda reply: None))
        eventually(lambda: not host.host.messages.waiting)
        assert venue.running.host.mesh.stale == 0
    finally:
        host.stop()
        venue.stop()


def test_heartbeats_of_the_star_go_on_when_the_clock_is_set_back(directory, monkeypatch):
    venue = Venue(make_plan(directory, VENUE))
    try:
        publisher = venue.running.host.hub.star.publisher
        for module in (live, loop):
            monkeypatch.setattr(module, "wall_ns", lambda: wall_ns() - 3_600 * 1_000 * MS)
        before = publisher.heartbeats
        eventually(lambda: publisher.heartbeats > before + 20)
    finally:
        venue.stop()


def test_a_request_that_waited_for_the_start_longer_than_its_deadline_is_not_handled(directory):
    plan = make_plan(directory, VENUE | {"strategy": ("strategy",), "risk": ("risk",)})
    unready = threading.Event()

    class Part:
        refuses = ""
        ready = property(lambda self: unready.is_set())

        def nothing(self):
            pass

        start = open = stop = nothing

    class Asker(Engine):
        name = "risk"

        def __init__(self):
            self.seen = []

        def on_start(self, ctx):
            self.ctx = ctx

        def on_reply(self, number, reply, ctx):
            self.seen.append("reply")

        def on_unknown(self, number, message, ctx):
            self.seen.append("unknown")

    venue = Venue(plan)
    asker = RunningHost(plan, "risk", {"risk": Asker}).ready()
    host = RunningHost(plan, "strategy", {"strategy": Listener}, lambda made: made.parts.append(Part()))
    try:
        engine = asker.engine("risk")
        asker.do(lambda: engine.ctx.request("strategy", GetStrategies(), wall_ns() + 100 * MS))
        asker.do(lambda: engine.ctx.request("strategy", GetStrategies(), wall_ns() + 20_000 * MS))
        eventually(lambda: len(host.host.messages._early) == 2)
        eventually(lambda: engine.seen == ["unknown"])
        unready.set()
        eventually(lambda: engine.seen == ["unknown", "reply"])
        assert host.engine("strategy").asked == 1
        assert host.host.mesh.late == 1
    finally:
        for each in (host, asker, venue):
            each.stop()


def report(sequence):
    from nautilus.model.enums import Side, TimeInForce
    from nautilus.model.events import OrderAccepted

    fields = dict.fromkeys(OrderAccepted.__struct_fields__, 1) | {"sequence": sequence}
    for name, value in (("side", Side.BUY), ("time_in_force", TimeInForce.DAY)):
        if name in fields:
            fields[name] = value
    return OrderAccepted(**fields)


def test_what_is_urgent_goes_between_the_reports_of_one_message(pair):
    venue, host = pair
    engine, messages = host.engine("strategy"), host.host.messages
    looks = []

    def deliver():
        messages.between = lambda: looks.append(len(engine.seen))
        try:
            last = host.host.contexts["strategy"].recovery.report_sequence
            reports = tuple(report(last + number) for number in range(1, 5))
            event = Reports(reports, reports[-1].sequence, False)
            source = venue.running.host.mesh
            messages._take_event(_delivery(event, source))
        finally:
            del messages.between

    host.do(deliver)
    assert len(engine.seen) == 4
    assert looks[:3] == [1, 2, 3]


def _delivery(event, mesh):
    from nautilus.bus import Delivery
    from nautilus.runtime.wire import to_wire

    return Delivery(MessageKind.EVENT, 1, "venue", "trading", EXECUTION_REPORTS.name, to_wire(event), 2)


def test_what_is_urgent_goes_between_the_reports_of_a_page():
    class Host:
        def __init__(self):
            self.acts = []

        def ask(self, peer, message, answered):
            self.answered = answered

        def later(self, wait_ns, callback):
            callback()

        def call(self, context, handler, *arguments):
            self.acts.append("handler")
            if len(self.acts) == 7:
                context.recovery.take(report(9))  # comes while held ones are handled
                context.recovery.catch_up()

        def between(self):
            self.acts.append("between")

        def started(self, context):
            self.acts.append("started")

    context = LiveContext.__new__(LiveContext)
    context.engine, context.state = Listener(), EngineState.RUNNING
    host = Host()
    recovery = context.recovery = Recovery(host, context, None)
    recovery.begin()
    recovery.take(report(4))
    recovery.take(report(5))
    host.answered(Reports((report(1), report(2), report(3)), 3, True))
    assert host.acts[:6] == ["handler", "between"] * 3
    assert host.acts.count("handler") == 6
    assert not recovery.live, "it was asked to look once more"
    host.answered(Reports((), 9, True))
    assert recovery.live
    assert host.acts[-1] == "started"


def test_a_question_after_the_end_is_refused_and_wakes_nobody_else():
    questions = Questions("risk")
    questions.close()
    other = os.eventfd(0, os.EFD_NONBLOCK)  # most likely the same number
    try:
        answer = questions.ask("risk", GetStrategies())
        assert isinstance(answer.exception(1), StoppingError)
        with pytest.raises(BlockingIOError):
            os.eventfd_read(other)
    finally:
        os.close(other)


def test_a_time_is_a_whole_number():
    assert whole_ns(True) == 1
    with pytest.raises(ModelError, match="whole number of nanoseconds"):
        whole_ns(float("nan"))


def letter(number, reason="deadline"):
    return DeadLetter(reason, "core", MessageKind.REQUEST, number, 2, "strategy", "core", 5, 0, b"four")


def test_each_loss_has_its_line_and_too_many_are_counted(caplog):
    now_ns = 5 * buslog.WINDOW_NS
    log = BusLog(lambda: now_ns)
    with caplog.at_level(logging.WARNING, "nautilus.runtime"):
        log.on_dead_letters([letter(number) for number in range(buslog.LINES + 7)])
        log.on_gap("risk", 2, 5, 9)
        log.on_star_gap(QUOTES, 1 << 32 | 7, 3, 4)
        log.on_star_epoch(1, 2)
        log.flush()
        lines = [record.fields for record in caplog.records]
        assert len(lines) == buslog.LINES + 3
        assert lines[0] == {
            "reason": "deadline",
            "peer": "core",
            "kind": "REQUEST",
            "id": 0,
            "priority": 2,
            "sender": "strategy",
            "to": "core",
            "deadline_ns": 5,
            "bytes": 4,
        }
        assert lines[-3:] == [
            {"peer": "risk", "priority": 2, "first": 5, "last": 9},
            {"topic": QUOTES.name, "instrument_id": 7, "first": 3, "last": 4, "stream": "100000007"},
            {"before": 1, "epoch": 2},
        ]
        now_ns += buslog.WINDOW_NS
        log.flush()
        assert caplog.records[-1].fields == {"left_out": 7}
        log.on_dead_letters([letter(number, "late") for number in range(buslog.LINES + 2)])
        log.flush(at_once=True)
        assert caplog.records[-1].fields == {"left_out": 2}
        assert caplog.records[-2].fields["reason"] == "late"
