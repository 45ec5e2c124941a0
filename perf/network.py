"""A network of one's own that loses on demand: one host, whose loopback carries the TCP of its processes, or two.

Packets are dropped by classic BPF in `tc` (the classifier `cls_bpf` of the kernel, which draws chance itself), so that
neither nft nor iptables need be there. `why_not()` and `why_no_cable()` say what is missing; the namespaces are gone at
the end, whatever happened.
"""

from __future__ import annotations

import os
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from shutil import which

SERVER, CLIENT = "server", "client"
"""Which way packets of a port are lost: on their way to who listens there, or from there."""
BOTH = (SERVER, CLIENT)
_ACCEPT, _DROP = 0xFFFFFFFF, 2  # what the classifier answers: no opinion, TC_ACT_SHOT
_RANDOM = 0xFFFFF000 + 56  # SKF_AD_OFF + SKF_AD_RANDOM


def _chance(share: float) -> list[tuple[int, int, int, int]]:
    """Go on to the next but one with this chance: what follows at once is a drop, then a pass."""
    return [(0x20, 0, 0, _RANDOM), (0x35, 1, 0, int(share * 0xFFFFFFFF))] if share < 1 else []


def _bytecode(program: list[tuple[int, int, int, int]]) -> str:
    """As `tc` reads it."""
    return ",".join([str(len(program)), *(" ".join(map(str, each)) for each in program)])


def _program(port: int, toward: str, share: float) -> str:
    """Drop this share of the TCP packets to a port, or from it."""
    chance = _chance(share)
    head = [
        (0x28, 0, 0, 12),  # type of the Ethernet frame
        (0x15, 0, 5 + len(chance) + 1, 0x0800),
        (0x30, 0, 0, 23),  # protocol
        (0x15, 0, 3 + len(chance) + 1, 6),
        (0xB1, 0, 0, 14),  # length of the header of IP
        (0x48, 0, 0, 14 + (2 if toward == SERVER else 0)),
        (0x15, 0, len(chance) + 1, port),
    ]
    return _bytecode([*head, *chance, (0x06, 0, 0, _DROP), (0x06, 0, 0, _ACCEPT)])


class Network:
    """One namespace; to be closed."""

    def __init__(self) -> None:
        self.name = f"nau-{os.getpid()}-{uuid.uuid4().hex[:6]}"
        self._rules = 0
        _run("ip", "netns", "add", self.name)
        try:
            _run("ip", "-n", self.name, "link", "set", "lo", "up")
            self._tc("qdisc", "add", "dev", "lo", "clsact")
        except BaseException:
            self.close()
            raise

    def command(self, *words: str, host: int = 0) -> list[str]:
        """A command line that runs in this network, as the same process. There is one host, 0."""
        return ["ip", "netns", "exec", self.name, *words]

    def address(self, host: int = 0) -> str:
        """Of a host."""
        return "127.0.0.1"

    # On their way in: a sender is told of what is dropped on its way out, and TCP takes that for a full queue.
    def lose(self, *ports: int, share: float = 1.0, toward: tuple[str, ...] = BOTH) -> None:
        """Lose this share of the packets of the ports from now on; all of them: a partition."""
        for port in ports:
            for way in toward:
                self._rules += 1
                self._tc(
                    *("filter", "add", "dev", "lo", "ingress", "pref", str(self._rules)),
                    *("bpf", "da", "bytecode", _program(port, way, share)),
                )

    def heal(self) -> None:
        """Lose nothing any more."""
        self._rules = 0
        self._tc("filter", "del", "dev", "lo", "ingress")

    def reset(self, *ports: int) -> None:
        """Break every connection to the ports, at both ends at once."""
        for port in ports:
            _run(*self.command("ss", "-K", "state", "connected", f"( sport = :{port} or dport = :{port} )"))

    def close(self) -> None:
        """Remove it."""
        subprocess.run(["ip", "netns", "del", self.name], check=False, capture_output=True)

    def _tc(self, *words: str) -> None:
        _run("tc", "-n", self.name, *words)


class Cable:
    """Two hosts, each a namespace with an address of its own, and a cable (veth) between them; to be closed.

    What it does is done to the whole cable, whatever the port: `SERVER` is host 0, `CLIENT` host 1.
    """

    DEVICE = "cable"

    def __init__(self) -> None:
        mark = f"{os.getpid()}-{uuid.uuid4().hex[:6]}"
        self.names = tuple(f"nau-{mark}-{host}" for host in (0, 1))
        self._losing: set[str] = set()
        made = []
        try:
            for name in self.names:
                _run("ip", "netns", "add", name)
                made.append(name)
            ends = [("netns", name, "type", "veth") for name in self.names]
            _run(*("ip", "link", "add", self.DEVICE, *ends[0], "peer", "name", self.DEVICE, *ends[1][:2]))
            for host, name in enumerate(self.names):
                _run("ip", "-n", name, "link", "set", "lo", "up")
                _run("ip", "-n", name, "addr", "add", f"{self.address(host)}/30", "dev", self.DEVICE)
                _run("ip", "-n", name, "link", "set", self.DEVICE, "up")
                _run("tc", "-n", name, "qdisc", "add", "dev", self.DEVICE, "clsact")
        except BaseException:
            self.names = tuple(made)
            self.close()
            raise

    def command(self, *words: str, host: int = 0) -> list[str]:
        """A command line that runs on a host, as the same process."""
        return ["ip", "netns", "exec", self.names[host], *words]

    def address(self, host: int = 0) -> str:
        """Of a host."""
        return f"10.214.81.{host + 1}"

    def lose(self, *ports: int, share: float = 1.0, toward: tuple[str, ...] = BOTH) -> None:
        """Lose this share of all packets from now on, ARP too; all of them: a partition."""
        program = _bytecode([*_chance(share), (0x06, 0, 0, _DROP), (0x06, 0, 0, _ACCEPT)])
        for name, way in zip(self.names, BOTH, strict=True):
            if way in toward:
                self._losing.add(name)
                words = ("filter", "add", "dev", self.DEVICE, "ingress", "pref", "1", "bpf", "da", "bytecode", program)
                _run("tc", "-n", name, *words)

    def lose_udp(self, share: float, toward: str) -> None:
        """Lose this share of the packets of UDP, multicast too, and of nothing else, on their way to one host."""
        name, chance = self.names[BOTH.index(toward)], _chance(share)
        program = [
            (0x28, 0, 0, 12),
            (0x15, 0, 3 + len(chance), 0x0800),
            (0x30, 0, 0, 23),
            (0x15, 0, 1 + len(chance), 17),
        ]
        self._losing.add(name)
        words = ("filter", "add", "dev", self.DEVICE, "ingress", "pref", "1", "bpf", "da", "bytecode")
        _run("tc", "-n", name, *words, _bytecode([*program, *chance, (0x06, 0, 0, _DROP), (0x06, 0, 0, _ACCEPT)]))

    def unplug(self) -> None:
        """Take the cable out at host 1: both ends see that it is gone."""
        _run("ip", "-n", self.names[1], "link", "set", self.DEVICE, "down")

    def plug(self) -> None:
        """Put it in again."""
        _run("ip", "-n", self.names[1], "link", "set", self.DEVICE, "up")

    def heal(self) -> None:
        """Lose nothing any more."""
        while self._losing:
            _run("tc", "-n", self._losing.pop(), "filter", "del", "dev", self.DEVICE, "ingress")

    def reset(self, *ports: int) -> None:
        """Break every connection to the ports, at both ends."""
        for host in (0, 1):
            for port in ports:
                ends = f"( sport = :{port} or dport = :{port} )"
                _run(*self.command("ss", "-K", "state", "connected", ends, host=host))

    def close(self) -> None:
        """Remove both."""
        for name in self.names:
            subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)


def _run(*words: str) -> None:
    done = subprocess.run(words, check=False, capture_output=True, text=True)
    assert done.returncode == 0, f"{' '.join(words)}: {done.stderr}"


@cache
def why_not() -> str:
    """Why there is no network of one's own here; nothing where there is one."""
    missing = [name for name in ("ip", "tc", "ss") if which(name) is None]
    if missing:
        return f"no {', '.join(missing)} here (package iproute2)"
    try:
        with own_network() as network:
            network.lose(1, share=0.5)
            network.heal()
            network.reset(1)
    except AssertionError as error:
        return f"no network namespace with losses: {error}"
    return ""


@cache
def why_no_cable() -> str:
    """Why there are no two hosts here; nothing where there are."""
    if why_not():
        return why_not()
    try:
        with two_hosts() as cable:
            cable.lose(share=0.5)
            cable.heal()
            cable.unplug()
            cable.plug()
    except AssertionError as error:
        return f"no two network namespaces with a cable: {error}"
    return ""


@contextmanager
def two_hosts() -> Iterator[Cable]:
    """Two hosts, removed at the end."""
    cable = Cable()
    try:
        yield cable
    finally:
        cable.close()


@contextmanager
def own_network() -> Iterator[Network]:
    """A network, removed at the end."""
    network = Network()
    try:
        yield network
    finally:
        network.close()
