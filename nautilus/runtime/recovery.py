"""How an engine comes from its saved state to the present, and back to it whenever reports may be missing.

::

    state file --restore--> core: how far is it with my commands? --> trading: what happened since? --> resume, on_start
        --> missed reports, until there are no more --> reports that came meanwhile --> live

Execution reports carry the sequence of the core's event. What is live waits while older ones are fetched, and what is
not newer than what was fetched is dropped, so that an engine sees every report once and in order.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from typing import Protocol

from nautilus.model.enums import EngineState
from nautilus.model.errors import BusError, ConfigError
from nautilus.model.events import ExecutionReport
from nautilus.model.message import Message
from nautilus.model.queries import Reports, ReportsSince, SourceState, SourceStatus
from nautilus.model.topics import EXECUTION_REPORTS
from nautilus.runtime.engine_state import SavedState, StateFile
from nautilus.runtime.live_context import LiveContext

PAGE = 1_000
"""Events asked for at a time."""
AGAIN_NS = 50_000_000
BULK_NS = 10_000_000
"""Of large parts of a state so much is written at a time."""
BULK_AT_END_NS = 2_000_000_000
_PATIENCE = 10
_SAVED = (EngineState.RUNNING, EngineState.DEGRADED, EngineState.STOPPING)

_LOGGER = logging.getLogger("nautilus.runtime")


class BehindError(BusError):
    """An engine still takes in what it has missed: it would answer from the past."""

    code = "bus.behind"


class Asker(Protocol):
    """What a recovery needs of its host."""

    def ask(self, peer: str, message: Message, answered: Callable[[Message | Exception], None]) -> None:
        """Ask an engine, or the core; an exception says why there is no answer."""
        ...

    def later(self, wait_ns: int, callback: Callable[[], object]) -> None:
        """Call back after a time."""
        ...

    def call(self, context: LiveContext, handler: Callable[..., object], *arguments: object) -> bool:
        """Run a handler of an engine; False where it raised."""
        ...

    def between(self) -> None:
        """Between two handlers: see to what is urgent."""
        ...

    def renew(self, context: LiveContext) -> None:
        """Put a new engine in the place of one whose state is of no use."""
        ...

    def started(self, context: LiveContext) -> None:
        """An engine has the present state."""
        ...


class Recovery:
    """Of one engine.

    Attributes
    ----------
    report_sequence : of the last report that was handled, or looked at.
    live : nothing is missing that anybody knows of.
    duplicates : reports that were dropped because they were known.
    """

    def __init__(self, host: Asker, context: LiveContext, file: StateFile) -> None:
        self._host = host
        self._context = context
        self._file = file
        self._takes_reports = EXECUTION_REPORTS in context.engine.subscribes
        self._held: deque[ExecutionReport] = deque()
        self._floor = 0  # reports up to here were fetched
        self._restored = 0
        self._patience = _PATIENCE
        self._source_sequence = 0
        self._once_more = False
        self.report_sequence = 0
        self._reports = 0  # how many of that sequence were handled; 0: all
        self.live = False
        self.duplicates = 0

    # The way to the present.

    def restore(self) -> None:
        """Give the engine the state that was saved. ConfigError: it is not for an engine with these settings."""
        self._context.state = EngineState.STARTING
        try:
            engine = self._context.engine
            self._file.parts.load(engine.restore_bulk)
            self._file.parts.known(engine.bulk())
            saved = self._file.load()
            if saved is not None:
                self._context.engine.restore(saved.state)
                self.report_sequence = self._restored = saved.report_sequence
                self._reports = saved.reports
        except ConfigError:
            raise  # the state is sound, and belongs to something else than what is configured
        except Exception as error:
            # Not a reason to stay down: all of it can be had from the core's record.
            self._discard(f"cannot be taken over ({type(error).__name__}: {error})", "damaged")

    def begin(self) -> None:
        """Set out."""
        if self._context.engine.source_id:
            self._ask_core()
        else:
            self._ask_reports()

    def catch_up(self) -> None:
        """Reports may be missing: hold back what comes, and fetch what came after the last one."""
        if not self._takes_reports:
            return
        if self.live:
            self.live = False
            self._host.later(0, self._ask_reports)
        else:
            self._once_more = True

    def take(self, report: ExecutionReport) -> bool:
        """Whether a report that arrives is to be handled now; else it waits, or is known."""
        if not self.live:
            self._held.append(report)
            return False
        if report.sequence <= self._floor:
            self.duplicates += 1
            return False
        self._note(report)
        return True

    def save(self, most_ns: int = BULK_NS, *, synced: bool = False) -> bool:
        """Save the engine's state where it has changed; of its large parts as many as there is time for.

        Returns whether all of it is written, with `synced` on disk.
        """
        if self._context.state not in _SAVED:
            return False
        try:
            whole = self._file.parts.save(self._context.engine.bulk(), most_ns, synced=synced)
        finally:  # the rest is not lost with a part that cannot be written
            saved = SavedState(self.report_sequence, self._reports, self._context.engine.state())
            self._file.save(saved, synced=synced)
        return whole

    def _discard(self, why: str, mark: str) -> None:
        place = self._file.set_aside(mark)
        self._file.parts.set_aside()
        _LOGGER.error("state of %s %s: it starts anew; the file is now %s", self._context.name, why, place)
        self._host.renew(self._context)
        self.report_sequence = self._reports = self._restored = 0

    def _ask_core(self) -> None:
        self._host.ask("core", SourceStatus(self._context.engine.source_id), self._on_source)

    def _on_source(self, reply: Message | Exception) -> None:
        if not isinstance(reply, SourceState):
            self._host.later(AGAIN_NS, self._ask_core)
            return
        self._source_sequence = reply.source_sequence
        self._ask_reports()

    def _ask_reports(self) -> None:
        if not self._takes_reports:
            self._start()
            self._arrive()
            return
        # A match may have been handled for one of its sides only: then it is asked for again.
        after = self.report_sequence - (1 if self._reports else 0)
        self._host.ask("trading", ReportsSince(after, PAGE), self._on_reports)

    def _on_reports(self, reply: Message | Exception) -> None:
        if not isinstance(reply, Reports):
            self._host.later(AGAIN_NS, self._ask_reports)
            return
        if self._restored > reply.last_sequence and reply.complete:
            # The trading engine may be on its way to the present itself.
            self._patience -= 1
            if self._patience:
                self._host.later(AGAIN_NS, self._ask_reports)
                return
            self._discard(
                f"is of event {self._restored}, of which the core with {reply.last_sequence} knows nothing", "foreign"
            )
            self._ask_reports()
            return
        self._restored = 0
        if self._context.state == EngineState.STARTING:
            self._start()
        handler = getattr(self._context.engine, EXECUTION_REPORTS.handler)
        known, skipped = self.report_sequence, self._reports
        for report in reply.reports:
            if report.sequence == known and skipped:
                skipped -= 1
                continue
            self._note(report)
            self._host.call(self._context, handler, report)
            self._host.between()
        stuck = not reply.complete and reply.last_sequence <= known
        if reply.last_sequence >= self.report_sequence:
            self.report_sequence = self._floor = reply.last_sequence
            self._reports = 0
        if stuck:
            self._host.later(AGAIN_NS, self._ask_reports)
        elif not reply.complete or self._once_more:
            self._once_more = self._once_more and not reply.complete
            self._ask_reports()
        else:
            self._arrive()

    def _note(self, report: ExecutionReport) -> None:
        self._reports = self._reports + 1 if report.sequence == self.report_sequence and self._reports else 1
        self.report_sequence = report.sequence

    def _start(self) -> None:
        context, engine = self._context, self._context.engine
        if engine.source_id:
            self._host.call(context, engine.resume, self._source_sequence)
        self._host.call(context, engine.on_start)
        if context.state == EngineState.STARTING:
            context.state = EngineState.RUNNING

    def _arrive(self) -> None:
        handler = getattr(self._context.engine, EXECUTION_REPORTS.handler, None)
        # What comes between these waits behind them.
        while self._held and handler is not None:
            report = self._held.popleft()
            if report.sequence <= self._floor:
                self.duplicates += 1
                continue
            self._note(report)
            self._host.call(self._context, handler, report)
            self._host.between()
        if self._once_more:
            self._once_more = False
            self._ask_reports()
            return
        self.live = True
        self._host.started(self._context)
