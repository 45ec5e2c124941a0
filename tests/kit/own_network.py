"""A network of the test's own: a namespace whose loopback can be partitioned. Linux, with the right to make one."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

CLONE_NEWNET = 0x40000000


class OwnNetwork:
    """Connections of this thread, and of the threads and processes that it starts, stay in here."""

    def partition(self, port: int) -> None:
        """Drop every packet from and to these TCP ports: `port` and the next one."""
        _nft("add table inet test")
        _nft("add chain inet test input { type filter hook input priority 0; }")
        for side in ("dport", "sport"):
            _nft(f"add rule inet test input tcp {side} {port}-{port + 1} drop")

    def heal(self) -> None:
        """Let everything pass again."""
        _nft("delete table inet test")


@contextmanager
def own_network() -> Iterator[OwnNetwork]:
    """Enter a new network; the old one is entered again at the end. Skips the test where that cannot be had."""
    for tool in ("ip", "nft"):
        if shutil.which(tool) is None:
            pytest.skip(f"there is no {tool} here")
    libc = ctypes.CDLL(None, use_errno=True)
    before = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        if libc.unshare(CLONE_NEWNET):
            pytest.skip(f"no network of its own can be had here: {os.strerror(ctypes.get_errno())}")
        try:
            subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
            yield OwnNetwork()
        finally:
            assert libc.setns(before, CLONE_NEWNET) == 0, os.strerror(ctypes.get_errno())
    finally:
        os.close(before)


def _nft(command: str) -> None:
    done = subprocess.run(["nft", command], capture_output=True, text=True, check=False)
    if done.returncode and "ermitted" in done.stderr:
        pytest.skip(f"nft may not filter here: {done.stderr.strip()}")
    assert done.returncode == 0, done.stderr
