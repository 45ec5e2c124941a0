"""A bad network for multicast: takes what is sent to one group and sends it on to another, as a test wants it."""

from __future__ import annotations

import random
import socket
import struct
from contextlib import suppress


class Relay:
    """Loses, repeats, holds back, and adds what nobody sent. Not a thread: `turn` is called.

    Parameters
    ----------
    source, target
        (group, port) of both.
    seed
        Of what is drawn.
    """

    def __init__(self, source: tuple[str, int], target: tuple[str, int], seed: int) -> None:
        self.lose = self.repeat = self.hold = self.forge = self.junk = 0.0
        """Shares of datagrams."""
        self.lost = self.repeated = self.held = self.forged = self.junked = self.passed = 0
        self.sent: list[bytes] = []
        """The last ones that were passed."""
        self._draw = random.Random(seed)
        self._target = target
        self._waiting: list[tuple[int, bytes]] = []
        self._count = 0
        self._in = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._in.setblocking(False)
        self._in.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        self._in.bind(source)
        loopback = socket.inet_aton("127.0.0.1")
        self._in.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, socket.inet_aton(source[0]) + loopback)
        self._out = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._out.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, struct.pack("=4s4si", bytes(4), loopback, 0))
        self._out.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 0)

    def send(self, datagram: bytes) -> None:
        """Send something as if it were the hub's."""
        self._out.sendto(datagram, self._target)

    def turn(self) -> None:
        """Pass on what has come."""
        with suppress(BlockingIOError):
            while True:
                self._pass(self._in.recv(65_536))
        # What is held back goes when others went before it, or with the next turn.
        self._count += 1
        self._let_go()

    def _pass(self, datagram: bytes) -> None:
        draw = self._draw.random
        self._count += 1
        if draw() < self.junk:
            self.junked += 1
            self.send(self._draw.randbytes(self._draw.randint(0, 1_400)))
        if draw() < self.forge:
            self.forged += 1
            bad = bytearray(datagram)
            bad[self._draw.randrange(32, len(bad))] ^= 0x10
            self.send(bytes(bad))
        if draw() < self.lose:
            self.lost += 1
        elif draw() < self.hold:
            self.held += 1
            self._waiting.append((self._count + self._draw.randint(1, 30), datagram))
        else:
            self._send(datagram)
        self._let_go()

    def _send(self, datagram: bytes) -> None:
        self.passed += 1
        self.send(datagram)
        self.sent = [*self.sent[-63:], datagram]
        if self._draw.random() < self.repeat:
            self.repeated += 1
            self.send(self._draw.choice(self.sent))

    def _let_go(self) -> None:
        due = [each for each in self._waiting if each[0] <= self._count]
        self._waiting = [each for each in self._waiting if each[0] > self._count]
        for _, datagram in due:
            self._send(datagram)

    def close(self) -> None:
        """Pass nothing on any more."""
        self._in.close()
        self._out.close()
