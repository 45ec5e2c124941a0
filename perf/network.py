"""A network of one's own: a namespace whose loopback carries the TCP of the processes in it, and loses on demand.

Packets are dropped by classic BPF in `tc` (the classifier `cls_bpf` of the kernel, which draws chance itself), so that
neither nft nor iptables need be there. `why_not()` says what is missing; the namespace is gone at the end, whatever
happened.
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


def _program(port: int, toward: str, share: float) -> str:
    """Drop this share of the TCP packets to a port, or from it: the bytecode as `tc` reads it."""
    chance = [(0x20, 0, 0, _RANDOM), (0x35, 1, 0, int(share * 0xFFFFFFFF))] if share < 1 else []
    head = [
        (0x28, 0, 0, 12),  # type of the Ethernet frame
        (0x15, 0, 5 + len(chance) + 1, 0x0800),
        (0x30, 0, 0, 23),  # protocol
        (0x15, 0, 3 + len(chance) + 1, 6),
        (0xB1, 0, 0, 14),  # length of the header of IP
        (0x48, 0, 0, 14 + (2 if toward == SERVER else 0)),
        (0x15, 0, len(chance) + 1, port),
    ]
    program = [*head, *chance, (0x06, 0, 0, _DROP), (0x06, 0, 0, _ACCEPT)]
    return ",".join([str(len(program)), *(" ".join(map(str, each)) for each in program)])


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

    def command(self, *words: str) -> list[str]:
        """A command line that runs in this network, as the same process."""
        return ["ip", "netns", "exec", self.name, *words]

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


@contextmanager
def own_network() -> Iterator[Network]:
    """A network, removed at the end."""
    network = Network()
    try:
        yield network
    finally:
        network.close()
