"""A program of the kit on a host of a test: it says lines of JSON, of which the last one counts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any


class HostProgram:
    """Starts a module on a host (`command` leads to it), and reads what it says."""

    def __init__(self, command: list[str], module: str, *words: object) -> None:
        self._process = subprocess.Popen(
            [*command, sys.executable, "-m", module, *map(str, words)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert self._process.stdout is not None
        os.set_blocking(self._process.stdout.fileno(), False)
        self._rest = b""
        self._last: dict[str, Any] = {}

    def seen(self) -> dict[str, Any]:
        """What it said last; empty: nothing yet."""
        assert self._process.stdout is not None
        while chunk := self._process.stdout.read(65_536):
            *lines, self._rest = (self._rest + chunk).split(b"\n")
            if lines:
                self._last = json.loads(lines[-1])
        return self._last

    def stop(self) -> None:
        """Say to it to stop what it does, and to tell where it is."""
        assert self._process.stdin is not None
        self._process.stdin.write(b"stop\n")
        self._process.stdin.flush()

    def leave(self) -> dict[str, Any]:
        """Have it leave, and wait for its end; what it said last."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        assert self._process.wait(120) == 0
        return self.seen()

    def kill(self) -> None:
        """Kill it with SIGKILL; a second time does nothing."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait(60)
        for file in (self._process.stdin, self._process.stdout):
            assert file is not None
            file.close()
