"""The registry on the wire: the service of a hub, and its clients.

::

    client ── REGISTER, RENEW (each beat, with the highest epoch of a hub that it knows), LEAVE ──▶ service
           ◀─ ANSWER: verdict, epoch and role of this hub ─────────────────────────────────────────
           ◀─ CHANGES, TABLE, BEAT ──────────────── to everybody who renews or watches ────────────

Each message is one frame of msgpack, a `Request` or a `Notice`. A hub that hears of a higher epoch than its own is
fenced by it. Clients speak to every hub and believe the active one with the highest epoch; to a restarted hub they
register again with their next beat.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum
from typing import Annotated, Any, Final

import msgspec
import zmq
from msgspec import Meta

from nautilus.bus.envelope import UNREADABLE
from nautilus.bus.grants import FENCE, granted
from nautilus.bus.reading import user_of
from nautilus.bus.registry import BEAT_NS, LEASE_NS, MOST_ENTRIES, Change, Entry, Number, Table, Text, Verdict, View
from nautilus.bus.sockets import checked_endpoints, new_socket
from nautilus.model.errors import BusError

MOST_WATCHERS: Final = MOST_ENTRIES
MOST_BYTES: Final = 4 << 20
TURN: Final = 256
"""Requests that are taken in one go."""


class RegistryError(BusError):
    """What was asked of the registry is not there, or not in force."""

    code = "bus.registry"


class Op(IntEnum):
    """What a request asks, or a notice says."""

    REGISTER = 1
    RENEW = 2
    LEAVE = 3
    WATCH = 4
    """Renews nothing: of who only looks."""
    FENCE = 5
    """There is a hub of the epoch that this names."""
    PROMOTE = 10
    """Of a person on this machine: the standby is to be the hub."""
    DESCRIBE = 11
    """What is there to join: of a process that knows no more than where the hub is."""
    ANSWER = 6
    CHANGES = 7
    TABLE = 8
    BEAT = 9


class Request(msgspec.Struct, array_like=True, frozen=True):
    """From a client. `hub_epoch` is the highest of a hub that it knows, `number` the last change that it has."""

    op: Annotated[int, Meta(ge=1, le=11)]
    process: Text
    epoch: Number
    hub_epoch: Number = 0
    number: Annotated[int, Meta(ge=-1, le=(1 << 63) - 1)] = -1
    entry: Entry | None = None


class Notice(msgspec.Struct, array_like=True, frozen=True):
    """From a hub: its epoch and role, and what `op` says."""

    op: Annotated[int, Meta(ge=6, le=9)]
    hub_epoch: Number
    active: bool
    number: Number = 0
    verdict: Verdict = Verdict.OK
    changes: tuple[Change, ...] = ()
    entries: tuple[Entry, ...] = ()
    about: bytes = b""


class RegistryService:
    """The registry of one hub; it never waits. Call `poll` when `socket` is readable, and by the time it says.

    Parameters
    ----------
    epoch
        Of the hub.
    active
        Whether it is the hub, or stands by.
    on_higher
        Called with the epoch of a hub that is higher than this one's, where somebody tells of one.

    Attributes
    ----------
    refused, malformed : requests that were not granted; that are none.
    """

    def __init__(
        self,
        context: zmq.Context[Any],
        endpoints: str | tuple[str, ...],
        *,
        epoch: int,
        active: bool = True,
        lease_ns: int = LEASE_NS,
        beat_ns: int = BEAT_NS,
        on_higher: Callable[[int], object] | None = None,
    ) -> None:
        self.table = Table(lease_ns)
        self.epoch = epoch
        self.active = active
        self.refused = self.malformed = 0
        self.on_promote: Callable[[], bool] | None = None
        """Makes this hub the active one where it stands by; whether it does."""
        self.on_describe: Callable[[str], bytes] | None = None
        """Tells the process of that name what there is to join; b"": it is told nothing."""
        self._lease_ns = lease_ns
        self._beat_ns = beat_ns
        self._due_ns = 0
        self._on_higher = on_higher
        self._watchers: dict[bytes, int] = {}
        self._told = 0
        self._decode = msgspec.msgpack.Decoder(Request).decode
        self._encode = msgspec.msgpack.Encoder().encode
        self.socket = new_socket(context, zmq.ROUTER)
        self.socket.setsockopt(zmq.ROUTER_HANDOVER, 1)
        self.socket.setsockopt(zmq.MAXMSGSIZE, MOST_BYTES)
        bound = []
        try:
            for each in checked_endpoints(endpoints):
                self.socket.bind(each)
                bound.append(self.socket.getsockopt_string(zmq.LAST_ENDPOINT))
        except BaseException:
            self.socket.close()
            raise
        self.endpoints = tuple(bound)

    def poll(self, now_ns: int) -> int:
        """Take in what has come, take out whose lease has ended, tell; when to call again at the latest."""
        for _ in range(TURN):
            try:
                frames = self.socket.recv_multipart(zmq.NOBLOCK, copy=False)
            except zmq.Again:
                break
            self._take(frames, now_ns)
        self.table.expire(now_ns)
        if self.table.number != self._told:
            self._push()
        if not self._due_ns - self._beat_ns <= now_ns < self._due_ns:
            self._due_ns = now_ns + self._beat_ns
            for watcher in [watcher for watcher, until_ns in self._watchers.items() if until_ns <= now_ns]:
                del self._watchers[watcher]
            self._tell_all(Op.BEAT)
        return self._due_ns

    def _take(self, frames: list[zmq.Frame], now_ns: int) -> None:
        try:
            identity, request = frames[0].bytes, self._decode(frames[1].bytes)
        except (*UNREADABLE, IndexError):
            self.malformed += 1
            return
        if len(frames) != 2:
            self.malformed += 1
            return
        user = user_of(frames[1])
        if request.hub_epoch > self.epoch and self._on_higher is not None and self._may_fence(user):
            self._on_higher(request.hub_epoch)
        if request.op == Op.FENCE:
            self._send(identity, Op.ANSWER)
            return
        if request.op == Op.PROMOTE:
            self._promote(identity, user)
            return
        if request.op == Op.DESCRIBE:
            self._describe(identity, request.process, user)
            return
        verdict = self._judge(request, user, now_ns)
        self.refused += verdict not in (Verdict.OK, Verdict.UNKNOWN)
        if identity in self._watchers or len(self._watchers) < MOST_WATCHERS:
            self._watchers[identity] = now_ns + self._lease_ns
        self._send(identity, Op.ANSWER, verdict=verdict)
        if request.op != Op.LEAVE and verdict is not Verdict.FORBIDDEN:
            self._bring_up_to_date(identity, request.number)

    def _may_fence(self, user: str | None) -> bool:
        """Whether one may be believed that tells of a higher hub: over TCP that needs a grant."""
        security = self.socket.security
        if user is None or security is None:
            return True
        key = security.allowed.by_name.get(user)
        return key is not None and granted(key.grants, "send", FENCE)

    def _promote(self, identity: bytes, user: str | None) -> None:
        """Over ipc alone: whoever gets at that is this machine's own user."""
        verdict = Verdict.FORBIDDEN
        if user is None and self.on_promote is not None:
            verdict = Verdict.OK if self.on_promote() else Verdict.UNKNOWN
        self.refused += verdict is Verdict.FORBIDDEN
        self._send(identity, Op.ANSWER, verdict=verdict)

    def _describe(self, identity: bytes, process: str, user: str | None) -> None:
        about = self.on_describe(process) if self.on_describe is not None and user in (None, process) else b""
        self.refused += not about
        self._send(identity, Op.ANSWER, verdict=Verdict.OK if about else Verdict.FORBIDDEN, about=about)

    def _judge(self, request: Request, user: str | None, now_ns: int) -> Verdict:
        if request.op == Op.WATCH:
            return Verdict.OK
        if request.op not in (Op.REGISTER, Op.RENEW, Op.LEAVE):
            self.malformed += 1
            return Verdict.UNKNOWN
        entry = request.entry
        if request.op == Op.REGISTER and (
            entry is None or entry.process != request.process or entry.epoch != request.epoch
        ):
            self.malformed += 1
            return Verdict.UNKNOWN
        # Over TCP the key says who it is, and that is the only process that it can register.
        if user is not None and user != request.process:
            return Verdict.FORBIDDEN
        security = self.socket.security
        if entry is not None and entry.public and security is not None:
            key = security.key_of(request.process)
            if key is None or key.revoked_ns or key.public != entry.public:
                return Verdict.FORBIDDEN
        if request.op == Op.REGISTER:
            assert entry is not None
            return self.table.register(entry, now_ns)
        if request.op == Op.RENEW:
            return self.table.renew(request.process, request.epoch, now_ns)
        return self.table.leave(request.process, request.epoch)

    def _bring_up_to_date(self, identity: bytes, number: int) -> None:
        changes = self.table.changes_since(number) if number >= 0 else None
        if changes is None:
            self._send(identity, Op.TABLE, entries=self.table.entries())
        elif changes:
            self._send(identity, Op.CHANGES, changes=changes)

    def _push(self) -> None:
        changes, self._told = self.table.changes_since(self._told), self.table.number
        if changes is None:
            self._tell_all(Op.TABLE, entries=self.table.entries())
        else:
            self._tell_all(Op.CHANGES, changes=changes)

    def _tell_all(self, op: Op, **what: Any) -> None:
        for watcher in list(self._watchers):
            self._send(watcher, op, **what)

    def _send(self, identity: bytes, op: Op, **what: Any) -> None:
        notice = Notice(op, self.epoch, self.active, self.table.number, **what)
        try:
            self.socket.send_multipart((identity, self._encode(notice)), zmq.NOBLOCK)
        except zmq.ZMQError:  # it reads nothing, or is gone: it will ask
            self._watchers.pop(identity, None)

    def close(self) -> None:
        """Close the socket; leases are not ended by that."""
        self.socket.close()


def ask_to_promote(context: zmq.Context[Any], endpoint: str, timeout_seconds: float) -> Notice:
    """Tell the standby hub whose registry listens there to take over; its answer.

    Raises
    ------
    RegistryError
        It is no standby, or this is not its machine.
    TimeoutError
        No answer came: whether it has is not known.
    """
    answer = _ask(context, endpoint, Request(Op.PROMOTE, "person", 0), timeout_seconds)
    if answer is None:
        raise TimeoutError(f"{endpoint}: no answer of the standby hub within {timeout_seconds:g} s")
    if answer.verdict is not Verdict.OK:
        raise RegistryError(
            f"not promoted: {answer.verdict.name.lower()}",
            where=endpoint,
            expected="a hub that stands by, asked on its own machine",
        )
    return answer


def ask_what_there_is(context: zmq.Context[Any], endpoint: str, process: str, timeout_seconds: float) -> bytes:
    """What the hub whose registry listens there says to a process that wants to join.

    Raises
    ------
    RegistryError
        It says nothing to a process of this name.
    TimeoutError
        No answer came; who has no key there gets none.
    """
    answer = _ask(context, endpoint, Request(Op.DESCRIBE, process, 0), timeout_seconds)
    if answer is None:
        raise TimeoutError(
            f"{endpoint}: no answer of the hub within {timeout_seconds:g} s; expected one that listens there, and has "
            f"the key of {process} in its list"
        )
    if answer.verdict is not Verdict.OK:
        raise RegistryError(f"{process} cannot join", where=endpoint, expected="a process of the instance, by its key")
    return answer.about


def _ask(context: zmq.Context[Any], endpoint: str, request: Request, timeout_seconds: float) -> Notice | None:
    """The answer to one request; None: there was none in time."""
    socket = new_socket(context, zmq.DEALER)
    try:
        socket.connect(checked_endpoints(endpoint)[0])
        socket.send(msgspec.msgpack.encode(request))
        while socket.poll(int(timeout_seconds * 1000)):
            answer = msgspec.msgpack.decode(socket.recv(), type=Notice)
            if answer.op == Op.ANSWER:
                return answer
    finally:
        socket.close()
    return None


class _Line:
    """The connection of a client to one hub, and what that hub says."""

    def __init__(self, context: zmq.Context[Any], endpoint: str, name: bytes) -> None:
        self.endpoint = endpoint
        self.view = View()
        self.hub_epoch = 0
        self.active = False
        self.heard_ns = 0
        self.registered = False
        self.said: Entry | None = None
        """What was registered last."""
        self.fenced = False
        self.socket = new_socket(context, zmq.DEALER)
        self.socket.setsockopt(zmq.ROUTING_ID, name)
        self.socket.setsockopt(zmq.SNDHWM, 64)
        self.socket.setsockopt(zmq.MAXMSGSIZE, MOST_BYTES)
        try:
            for each in checked_endpoints(endpoint):
                self.socket.connect(each)
        except BaseException:
            self.socket.close()
            raise


class RegistryClient:
    """A process's own line to every hub: it registers there, and knows who else is on the bus.

    It never waits: call `poll` when one of `sockets` is readable, and by the time it says.

    Parameters
    ----------
    hubs
        Endpoints of the registries of the hub and of those that stand by.
    entry
        What to register; None: it only looks.
    name
        Of the process that only looks.
    on_change
        Called with a `Change` for each process that comes, goes or moves.
    on_hub
        Called with (epoch, endpoint of the registry) when another hub is the active one with the highest epoch.

    Attributes
    ----------
    hub_epoch
        The highest of a hub that was heard of; what a lower one says is not believed.
    fenced
        A later life of this process was there: this one is none any more.
    ignored, malformed
        Notices of hubs that are none any more; that are none.
    """

    def __init__(
        self,
        context: zmq.Context[Any],
        hubs: tuple[str, ...],
        entry: Entry | None = None,
        *,
        name: str = "",
        beat_ns: int = BEAT_NS,
        silence_ns: int = 5 * BEAT_NS,
        on_change: Callable[[Change], object] | None = None,
        on_hub: Callable[[int, str], object] | None = None,
    ) -> None:
        if entry is None and not name:
            raise RegistryError("neither an entry nor a name", where="registry", expected="one of them")
        self.name = entry.process if entry is not None else name
        self.hub_epoch = 0
        self.fenced = False
        self.ignored = self.malformed = 0
        self._entry = entry
        self._beat_ns = beat_ns
        self._silence_ns = silence_ns
        self._due_ns = 0
        self._now_ns = 0
        self._on_change = on_change
        self._on_hub = on_hub
        self._known: View = View()
        self._decode = msgspec.msgpack.Decoder(Notice).decode
        self._encode = msgspec.msgpack.Encoder().encode
        self._lines: list[_Line] = []
        self.touched: set[zmq.Socket[bytes]] = set()
        """Holds a socket while it may not be empty: to be looked at itself before the host waits for its descriptor."""
        try:
            for hub in hubs:
                self._lines.append(_Line(context, hub, self.name.encode()))
        except BaseException:
            self.close()
            raise

    def sockets(self) -> list[zmq.Socket[bytes]]:
        """To be polled for reading; they never change."""
        return [line.socket for line in self._lines]

    @property
    def silent(self) -> bool:
        """Whether nothing was heard of the active hub for as long as `silence_ns`; what is known may be out of date."""
        line = self._active()
        return line is None or self._now_ns - line.heard_ns > self._silence_ns

    @property
    def registered(self) -> bool:
        """Whether the active hub has this process in its table."""
        line = self._active()
        return line is not None and line.registered

    def lookup(self, process: str) -> Entry:
        """A process that is on the bus; RegistryError where it is not, as far as is known."""
        entry = self._known.lookup(process)
        if entry is None:
            known = ", ".join(sorted(each.process for each in self._known.entries()))
            raise RegistryError(
                f"no process {process!r}", where="registry", expected=f"one of {known or 'those to come'}"
            )
        return entry

    def entries(self) -> tuple[Entry, ...]:
        """All that are on the bus, as far as is known."""
        return self._known.entries()

    def change(self, entry: Entry) -> None:
        """Register something else from now on, as a process that has moved or become the hub does."""
        self._entry, self.name = entry, entry.process
        self._due_ns = 0
        for line in self._lines:
            line.registered = False

    def poll(self, now_ns: int) -> int:
        """Take in what has come, and renew what is due; when to call again at the latest."""
        self._now_ns = now_ns
        for line in self._lines:
            self.touched.add(line.socket)
            for _ in range(TURN):
                try:
                    frame = line.socket.recv(zmq.NOBLOCK)
                except zmq.Again:
                    self.touched.discard(line.socket)
                    break
                self._take(line, frame, now_ns)
        if not self._due_ns - self._beat_ns <= now_ns < self._due_ns:
            self._due_ns = now_ns + self._beat_ns
            for line in self._lines:
                self._say(line)
        return self._due_ns

    def leave(self) -> None:
        """Say that this process goes; from then on it only looks."""
        entry, self._entry = self._entry, None
        if entry is not None:
            request = Request(Op.LEAVE, self.name, entry.epoch, self.hub_epoch)
            for line in self._lines:
                self._send(line, request)
                line.registered = False

    def close(self) -> None:
        """Close the sockets; what was said last has a moment to go out."""
        self.touched.clear()
        for line in self._lines:
            line.socket.close(linger=100)

    def _say(self, line: _Line) -> None:
        entry = self._entry
        if entry is None or self.fenced:
            self._send(line, Request(Op.WATCH, self.name, 0, self.hub_epoch, line.view.number))
        elif line.registered:
            self._send(line, Request(Op.RENEW, self.name, entry.epoch, self.hub_epoch, line.view.number))
        else:
            line.said = entry
            self._send(line, Request(Op.REGISTER, self.name, entry.epoch, self.hub_epoch, line.view.number, entry))

    def _send(self, line: _Line, request: Request) -> None:
        self.touched.add(line.socket)
        try:
            line.socket.send(self._encode(request), zmq.NOBLOCK)
        except zmq.Again:  # nobody is there: it is said again
            line.registered = False

    def _take(self, line: _Line, frame: bytes, now_ns: int) -> None:
        try:
            notice = self._decode(frame)
        except UNREADABLE:
            self.malformed += 1
            return
        if notice.hub_epoch < line.hub_epoch or (notice.active and notice.hub_epoch < self.hub_epoch):
            self.ignored += 1
            return
        if notice.hub_epoch > line.hub_epoch:  # another life of that hub, which knows nobody yet
            line.hub_epoch = notice.hub_epoch
            line.registered = False
            line.view = View()
        before = self._active()
        line.heard_ns, line.active = now_ns, notice.active
        if notice.active and notice.hub_epoch > self.hub_epoch:
            self.hub_epoch = notice.hub_epoch
        self._heed(line, notice)
        after = self._active()
        if after is not before and after is not None:
            self._adopt(after)
            if self._on_hub is not None:
                self._on_hub(self.hub_epoch, after.endpoint)

    def _heed(self, line: _Line, notice: Notice) -> None:
        if notice.op == Op.ANSWER:
            if notice.verdict is Verdict.OK:
                # What was said before the entry changed is no answer to it.
                line.registered = self._entry is not None and line.said is self._entry
            elif notice.verdict is Verdict.UNKNOWN:
                line.registered = False
                self._due_ns = 0
            elif notice.verdict is Verdict.FENCED and line.active:
                self.fenced = True
            return
        if notice.op == Op.TABLE:
            changes: list[Change] | None = line.view.replace(notice.entries, notice.number)
        elif notice.op == Op.CHANGES:
            changes = line.view.take(notice.changes)
        else:
            changes = None if notice.number != line.view.number else []
        if changes is None:
            line.view.number = -1  # one is missing: the whole table comes with the next answer
            self._due_ns = 0
        elif line is self._active():
            self._adopt(line)

    def _active(self) -> _Line | None:
        """The line to the hub that is believed."""
        for line in self._lines:
            if line.active and line.hub_epoch == self.hub_epoch:
                return line
        return None

    def _adopt(self, line: _Line) -> None:
        """What the believed hub says is what is known; changes are told."""
        if line.view.number < 0:
            return
        for change in self._known.replace(line.view.entries(), line.view.number):
            if self._on_change is not None:
                self._on_change(change)
