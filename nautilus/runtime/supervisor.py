"""The supervisor: starts the processes of a plan, keeps them running, stops them in order.

It has one thread and one loop over the lines of its children and over signals. It is the parent of every process, as
it adopts what the fork template leaves; so it must be alone in reaping children: nothing else in its process may start
any.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import socket
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

import msgspec

from nautilus.model.errors import InternalError, NautilusError
from nautilus.runtime import logs
from nautilus.runtime.child import FIRST_DELAY_NS, Child, ProcessEndedError, ending
from nautilus.runtime.clock import NANOSECONDS, monotonic_ns, wall_ns
from nautilus.runtime.control import error_from
from nautilus.runtime.instance import Instance
from nautilus.runtime.kernelcalls import adopt_orphans, children
from nautilus.runtime.launcher import Launcher
from nautilus.runtime.plan import Plan
from nautilus.runtime.platform import LoggingConfig, PlatformConfig
from nautilus.runtime.states import Outcome, PlatformCondition, PlatformState
from nautilus.runtime.template import shared_modules

ENTRY = "nautilus.runtime.process:run_process"
TICK_SECONDS = 0.2
TEMPLATE_NS = 60 * NANOSECONDS
"""How long the imports of the template may take."""
FIRST_KINDS = ("core", "replica", "standby")
"""What everything else waits for: a core may wait for a standby, so the replica's process starts beside it."""
FIRST_STARTS = 3
"""A process that ends so often before the platform is up ends the start."""
REPEAT_NS = NANOSECONDS // 2
PORT_CODE = "config.port"
KILL_SIGNAL = signal.SIGUSR2
"""Sets the kill switch of everything; to the core itself it means the same."""
_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

Tick = Callable[[PlatformState], object]


class Supervisor:
    """Runs a plan in an instance, from the main thread of a process: `start`, `run`, and `stop` in any case.

    Parameters
    ----------
    entry
        What a process runs: ``module:function``, called with plan, name and the socket to the supervisor.
    shared
        Modules that the template imports beside the entry's; None: all that engines share.
    without
        Processes of the plan that somebody else starts. Those that are not ready before them are not waited for.

    Attributes
    ----------
    finished : whether the market has come to its end.
    promoted : whether the standby of this plan is to become the core.
    interrupted : whether a signal asked to stop.
    exit_code : 0, or 1 where a process had to be killed at the stop.
    killed : those processes.
    """

    def __init__(
        self,
        instance: Instance,
        plan: Plan,
        *,
        entry: str = ENTRY,
        shared: Sequence[str] | None = None,
        without: Collection[str] = (),
    ) -> None:
        self.finished = False
        self.promoted = False
        self.exit_code = 0
        self._instance = instance
        self._plan = plan
        self._entry = entry
        self._settings = plan.config("platform", PlatformConfig)
        self._start_ns = int(self._settings.start_seconds * NANOSECONDS)
        self._children = [Child(spec) for spec in plan.processes if spec.name not in without]
        waiting = plan.waiting_without(without)
        for child in self._children:
            child.patient = child.name in waiting
        modules = shared_modules() if shared is None else shared
        self._launcher = Launcher((*modules, entry.partition(":")[0]), self._output("template"))
        self._condition: PlatformCondition = "stopped"
        self._opened = False
        self._interrupts = 0
        self._kills = False
        self._interrupted_ns = 0
        self._failure: NautilusError | None = None
        self._started_ns = wall_ns()
        self._written: PlatformState | None = None
        self._reaped: dict[int, int] = {}
        self._handlers: dict[int, Any] = {}
        self._selector = selectors.DefaultSelector()
        self._awake, self._wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._log = logs.get_logger()

    @property
    def interrupted(self) -> bool:
        """Whether a signal asked to stop."""
        return self._interrupts > 0

    @property
    def killed(self) -> tuple[str, ...]:
        """The processes that did not stop when they were asked to."""
        return tuple(child.name for child in self._children if child.killed)

    def start(self, on_tick: Tick | None = None) -> bool:
        """Start everything; return when all are ready and the market is open. False: a signal came in between.

        Raises
        ------
        NautilusError
            What the process that could not start said; all are stopped by then.
        """
        log_file = logs.configure("supervisor", self._plan.data, self._plan.config("logging", LoggingConfig))
        self._log_file = log_file
        self._log = logs.get_logger()
        self._take_signals()
        adopt_orphans()
        self._condition = "starting"
        self._instance.write_plan(self._plan)
        self._log.info("starts", instance=self._plan.instance, pid=os.getpid(), processes=len(self._children))
        try:
            self._start_template()
            first = [child for child in self._children if child.spec.kind in FIRST_KINDS]
            self._begin(first)
            if self._turn(lambda: all(child.condition == "ready" for child in first), on_tick):
                self._begin([child for child in self._children if child not in first])
                awaited = [child for child in self._children if not child.patient]
                self._turn(lambda: all(child.condition == "ready" for child in awaited), on_tick)
        except BaseException:
            self.stop()
            raise
        if self._failure is not None or self.interrupted:
            failure = self._failure
            self.stop(on_tick)
            if failure is not None:
                raise failure
            return False
        self._condition = "running"
        self._opened = True
        for child in self._children:
            child.order("open")
        self._log.info("is up", after_ms=(wall_ns() - self._started_ns) // 1_000_000)
        waiting = [child.name for child in self._children if child.condition != "ready"]
        if waiting:
            self._log.warning("processes wait for those that were left out", names=waiting)
        self._publish()
        return True

    def run(
        self,
        until: Callable[[], bool] = lambda: False,
        *,
        for_seconds: float | None = None,
        on_tick: Tick | None = None,
    ) -> None:
        """Keep everything running until a signal asks to stop, `until` says so, or the time is over."""
        end_ns = None if for_seconds is None else monotonic_ns() + int(for_seconds * NANOSECONDS)
        self._turn(lambda: until() or (end_ns is not None and monotonic_ns() >= end_ns), on_tick, end_ns)

    def stop(self, on_tick: Tick | None = None, *, before_rank: Callable[[int], object] | None = None) -> int:
        """Stop everything in order and give back the signals; a second interrupt hurries. Returns the exit code.

        `before_rank` is called with each stop rank before its processes are stopped, to ask those that still run.
        """
        if self._condition == "stopped":
            return self.exit_code
        self._condition = "stopping"
        self._log.info("stops")
        hurry = self._interrupts + 1
        for rank in sorted({child.spec.stop_rank for child in self._children}):
            if before_rank is not None:
                before_rank(rank)
            self._stop_rank([child for child in self._children if child.spec.stop_rank == rank], on_tick, hurry)
        self._stop_template()
        self._condition = "stopped"
        self._log.info("is down", exit_code=self.exit_code)
        self._publish()
        self._instance.write_outcome(Outcome(self.exit_code, self.killed))
        self._give_back()
        return self.exit_code

    def states(self) -> PlatformState:
        """How everything is now."""
        return PlatformState(
            pid=os.getpid(),
            template_pid=self._launcher.pid if self._launcher.ready else 0,
            state=self._condition,
            started_ns=self._started_ns,
            opened=self._opened,
            finished=self.finished,
            processes=tuple(child.state() for child in self._children),
        )

    # The loop

    def _turn(self, done: Callable[[], bool], on_tick: Tick | None, end_ns: int | None = None) -> bool:
        """Turn until done (True), or until there is a reason to give up (False)."""
        next_tick_ns = monotonic_ns()
        while not done():
            if self.interrupted or self._failure is not None:
                return False
            now_ns = monotonic_ns()
            if now_ns >= next_tick_ns:
                next_tick_ns = now_ns + int(TICK_SECONDS * NANOSECONDS)
                if on_tick is not None:
                    on_tick(self.states())
            self._step(next_tick_ns if end_ns is None else min(next_tick_ns, end_ns))
        return True

    def _step(self, until_ns: int) -> None:
        """Wait for something to happen, not longer than until a time, and deal with it."""
        launcher = self._launcher
        due = [child.due_ns for child in self._children if child.due_ns is not None and launcher.ready]
        if launcher.due_ns is not None:
            due.append(launcher.due_ns)
        wait_ns = min([until_ns, *due]) - monotonic_ns()
        for key, _ in self._selector.select(max(wait_ns, 0) / NANOSECONDS):
            key.data()
        now_ns = monotonic_ns()
        if launcher.due_ns is not None and now_ns >= launcher.due_ns:
            self._start_template()
        elif launcher.pid and not launcher.ready and now_ns - launcher.began_ns > TEMPLATE_NS:
            launcher.kill()
        for child in self._children:
            if child.due_ns is not None and now_ns >= child.due_ns and launcher.ready:
                self._launch(child)
            elif child.condition == "starting" and now_ns - child.began_ns > self._start_ns and not child.patient:
                self._give_up(child)
        self._publish()

    def _give_up(self, child: Child) -> None:
        what = f"process {child.name} is not ready after {self._settings.start_seconds:g} s"
        self._log.error("process is not ready in time", name=child.name, seconds=self._settings.start_seconds)
        if not self._opened:
            self._fail(ProcessEndedError(what, where=str(self._output(child.name))))
        if child.pid:
            child.condition = "stopping"
            child.send_signal(signal.SIGKILL)
        else:
            self._ended(child, "never began")

    def _fail(self, error: NautilusError) -> None:
        """The first reason why the platform cannot come up; without effect once it is up."""
        if not self._opened and self._failure is None:
            self._failure = error

    def _output(self, name: str) -> Path:
        return Path(self._plan.data) / "logs" / f"{name}.out"

    def _publish(self) -> None:
        state = self.states()
        if state != self._written:
            # A full disk must not end the supervisor.
            with contextlib.suppress(OSError):
                self._instance.write_state(state)
                self._written = state

    # Signals

    def _take_signals(self) -> None:
        self._selector.register(self._awake, selectors.EVENT_READ, self._on_signals)
        for number in (*_STOP_SIGNALS, KILL_SIGNAL, signal.SIGCHLD):
            self._handlers[number] = signal.signal(number, _noted)
        self._handlers[-1] = signal.set_wakeup_fd(self._wake, warn_on_full_buffer=False)

    def _give_back(self) -> None:
        signal.set_wakeup_fd(self._handlers.pop(-1))
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        self._selector.close()
        os.close(self._awake)
        os.close(self._wake)
        self._log_file.close()

    def _on_signals(self) -> None:
        numbers = os.read(self._awake, 4096)
        now_ns = monotonic_ns()
        for number in numbers:
            # What stops a group of processes often sends its signal twice; a person is slower.
            if number in _STOP_SIGNALS and now_ns - self._interrupted_ns > REPEAT_NS:
                self._interrupted_ns = now_ns
                self._interrupts += 1
                self._log.info("is asked to stop", signal=signal.Signals(number).name)
        if KILL_SIGNAL in numbers:
            self._log.warning("kill switch of everything is asked for by signal")
            self._kills = True
            self._pass_kill_on()
        if signal.SIGCHLD in numbers:
            self._reap()

    def _pass_kill_on(self) -> None:
        """Tell the core, as soon as there is one that takes orders."""
        for child in self._children:
            if self._kills and child.spec.kind == "core" and child.condition == "ready" and child.pid:
                child.send_signal(KILL_SIGNAL)
                self._kills = False

    def _reap(self) -> None:
        while True:
            try:
                found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                return
            if found is None:
                return
            child = next((child for child in self._children if child.pid == found.si_pid), None)
            if child is not None:
                # Each process leads a group, whose last ones go with it. Not reaped yet, its pid is nobody else's.
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(found.si_pid, signal.SIGKILL)
            _, status = os.waitpid(found.si_pid, 0)
            if child is not None:
                self._on_line(child)  # its last words
                self._ended(child, ending(status))
            elif found.si_pid == self._launcher.pid:
                self._template_ended(ending(status))
            elif any(child.runs and not child.pid for child in self._children):
                self._reaped[found.si_pid] = status  # perhaps one that has not been heard of yet
            else:
                self._reaped.clear()

    # Children

    def _begin(self, those: list[Child]) -> None:
        for child in those:
            child.due_ns = monotonic_ns()

    def _launch(self, child: Child) -> None:
        try:
            own, other = socket.socketpair()
        except OSError as error:
            self._log.error("process cannot be started", name=child.name, what=error.strerror)
            child.due_ns = monotonic_ns() + FIRST_DELAY_NS
            return
        plan = msgspec.structs.replace(self._plan, chosen=child.chosen).encode()
        with other:
            sent = self._launcher.launch(plan, child.name, self._entry, self._output(child.name), other)
        if not sent:
            own.close()  # the template has just ended; the next one will do it
            return
        child.begin(own)
        self._selector.register(own, selectors.EVENT_READ, lambda: self._on_line(child))

    def _on_line(self, child: Child) -> None:
        if child.line is None:
            return
        messages, closed = child.received()
        for message in messages:
            self._on_message(child, message)
        if child.line is not None and closed:
            self._selector.unregister(child.line)
            child.line.close()
            child.line = None
            if not child.pid:
                self._ended(child, "never began")

    def _on_message(self, child: Child, message: dict[str, Any]) -> None:
        event = message.get("event")
        if event == "started":
            child.pid = int(message["pid"])
            status = self._reaped.pop(child.pid, None)
            if status is not None:
                self._ended(child, ending(status))
        elif event == "ready":
            if child.condition == "starting":
                child.take_ready(message.get("ports", {}))
                took_ms = (monotonic_ns() - child.began_ns) // 1_000_000
                self._log.info("process is ready", name=child.name, pid=child.pid, after_ms=took_ms)
                self._pass_kill_on()
                if self._opened:
                    child.order("open")
            elif child.condition == "ready":
                child.take_ready(message.get("ports", {}))
                self._log.warning("process has taken over", name=child.name, pid=child.pid)
        elif event == "failed":
            child.error = message["error"]
            what = "process failed to start" if child.condition == "starting" else "process failed"
            self._log.error(what, name=child.name, **_reason(message["error"]))
            if message["error"]["code"] == PORT_CODE and child.chosen and self._plan.ports == "free":
                self._log.warning("ports are taken, others are used", name=child.name, ports=child.chosen)
                child.chosen = {}
            self._fail(error_from(message["error"]))
        elif event == "promoted":
            self.promoted = True
            self._log.warning("standby was promoted", name=child.name)
        elif event == "finished":
            self.finished = True
            self._log.info("market has finished", name=child.name)

    def _ended(self, child: Child, how: str) -> None:
        asked = child.terminated or self._condition in ("stopping", "stopped")
        if child.line is not None:
            self._selector.unregister(child.line)
        child.end(how, again=not asked)
        if asked:
            self._log.info("process has stopped", name=child.name, how=how)
            return
        assert child.due_ns is not None
        delay_ms = max(child.due_ns - monotonic_ns(), 0) // 1_000_000
        self._log.error("process has ended", name=child.name, how=how, starts=child.starts, delay_ms=delay_ms)
        if child.starts >= FIRST_STARTS:
            what = f"process {child.name} ended {child.starts} times ({how})"
            self._fail(ProcessEndedError(what, where=str(self._output(child.name))))

    def _stop_rank(self, those: list[Child], on_tick: Tick | None, hurry: int) -> None:
        end_ns = monotonic_ns() + int(self._settings.stop_seconds * NANOSECONDS)
        killed = False
        next_tick_ns = 0
        for child in those:
            child.due_ns = None
            if not child.runs:
                child.condition = "stopped"
        while any(child.runs for child in those):
            now_ns = monotonic_ns()
            for child in those:
                if child.pid and not child.terminated:
                    child.terminated = True
                    child.condition = "stopping"
                    child.send_signal(signal.SIGTERM)
            if on_tick is not None and now_ns >= next_tick_ns:
                next_tick_ns = now_ns + int(TICK_SECONDS * NANOSECONDS)
                on_tick(self.states())
            over = not killed and (now_ns >= end_ns or self._interrupts >= hurry)
            # Time may be over because this process was late itself: who has ended meanwhile is heard of first.
            until_ns = now_ns + int(TICK_SECONDS * NANOSECONDS)
            self._step(now_ns if over else until_ns if killed else min(until_ns, end_ns))
            for child in those:
                if over and child.runs:
                    self.exit_code = 1
                    child.killed = True
                    self._log.error("process does not stop and is killed", name=child.name, pid=child.pid)
                    if child.pid:
                        child.send_signal(signal.SIGKILL)
                    else:
                        self._ended(child, "never began")
            killed = killed or over

    # The template

    def _start_template(self) -> None:
        try:
            self._launcher.start()
        except OSError as error:
            self._template_ended(f"could not start: {error.strerror}")
            return
        assert self._launcher.line is not None
        self._selector.register(self._launcher.line, selectors.EVENT_READ, self._on_template)

    def _on_template(self) -> None:
        messages, closed = self._launcher.received()
        for message in messages:
            if message["event"] == "failed":
                self._log.error("template failed", what=message["what"])
                self._fail(InternalError(message["what"], where=str(self._output("template"))))
        if closed:
            self._drop_template()

    def _drop_template(self) -> None:
        if self._launcher.line is not None:
            self._selector.unregister(self._launcher.line)
        self._launcher.close()

    def _template_ended(self, how: str) -> None:
        self._drop_template()
        again = self._condition != "stopping"
        self._launcher.end(again=again)
        if not again:
            return
        self._log.error("template has ended", how=how, starts=self._launcher.starts)
        if self._launcher.starts >= FIRST_STARTS:
            what = f"the fork template ended {self._launcher.starts} times ({how})"
            self._fail(ProcessEndedError(what, where=str(self._output("template"))))

    def _stop_template(self) -> None:
        self._launcher.due_ns = None
        self._drop_template()
        end_ns = monotonic_ns() + NANOSECONDS
        while self._launcher.pid and monotonic_ns() < end_ns:
            self._step(end_ns)
        self._launcher.kill()
        # Whoever is left was started by a process of the platform and outlived it.
        for pid in children():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            while True:
                os.waitpid(-1, 0)
        self._launcher.pid = 0


def _noted(number: int, frame: FrameType | None) -> None:
    """The wake-up pipe has the number already."""


def _reason(error: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in error.items() if value}
