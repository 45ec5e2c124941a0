"""Writes calls that changed something into the audit log of the process (`nautilus.store.audit`)."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable
from functools import partial
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nautilus.model.errors import ConfigError
from nautilus.policy.signing import body_digest
from nautilus.runtime.access_keys import DIRECTORY as ACCESS
from nautilus.runtime.access_settings import AccessConfig
from nautilus.runtime.clock import NANOSECONDS, wall_ns
from nautilus.store.audit import DIRECTORY, AuditBusyError, AuditLog

if TYPE_CHECKING:
    from nautilus.core.counters import Counters
    from nautilus.runtime.http.access import Admitted
    from nautilus.runtime.http.exchange import Exchange
    from nautilus.runtime.plan import Plan

MOST_WRITERS = 8
"""Processes of one name at once: one that stands still may hold the log that it had when another took its place."""
SAY_NS = 60 * NANOSECONDS

_LOGGER = logging.getLogger("nautilus.runtime")


class Recorder:
    """Says what became of calls that change something.

    Parameters
    ----------
    log
        Of this process.
    counters
        Take how many were written, and how many could not be.
    """

    def __init__(self, log: AuditLog, counters: Counters) -> None:
        self._log = log
        self._append = log.append
        self._counters = counters
        self._written = counters.counter("audit.records")
        self._lost = counters.counter("audit.lost")
        self._said_ns = 0

    def answered(self, exchange: Exchange, admitted: Admitted, body: bytes) -> Callable[[int], None]:
        """What is to be called with the status of the answer, before that goes out."""
        digest = admitted.digest
        if digest is None and body:
            digest = body_digest(0, body)
        return partial(self._record, exchange, digest or b"")

    def passed_on(self, exchange: Exchange, admitted: Admitted) -> PassedOn:
        """Likewise of a call that is passed on, whose body is still to come."""
        return PassedOn(self, exchange, admitted.digest)

    def say(self, principal: str, method: str, target: bytes, status: int) -> None:
        """Something that did not come over HTTP."""
        self._write(principal, method, target, b"", status, "")

    def lost(self, error: OSError) -> None:
        """A record could not be written."""
        self._counters.increment(self._lost)
        now_ns = wall_ns()
        if not 0 <= now_ns - self._said_ns < SAY_NS:
            self._said_ns = now_ns
            _LOGGER.error("the audit log cannot be written: %s", error)

    def close(self) -> None:
        """End the log in order."""
        self._log.close(wall_ns())

    def _record(self, exchange: Exchange, digest: bytes, status: int) -> None:
        self._write(exchange.principal.name, exchange.method, exchange.target, digest, status, exchange.trace_id)

    def _write(self, name: str, method: str, target: bytes, digest: bytes, status: int, trace: str) -> None:
        if self._append(name, method, target, digest, status, trace, wall_ns()):
            self._counters.increment(self._written)


class PassedOn:
    """Called with the status of the answer to a call that was passed on, once; what came of its body is told before."""

    __slots__ = ("_digest", "_exchange", "_hash", "_recorder")

    def __init__(self, recorder: Recorder, exchange: Exchange, digest: bytes | None) -> None:
        self._recorder = recorder
        self._exchange = exchange
        self._digest = digest
        self._hash: Any = None

    def body(self, content: bytes) -> None:
        """All of it."""
        if self._digest is None and content:
            self._digest = body_digest(0, content)

    def piece(self, content: bytes) -> None:
        """A part, in order; `end` says that it was the last."""
        if self._hash is None:
            self._hash = blake2b(digest_size=32)
        self._hash.update(content)

    def end(self) -> None:
        """There is no more of it."""
        if self._digest is None and self._hash is not None:
            self._digest = self._hash.digest()

    def __call__(self, status: int) -> None:
        # Of a body that was answered before it was whole there is no hash.
        self._recorder._record(self._exchange, self._digest or b"", status)


def open_audit(plan: Plan, process: str, counters: Counters) -> Recorder | None:
    """What a process records with; None: the configuration wants no log. AuditError where it cannot be had."""
    access = plan.config("access", AccessConfig)
    if not access.audit:
        return None
    recorders: list[Recorder] = []

    def lost(error: OSError) -> None:
        for recorder in recorders:
            recorder.lost(error)

    data = Path(plan.data)
    for number in range(1, 1 + MOST_WRITERS):
        name = process if number == 1 else f"{process}.{number}"
        last = contextlib.nullcontext() if number == MOST_WRITERS else contextlib.suppress(AuditBusyError)
        with last:
            log = AuditLog(
                data / DIRECTORY,
                data / ACCESS / DIRECTORY,
                name,
                wall_ns(),
                segment_bytes=access.audit_segment_mib << 20,
                on_lost=lost,
            )
            recorders.append(Recorder(log, counters))
            return recorders[0]
    return None


def record_kill(plan: Plan, process: str, counters: Counters) -> None:
    """The kill switch was set by signal: whoever sent it had this process's user. Without a log the process goes on."""
    try:
        recorder = open_audit(plan, process, counters)
        if recorder is not None:
            recorder.say("signal", "SIGUSR2", b"kill-switch", 200)
            recorder.close()
    except (ConfigError, OSError) as error:
        counters.increment(counters.counter("audit.lost"))
        _LOGGER.error("the kill switch by signal is not in the audit log: %s", error)
