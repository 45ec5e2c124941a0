"""Watches every instance of every engine: asks all of them on a grid of time, and at once where something happened.

::

    every interval ──────────────▶ all                          ┌─▶ health words in the table of routes
    kept connection has ended ───▶ that one  ─▶ policy.health ──┼─▶ <shared>/gateway.health
    a worker met a broken one ───▶ that one                     └─▶ on_change
    not healthy ─────────────────▶ that one, soon again
    every second ────────────────▶ outliers among siblings, by what the workers recorded

One thread, one event loop.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Literal

import msgspec

from nautilus.core.counters import Counters
from nautilus.core.route import Routes
from nautilus.gateway.endpoints import Address
from nautilus.gateway.probe import Prober
from nautilus.policy.forecast import Forecast, Forecaster
from nautilus.policy.health import Check, Ejections, HealthSettings, HealthState, InstanceHealth, Observation, Traffic
from nautilus.runtime.clock import NANOSECONDS, monotonic_ns, wall_ns
from nautilus.runtime.files import write_atomically

REPORT = "gateway.health"
"""In the instance's shared directory."""
TIMEOUT_SECONDS = 1.0
SUSPECT_SECONDS = 0.25
"""So long an instance has to answer that somebody found broken."""
RETRY_SECONDS = 0.05
MOST_RETRY_SECONDS = 0.5
DEGRADED_SECONDS = 5.0
JUDGE_SECONDS = 1.0
CORE_ENGINE = "trading"

_LOGGER = logging.getLogger("nautilus.gateway")

StateName = Literal["healthy", "degraded", "unhealthy", "unknown"]


class InstanceReport(msgspec.Struct, frozen=True):
    """One instance; times in milliseconds unless a name says else, rates in percent."""

    name: str
    address: str
    region: str
    status: StateName
    ejected: str
    """Why it is taken out though it may answer; "": it is not."""
    cause: str
    since_seconds: float
    response_time_ms: float
    success_rate: float
    load_percent: float
    in_flight: int
    consecutive_failures: int
    uptime_seconds: float
    restarts: int
    checks: int
    forecast: Forecast | None


class EngineReport(msgspec.Struct, frozen=True):
    """One engine, all its instances together."""

    status: StateName
    response_time_ms: float
    success_rate: float
    consecutive_failures: int
    uptime_seconds: float
    instances: tuple[InstanceReport, ...]


class HealthReport(msgspec.Struct, frozen=True):
    """All engines, as last seen."""

    written_ns: int
    """On the machine's clock."""
    overall_status: Literal["healthy", "degraded", "unhealthy"]
    total_engines: int
    healthy_engines: int
    degraded_engines: int
    unhealthy_engines: int
    """Those that were not looked at yet among them."""
    system_availability: float
    average_response_time_ms: float
    interval_seconds: float
    pass_ms: float
    """How long the last look at all of them took."""
    late_ms: float
    """By how much it began after its time."""
    engines: dict[str, EngineReport]


class InstanceChange(msgspec.Struct, frozen=True):
    """An instance is in another state."""

    engine: str
    instance: str
    before: str
    after: str
    cause: str


def read_report(shared: str | Path) -> HealthReport | None:
    """What the monitor wrote last; None: it has not."""
    try:
        return msgspec.json.decode(Path(shared, REPORT).read_bytes(), type=HealthReport)
    except (OSError, msgspec.DecodeError):
        return None


class HealthMonitor:
    """See the module.

    Parameters
    ----------
    routes
        Table that health is written to, and traffic read from.
    counters
        Of the process.
    path
        File of the report; None: none is written.
    settings
        When an instance counts as what.
    interval_seconds
        Between two looks at all of them.
    on_change
        Told of every change of a state.
    """

    def __init__(
        self,
        routes: Routes,
        counters: Counters,
        path: Path | None = None,
        *,
        settings: HealthSettings | None = None,
        interval_seconds: float = 30.0,
        timeout_seconds: float = TIMEOUT_SECONDS,
        on_change: Callable[[InstanceChange], None] = lambda change: None,
    ) -> None:
        self.routes = routes
        self.interval_seconds = interval_seconds
        self.timeout_seconds = timeout_seconds
        self.settings = settings or HealthSettings()
        self._path = path
        self._on_change = on_change
        self._watches: dict[str, dict[str, Watch]] = {}
        self._ejections: dict[str, Ejections] = {}
        self._pass_ns = self._late_ns = 0
        self._writing: asyncio.Handle | None = None
        self._closed = False
        self._counters = counters
        self._checks, self._failed, self._events, self._changes, self._ejected, self._restarts, self._passes = (
            counters.counter(f"health.{what}")
            for what in ("checks", "failed", "events", "changes", "ejected", "restarts", "passes")
        )
        self._unwritten = counters.counter("health.unwritten")
        self._last_pass_us, self._last_late_us = counters.gauge("health.pass_us"), counters.gauge("health.late_us")

    # What is watched.

    def set_engines(self, engines: Mapping[str, Iterable[Address]]) -> None:
        """Watch these and no others; new ones and those that moved are looked at now. Needs the running loop."""
        for engine in [name for name in self._watches if name not in engines]:
            for watch in self._watches.pop(engine).values():
                watch.close()
            del self._ejections[engine]
        for engine, addresses in engines.items():
            held = self._watches.setdefault(engine, {})
            wanted = {address.name: address for address in addresses}
            for name in [name for name in held if name not in wanted]:
                held.pop(name).close()
            for name, address in wanted.items():
                known = held.get(name)
                if known is None:
                    held[name] = Watch(self, engine, address)
                    held[name].look_soon(0.0)
                elif known.address != address:
                    known.move(address)
            self._ejections.setdefault(engine, Ejections(self.settings)).set_instances(held)
        self._write_soon()

    async def run(self) -> None:
        """Look at all of them again and again, until cancelled."""
        loop = asyncio.get_running_loop()
        begun = loop.time()
        passes = judged = 0
        try:
            while True:
                due = begun + passes * self.interval_seconds
                judge_due = begun + judged * JUDGE_SECONDS
                if loop.time() >= due:
                    self._late_ns = int((loop.time() - due) * NANOSECONDS)
                    self._counters.set(self._last_late_us, self._late_ns // 1000)
                    # A machine that slept does not make up for what it missed.
                    passes += 1 + int((loop.time() - due) / self.interval_seconds)
                    await self.look()
                elif loop.time() >= judge_due:
                    judged = 1 + int((loop.time() - begun) / JUDGE_SECONDS)
                    self.judge(monotonic_ns())
                else:
                    await asyncio.sleep(min(due, judge_due) - loop.time())
        finally:
            self.close()

    async def look(self) -> None:
        """Look at all of them, at once and once."""
        begun_ns = monotonic_ns()
        await asyncio.gather(*(watch.fresh() for watch in self._all()))
        self._pass_ns = monotonic_ns() - begun_ns
        self._counters.increment(self._passes)
        self._counters.set(self._last_pass_us, self._pass_ns // 1000)
        self._write_soon()

    async def check(self, engine: str) -> EngineReport:
        """Look at one engine now; what came of it. LookupError for one that is not watched."""
        watches = self._watches.get(engine)
        if watches is None:
            known = ", ".join(sorted(self._watches)) or "none is known"
            raise LookupError(f"engine {engine!r}; expected one of those that are watched: {known}")
        await asyncio.gather(*(watch.fresh() for watch in watches.values()))
        self.write()
        return self._engine_report(engine, monotonic_ns())

    def broken(self, engine: str, instance: str, cause: str, *, refused: bool = False) -> None:
        """A connection to an instance broke, or (`refused`) could not be had: that counts now, not at the next look."""
        watch = self._watches.get(engine, {}).get(instance)
        if watch is None:
            return
        self._counters.increment(self._events)
        if refused:
            self.take(watch, None, watch.health.on_down(monotonic_ns(), cause))
        watch.look_soon(0.0, SUSPECT_SECONDS)

    def judge(self, now_ns: int) -> None:
        """Take out instances that stand out among their siblings, and take back those whose time is over."""
        for engine, watches in self._watches.items():
            ejections = self._ejections[engine]
            traffic = {name: watch.traffic() for name, watch in watches.items()}
            out: dict[str, str] = {}
            for name, found in traffic.items():
                if ejections.failed(name, found.running_failures, now_ns):
                    out[name] = f"{found.running_failures} requests running failed"
            out |= ejections.judge(traffic, now_ns)
            for name, cause in out.items():
                self._counters.increment(self._ejected)
                _LOGGER.warning("%s of %s is taken out: %s", name, engine, cause)
            still = ejections.out(now_ns)
            for name, watch in watches.items():
                self._set_ejected(watch, still.get(name, ""), now_ns)

    def report(self) -> HealthReport:
        """All of it, as last seen."""
        now_ns = monotonic_ns()
        engines = {engine: self._engine_report(engine, now_ns) for engine in self._watches}
        states = [each.status for each in engines.values()]
        total, healthy, degraded = len(states), states.count("healthy"), states.count("degraded")
        core = engines.get(CORE_ENGINE)
        overall: Literal["healthy", "degraded", "unhealthy"] = "degraded"
        if total == healthy:
            overall = "healthy"
        elif healthy + degraded == 0 or (core is not None and core.status in ("unhealthy", "unknown")):
            overall = "unhealthy"
        times = [each.response_time_ms for each in engines.values() if each.status != "unknown"]
        return HealthReport(
            written_ns=wall_ns(),
            overall_status=overall,
            total_engines=total,
            healthy_engines=healthy,
            degraded_engines=degraded,
            unhealthy_engines=total - healthy - degraded,
            system_availability=100.0 * (healthy + degraded) / total if total else 100.0,
            average_response_time_ms=round(sum(times) / len(times), 3) if times else 0.0,
            interval_seconds=self.interval_seconds,
            pass_ms=self._pass_ns / 1e6,
            late_ms=self._late_ns / 1e6,
            engines=engines,
        )

    def write(self) -> None:
        """Write the report now."""
        if self._writing is not None:
            self._writing.cancel()
            self._writing = None
        if self._path is None or self._closed:
            return
        try:
            write_atomically(self._path, msgspec.json.encode(self.report()))
        except OSError as error:  # a full disk: what is there is old, and says since when
            self._counters.increment(self._unwritten)
            _LOGGER.error("%s is not written: %s", self._path, error)

    def close(self) -> None:
        """End all connections and timers."""
        self._closed = True
        for watch in self._all():
            watch.close()
        if self._writing is not None:
            self._writing.cancel()

    # What watches say.

    def take(self, watch: Watch, check: Check | None, seen: Observation) -> None:
        """Take in what a look at an instance changed; `check` None: nobody looked, it was told."""
        if check is not None:
            self._counters.increment(self._checks)
        if watch.health.consecutive_failures:
            self._counters.increment(self._failed)
        if seen.restarted:
            self._counters.increment(self._restarts)
            _LOGGER.info("%s of %s was started anew", watch.address.name, watch.engine)
            watch.forecaster.reset()
        if seen.changed:
            self._counters.increment(self._changes)
            change = InstanceChange(
                watch.engine, watch.address.name, seen.before.name.lower(), seen.after.name.lower(), seen.cause
            )
            _LOGGER.log(
                logging.INFO if seen.after == HealthState.HEALTHY else logging.WARNING,
                "%s of %s is %s (was %s)%s",
                change.instance,
                change.engine,
                change.after,
                change.before,
                f": {change.cause}" if change.cause else "",
            )
            self._set_word(watch, monotonic_ns())
            self._on_change(change)
            self._write_soon()

    def _set_ejected(self, watch: Watch, cause: str, now_ns: int) -> None:
        if watch.ejected != cause:
            watch.ejected = cause
            self._set_word(watch, now_ns)
            self._write_soon()

    def _set_word(self, watch: Watch, now_ns: int) -> None:
        word = HealthState.EJECTED if watch.ejected else watch.health.state
        self.routes.set_health(watch.number, word, now_ns)

    def _write_soon(self) -> None:
        if self._writing is None and not self._closed:
            self._writing = asyncio.get_running_loop().call_soon(self.write)

    def _all(self) -> list[Watch]:
        return [watch for watches in self._watches.values() for watch in watches.values()]

    def _engine_report(self, engine: str, now_ns: int) -> EngineReport:
        instances = tuple(watch.report(now_ns) for watch in self._watches[engine].values())
        seen = [each for each in instances if each.status != "unknown"]
        states = {each.status if not each.ejected else "unhealthy" for each in seen}
        status: StateName = "unknown"
        if states == {"healthy"} and len(seen) == len(instances):
            status = "healthy"
        elif states & {"healthy", "degraded"}:
            status = "degraded"
        elif seen:
            status = "unhealthy"
        count = max(len(seen), 1)
        return EngineReport(
            status=status,
            response_time_ms=round(sum(each.response_time_ms for each in seen) / count, 3),
            success_rate=sum(each.success_rate for each in seen) / count if seen else 100.0,
            consecutive_failures=max((each.consecutive_failures for each in seen), default=0),
            uptime_seconds=min((each.uptime_seconds for each in seen), default=0.0),
            instances=instances,
        )


class Watch:
    """One instance under watch."""

    def __init__(self, monitor: HealthMonitor, engine: str, address: Address) -> None:
        self.engine = engine
        self.address = address
        self.number = monitor.routes.instance(engine, address.name, address.region)
        self.health = InstanceHealth(monitor.settings)
        self.forecaster = Forecaster()
        self.ejected = ""
        self._monitor = monitor
        self._prober = Prober(address, monitor._counters, self._on_lost)
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None
        self._retry_seconds = RETRY_SECONDS
        self._hurry_seconds: float | None = None
        self._requests = self._failures = 0
        self._in_flight = 0
        self._told = (0, 0)
        self.traffic()  # what was before does not count

    def move(self, address: Address) -> None:
        """It is somewhere else: another process, which is looked at now."""
        self.address = address
        self._prober.move(address)
        self.look_soon(0.0)

    def close(self) -> None:
        """Watch no more."""
        if self._timer is not None:
            self._timer.cancel()
        if self._task is not None:
            self._task.cancel()
        self._prober.close()

    def look_soon(self, wait_seconds: float, timeout_seconds: float | None = None) -> None:
        """Look at it after so long, or sooner if that is to be anyway."""
        loop = asyncio.get_running_loop()
        due = loop.time() + wait_seconds
        if timeout_seconds is not None:
            self._hurry_seconds = timeout_seconds
        if self._timer is not None:
            if self._timer.when() <= due:
                return
            self._timer.cancel()
        self._timer = loop.call_at(due, self._begin)

    async def fresh(self) -> None:
        """Look at it, beginning now."""
        if self._task is not None:
            await asyncio.wait([self._task])
        self._begin()
        while self._task is not None:
            task = self._task
            await asyncio.wait([task])
            if not task.cancelled():
                break  # else a look that is in more of a hurry has taken its place

    def traffic(self) -> Traffic:
        """Requests to it since this was last asked."""
        requests, failures, running, p95_ns, in_flight = self._monitor.routes.traffic(self.number)
        new, failed = requests - self._requests, failures - self._failures
        self._requests, self._failures, self._in_flight = requests, failures, in_flight
        self._told = (self._told[0] + new, self._told[1] + failed)
        return Traffic(new, failed, running if failed else 0, p95_ns)

    def report(self, now_ns: int) -> InstanceReport:
        """How it is."""
        health = self.health
        status: StateName = "unknown"
        if health.state == HealthState.HEALTHY:
            status = "healthy"
        elif health.state == HealthState.DEGRADED:
            status = "degraded"
        elif health.state == HealthState.UNHEALTHY:
            status = "unhealthy"
        return InstanceReport(
            name=self.address.name,
            address=f"{self.address.host}:{self.address.port}",
            region=self.address.region,
            status=status,
            ejected=self.ejected,
            cause=health.cause,
            since_seconds=round(max(0, now_ns - health.since_ns) / NANOSECONDS, 3) if health.since_ns else 0.0,
            response_time_ms=health.response_ns / 1e6,
            success_rate=health.success_percent,
            load_percent=max(health.load_percent, 0.0),
            in_flight=self._in_flight,
            consecutive_failures=health.consecutive_failures,
            uptime_seconds=health.uptime_seconds,
            restarts=health.restarts,
            checks=health.checks,
            forecast=self.forecaster.forecast,
        )

    def _on_lost(self) -> None:
        self._monitor._counters.increment(self._monitor._events)
        self.look_soon(0.0, SUSPECT_SECONDS)

    def _begin(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        hurry_seconds, self._hurry_seconds = self._hurry_seconds, None
        if self._monitor._closed or (self._task is not None and hurry_seconds is None):
            return
        if self._task is not None:
            self._task.cancel()  # what it waits for may never come
        limit_seconds = min(hurry_seconds or self._monitor.timeout_seconds, self._monitor.timeout_seconds)
        self._task = asyncio.get_running_loop().create_task(self._look(limit_seconds))
        self._task.add_done_callback(self._on_done)

    def _on_done(self, task: asyncio.Task[None]) -> None:
        if task is self._task:
            self._task = None
        if not task.cancelled() and task.exception() is not None:
            _LOGGER.error("a look at %s of %s failed", self.address.name, self.engine, exc_info=task.exception())

    async def _look(self, timeout_seconds: float) -> None:
        check = await self._prober.ask(timeout_seconds)
        requests, failures = self._told
        self._told = (0, 0)
        self.health.on_traffic(requests, failures)
        if check.latency_ns and self.health.consecutive_failures == 0:
            values = {"latency_ms": check.latency_ns / 1e6, "queue": float(self._in_flight)}
            if requests:
                values["error_percent"] = 100.0 * failures / requests
            self.forecaster.add(check.at_ns, values)
        self._monitor.take(self, check, self.health.on_check(check))
        if self.health.state == HealthState.HEALTHY and not self.health.consecutive_failures:
            self._retry_seconds = RETRY_SECONDS
        elif self.health.state == HealthState.DEGRADED and not self.health.consecutive_failures:
            self._retry_seconds = RETRY_SECONDS
            self.look_soon(min(DEGRADED_SECONDS, self._monitor.interval_seconds))
        else:
            self.look_soon(self._retry_seconds, SUSPECT_SECONDS)
            self._retry_seconds = min(2 * self._retry_seconds, MOST_RETRY_SECONDS)
