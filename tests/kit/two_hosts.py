"""Two hosts: network namespaces with a cable between them. Linux, with the right to make them."""

from __future__ import annotations

import os
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from shutil import which

import pytest

NETWORK = "10.213.77"


class Host:
    """One end: its namespace and its address."""

    def __init__(self, name: str, address: str) -> None:
        self.name = name
        self.address = address

    def command(self, *words: str) -> list[str]:
        """A command line that runs on this host, as the same process."""
        return ["ip", "netns", "exec", self.name, *words]


@contextmanager
def two_hosts() -> Iterator[tuple[Host, Host]]:
    """Make them, and remove them at the end; skips the test where they cannot be had."""
    if which("ip") is None:
        pytest.skip("there is no ip here (package iproute2)")
    mark = f"{os.getpid()}-{uuid.uuid4().hex[:6]}"
    hosts = [Host(f"naut-{mark}-{number}", f"{NETWORK}.{number}") for number in (1, 2)]
    made = []
    try:
        for host in hosts:
            done = subprocess.run(["ip", "netns", "add", host.name], capture_output=True, text=True, check=False)
            if done.returncode:
                pytest.skip(f"no network namespaces can be had here: {done.stderr.strip()}")
            made.append(host)
        cable = ["link", "add", "cable", "netns", hosts[0].name, "type", "veth"]
        done = subprocess.run(
            ["ip", *cable, "peer", "name", "cable", "netns", hosts[1].name], capture_output=True, text=True, check=False
        )
        if done.returncode:
            pytest.skip(f"no veth can be had here: {done.stderr.strip()}")
        for host in hosts:
            for words in (["addr", "add", f"{host.address}/24", "dev", "cable"], ["link", "set", "cable", "up"]):
                subprocess.run(["ip", "-n", host.name, *words], check=True)
            subprocess.run(["ip", "-n", host.name, "link", "set", "lo", "up"], check=True)
        yield hosts[0], hosts[1]
    finally:
        for host in made:
            subprocess.run(["ip", "netns", "del", host.name], check=False, capture_output=True)
