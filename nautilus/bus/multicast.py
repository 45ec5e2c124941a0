"""The star by UDP multicast: the hub's sender, and a reader's socket as another way beside ZeroMQ.

::

    publisher ─ tap ─▶ MulticastSender ══ datagrams ══▶ MulticastReader ─▶ Subscriber
    replayer  ◀══════════ key, what is missing: the reader's own connection ══════════▶

A datagram may be lost, come twice, late, or from anybody: what the hub did not make is refused and counted
(`nautilus.bus.multicast_wire`), and all else is what readers of the star expect of every way: what is missing is asked
for, what comes twice is dropped. What is sent can be read by whoever is on the network, so it is never done unless it
was said that it may be (`MulticastPlace.plain`), or it cannot leave this machine.
"""

from __future__ import annotations

import ipaddress
import secrets
import socket
import struct
from typing import TYPE_CHECKING, Final, NamedTuple

from nautilus.bus.base import HEARTBEAT
from nautilus.bus.multicast_wire import (
    KEY_BYTES,
    MOST_FRAME,
    Cutter,
    Joiner,
    pack_key,
    pack_key_request,
    parse_key,
)
from nautilus.bus.sockets import EndpointError
from nautilus.bus.tally import Tally
from nautilus.core.counters import Counters

if TYPE_CHECKING:
    from nautilus.bus.security import Security

MULTICAST: Final = "multicast"
LEAST_MTU: Final = 576
MOST_MTU: Final = 65_535
BUFFER_BYTES: Final = 8 << 20
"""Of the sockets, as far as the system gives it: so many bytes may come while their reader is at something else."""
LOOKED: Final = 4
"""Datagrams that are looked at for each frame that is wanted, and `SPARE` more: of a flood of garbage no more."""
SPARE: Final = 256
ASK_NS: Final = 50_000_000
"""Until the key is asked for again; twice as long each time."""
MOST_ASK_NS: Final = 5_000_000_000
_MREQN: Final = struct.Struct("=4s4si")
_MULTICAST_ALL: Final = 49  # IP_MULTICAST_ALL of Linux, which the module socket does not name
_RCVBUFFORCE, _SNDBUFFORCE = 33, 32
COUNTED_SENT: Final = ("sent_frames", "sent_datagrams", "unsent", "too_long", "keys_given")
COUNTED_READ: Final = ("datagrams", "frames", "garbage", "unkeyed", "forged", "repeated", "incomplete")


class MulticastPlace(NamedTuple):
    """Where the star is sent by multicast.

    Attributes
    ----------
    group, port : to which.
    interface : address or name of the interface that is used, or the network (``10.1.0.0/16``) that it leads to; "":
        the one that the routes of this host say.
    ttl : routers that a datagram may pass, and one more; 0: it stays on this machine.
    mtu : bytes of the longest packet.
    plain : that whoever is on the network can read what is sent is known and wanted.
    """

    group: str
    port: int
    interface: str = ""
    ttl: int = 1
    mtu: int = 1500
    plain: bool = False

    @property
    def stays(self) -> bool:
        """Whether what is sent cannot leave this machine."""
        return self.ttl == 0 and self.interface.startswith("127.")


def place_of(text: str, *, interface: str = "", ttl: int = 1, mtu: int = 1500, plain: bool = False) -> MulticastPlace:
    """The place that ``GROUP:PORT`` names. EndpointError where there is none such."""
    group, _, port = text.rpartition(":")
    try:
        right = ipaddress.IPv4Address(group).is_multicast and port.isdecimal() and 0 < int(port) < 65_536
    except ValueError:
        right = False
    if not right:
        raise EndpointError(text, where="bus.multicast", expected="GROUP:PORT, 224.0.0.0 to 239.255.255.255")
    if not LEAST_MTU <= mtu <= MOST_MTU:
        raise EndpointError(f"MTU {mtu}", where="bus.multicast", expected=f"{LEAST_MTU} to {MOST_MTU}")
    if not 0 <= ttl < 256:
        raise EndpointError(f"TTL {ttl}", where="bus.multicast", expected="0 to 255")
    return MulticastPlace(group, int(port), interface, ttl, mtu, plain)


def check_plain(place: MulticastPlace, security: Security | None) -> None:
    """Refuse to send what anybody could read where nobody has said that it may be; EndpointError then.

    What cannot leave this machine is like TCP on loopback.
    """
    if place.plain or (place.stays and (security is None or security.plain_loopback)):
        return
    raise EndpointError(
        f"{place.group}:{place.port}",
        where="bus.multicast",
        expected="bus.multicast_plain = true, as it can be read by all on the network",
    )


class MulticastSender:
    """Sends frames by multicast. Never waits, and never raises for what becomes of them: they can be asked for.

    Parameters
    ----------
    place
        Where to.
    epoch
        Of the publisher.
    security
        Of the process: a key that is revoked there makes a new one here.
    counters
        Table to keep ``multicast.sent_frames`` and so on in.

    Attributes
    ----------
    sent_frames, sent_datagrams, unsent, too_long, keys_given
        Frames, datagrams sent; frames for which the system had no room or no way; frames that are too long; answers
        with the key.

    Raises
    ------
    EndpointError
        It may not be plain, or there is no such interface.
    """

    def __init__(
        self,
        place: MulticastPlace,
        epoch: int,
        *,
        security: Security | None = None,
        counters: Counters | None = None,
    ) -> None:
        check_plain(place, security)
        self.sent_frames = self.sent_datagrams = self.unsent = self.too_long = self.keys_given = 0
        self._security = security
        self._revision = 0 if security is None else security.revision
        self._cutter = Cutter(epoch, secrets.token_bytes(KEY_BYTES), place.mtu)
        self._to = (place.group, place.port)
        self._tally = Tally(counters, MULTICAST, self, COUNTED_SENT)
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            self._socket.setblocking(False)
            _widen(self._socket, socket.SO_SNDBUF, _SNDBUFFORCE)
            self._socket.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, place.ttl)
            self._socket.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, 1)
            local, device = _interface(place.interface)
            if place.interface:
                option = _MREQN.pack(bytes(4), local, device)
                self._socket.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, option)
        except OSError as error:
            self._socket.close()
            raise EndpointError(
                f"{place.interface}: {error.strerror}", where="bus.multicast", expected="an interface"
            ) from error
        except BaseException:
            self._socket.close()
            raise

    def offer(self, frame: bytes) -> None:
        """Send a frame, as far as the system takes it at once."""
        if frame[0] == HEARTBEAT:
            self._tend()
        if len(frame) > MOST_FRAME:
            self.too_long += 1
            return
        send, to = self._socket.sendto, self._to
        try:
            for datagram in self._cutter.cut(frame):
                send(datagram, to)
                self.sent_datagrams += 1
        except OSError:
            self.unsent += 1
            return
        self.sent_frames += 1

    def answer(self, nonce: int) -> bytes:
        """What is said to a reader that asks for the key and may have it."""
        self.keys_given += 1
        return pack_key(self._cutter.key, nonce)

    def close(self) -> None:
        """Send nothing any more."""
        self._tally.write()
        self._socket.close()

    def _tend(self) -> None:
        """Now and then: another key where somebody who has it is not let in any more."""
        self._tally.write()
        if self._security is not None and self._security.revision != self._revision:
            self._revision = self._security.revision
            self._cutter.renew(secrets.token_bytes(KEY_BYTES))


class MulticastReader:
    """A reader's socket for the group; with what a `Subscriber` asks of a way beside ZeroMQ.

    Parameters
    ----------
    place
        As the hub's, with this host's interface.
    counters
        Table to keep ``multicast.frames`` and so on in.

    Attributes
    ----------
    joined : the group; it is tried again every 100 ms while that fails, as where no route or interface is there yet.
    lag : 1: the last `drain` gave as many frames as were wanted, there may be more.
    alive : as of `nautilus.bus.ring.RingReader`: whether the hub lives is not known.
    """

    way = name = MULTICAST
    alive = True

    def __init__(self, place: MulticastPlace, *, counters: Counters | None = None) -> None:
        self.joined = False
        self.lag = 0
        self._joiner = Joiner()
        self._place = place
        self._nonce = secrets.randbits(64)
        self._ask_ns = self._wait_ns = 0
        self._tally = Tally(counters, MULTICAST, self._joiner, COUNTED_READ)
        self._buffer = memoryview(bytearray(MOST_MTU + 1))
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            self._socket.setblocking(False)
            _widen(self._socket, socket.SO_RCVBUF, _RCVBUFFORCE)
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._socket.setsockopt(socket.IPPROTO_IP, _MULTICAST_ALL, 0)
            self._socket.bind((place.group, place.port))
        except OSError as error:
            self._socket.close()
            raise EndpointError(
                f"{place.group}:{place.port}: {error.strerror}", where="bus.multicast", expected="a port that is free"
            ) from error
        self.attach()

    @property
    def counts(self) -> Joiner:
        """What was counted of what came: see its attributes."""
        return self._joiner

    @property
    def rings(self) -> bool:
        """Frames can come by it."""
        return self.joined and self._joiner.keyed

    @property
    def epoch(self) -> int:
        """0: it is to be `attach`ed."""
        return int(self.joined)

    def fileno(self) -> int:
        """Readable when something has come."""
        return self._socket.fileno()

    def arm(self) -> bool:
        """Whether there is nothing that `fileno` will not tell of."""
        return True

    def attach(self) -> bool:
        """Join the group where that is not done yet; whether it is now."""
        if not self.joined:
            try:
                local, device = _interface(self._place.interface)
                option = _MREQN.pack(socket.inet_aton(self._place.group), local, device)
                self._socket.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, option)
                self.joined = True
            except (OSError, EndpointError):
                return False
        return True

    def drain(self, limit: int = 64) -> list[bytes]:
        """The next frames, at most `limit`."""
        frames: list[bytes] = []
        self.lag = 0
        receive, take, buffer = self._socket.recv_into, self._joiner.take, self._buffer
        for _ in range(LOOKED * limit + SPARE):
            try:
                size = receive(buffer)
            except OSError:  # nothing more, or the network is not there
                break
            frame = take(buffer[:size])
            if frame is not None:
                frames.append(frame)
                if len(frames) == limit:
                    self.lag = 1
                    break
        return frames

    def question(self, now_ns: int) -> bytes:
        """What is to be asked of the replayer now; b"": nothing."""
        self._tally.write()
        if not self.joined or (self._joiner.keyed and not self._joiner.strange) or now_ns < self._ask_ns:
            return b""
        self._wait_ns = min(2 * self._wait_ns or ASK_NS, MOST_ASK_NS)
        self._ask_ns = now_ns + self._wait_ns
        return pack_key_request(self._nonce)

    def take_key(self, answer: bytes) -> bool:
        """The replayer's answer; whether it is one."""
        key = parse_key(answer, self._nonce)
        if key is None:
            return False
        if self._joiner.learn(key):  # else somebody sends with keys that are none: the hub is asked less and less
            self._wait_ns = 0
        return True

    def close(self) -> None:
        """Leave the group."""
        self._tally.write()
        self._socket.close()


def _interface(text: str) -> tuple[bytes, int]:
    """Address and number of an interface, one of which is zero; both: the one that the routes say."""
    if not text:
        return bytes(4), 0
    try:
        network = ipaddress.IPv4Network(text)
    except ValueError:
        return bytes(4), socket.if_nametoindex(text)
    if network.prefixlen == 32:
        return network.network_address.packed, 0
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as way:  # sends nothing: it is asked which way it would go
        way.connect((str(network.network_address + 1), 9))
        local = ipaddress.IPv4Address(way.getsockname()[0])
    if local not in network:
        raise EndpointError(text, where="bus.multicast", expected="a network that this host is in")
    return local.packed, 0


def _widen(of: socket.socket, option: int, force: int) -> None:
    """Have the buffer of a socket as large as may be."""
    try:
        of.setsockopt(socket.SOL_SOCKET, force, BUFFER_BYTES)
    except OSError:
        of.setsockopt(socket.SOL_SOCKET, option, BUFFER_BYTES)
