"""The instances of one engine: which one a request goes to, and what becomes of those that met a dead one.

::

    refused or broken before it was sent    another instance, or wait for the return of this one
    broken behind that, not safe            the client is told that nobody knows (504); nothing is sent again
    broken behind that, safe                as if refused, where the instance has died: that is no work for what lives;
                                            not known yet: as often as the retry budget and `MOST_SENDS` allow, then a
                                            probe is waited for, and the client told (502) where the instance lives
    silent for the endpoint's watch         a read is sent to another instance too, and the silent one is probed
    no answer to the probe                  everything safe leaves it, and all that waits for a connection; nothing goes
                                            there, until it answers one

Waiting for the return: connections are tried every few milliseconds as long as somebody waits.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from nautilus.core.counters import Counters
from nautilus.core.proxy_call import EndpointBase
from nautilus.core.proxy_head import AnswerHead
from nautilus.core.proxy_lane import Aimed, GroupBase, InstanceBase
from nautilus.core.proxy_upstream import Call
from nautilus.gateway.endpoints import Address, EngineSpec
from nautilus.gateway.pool import Pool, PoolSettings
from nautilus.runtime.clock import monotonic_ns

MOST_SENDS = 3
"""A request is sent so often at most to what lives."""
MOST_DEATHS = 3
"""And goes down with so many at most: what kills an engine must not kill them all."""
REVIVE_NS = 10_000_000
IDLE_REVIVE_NS = 250_000_000
PROBE_NS, LONE_PROBE_NS = 40_000_000, 500_000_000
"""An instance that does not say that it lives for so long does not live; there is time where there is no other one."""
PROBE_KEEP_SECONDS = 15.0
PROBE_AGAIN_NS, DOUBT_PROBE_NS = 50_000_000, 5_000_000
"""Between probes; where somebody has to know whether it lives, at most one a tick."""
RECOVERY_NS = 3_000_000_000
"""So long after an outage an engine may still be starting: its 503 is no answer to what is safe."""
MOST_RECOVERY_NS = 30_000_000_000
"""The same for an operation that has not been answered since the engine took connections again."""
PAUSE_NS, MOST_PAUSE_NS = 20_000_000, 320_000_000
"""Until it is asked again, twice as long each time: it is to start, not to answer the same ones over and over."""


class Allowance(Protocol):
    """How much more may be sent than was asked for."""

    def deposit(self, now_ns: int) -> None:
        """A request has come."""
        ...

    def withdraw(self, now_ns: int) -> bool:
        """Whether one may be sent again."""
        ...


class Instance(InstanceBase):
    """One instance of an engine.

    Attributes
    ----------
    silent : it has not answered a probe, nor anything since.
    life : how often it was found to have died.
    lived_ns : the last probe that it answered was sent then.
    """

    __slots__ = ("address", "index", "lived_ns", "probe", "probe_pool", "probed_ns")

    def __init__(self, address: Address, settings: PoolSettings, counters: Counters, drop: tuple[bytes, ...]) -> None:
        self.address = address
        self.authority = _authority(address)
        place = (address.host, address.port)
        self.pool = Pool(address.name, place, settings, counters, drop=drop)
        # Of its own: those of the pool may all be waiting for an instance that is stopped.
        self.probe_pool = Pool(f"{address.name}.probe", place, PoolSettings(1, PROBE_KEEP_SECONDS, 1.0, 1), counters)
        self.probe: Probe | None = None
        self.probed_ns = self.lived_ns = 0
        self.silent = False
        self.life = 0
        self.index = 0

    @property
    def usable(self) -> bool:
        """Requests may be sent to it."""
        return self.pool.up and not self.silent

    def move(self, address: Address) -> None:
        """It is somewhere else now."""
        self.address = address
        self.authority = _authority(address)
        self.pool.address = self.probe_pool.address = (address.host, address.port)


class Probe(Call):
    """Asks an instance whether it lives."""

    __slots__ = ("_done",)

    def __init__(self, authority: bytes, until_ns: int, done: Callable[[str], None]) -> None:
        self.payload = b"GET /livez HTTP/1.1\r\nhost: %s\r\n\r\n" % authority
        self.safe = True
        self.wait_until_ns = self.deadline_ns = until_ns
        self._done = done

    def on_whole(self, head: AnswerHead, body: bytes) -> None:
        self._done("")

    def on_head(self, head: AnswerHead) -> None:
        pass

    def on_data(self, data: bytes) -> None:
        pass

    def on_end(self) -> None:
        self._done("")

    def on_failure(self, code: str, what: str, *, sent: bool) -> None:
        self._done(code)


class Group(GroupBase):
    """One engine's instances.

    Parameters
    ----------
    spec
        What and where it is.
    counters
        Of the process.
    drop
        See `Pool`.
    retries, hedges
        How much may be sent again, and to a second instance beside the first.
    """

    instances: list[Instance]

    def __init__(
        self,
        spec: EngineSpec,
        counters: Counters,
        *,
        drop: tuple[bytes, ...] = (),
        retries: Allowance,
        hedges: Allowance,
    ) -> None:
        self.name = spec.name
        self.instances = [Instance(address, spec.pool, counters, drop) for address in spec.instances]
        self._retries = retries
        self._hedges = hedges
        self.on_health: Callable[[Instance, bool], None] = lambda instance, usable: None
        """Told of each change: instance, and whether it is usable now."""
        self.chooser = None
        """Without one, whoever has least to do is chosen."""
        self.usable = True
        """Some instance may be sent requests."""
        self._parked: list[Aimed] = []
        self._revived_ns = 0
        self._outage_ns = self._returned_ns = 0
        self._turn = 0
        self._counters = counters
        head = f"gateway.engine.{spec.name}."
        self._retried, self._no_budget, self._hedged, self._parks, self._silences, self._outages = (
            counters.counter(head + what)
            for what in ("retried", "retry_refused", "hedged", "waited_for_return", "silent", "outages")
        )
        for instance in self.instances:
            instance.pool.on_change = self._watcher(instance)

    @property
    def busy(self) -> bool:
        """Something may become late."""
        return bool(self._parked) or any(
            instance.pool.busy or instance.probe is not None or instance.silent for instance in self.instances
        )

    @property
    def alive(self) -> bool:
        """It has connections that time may end, or waits for an instance."""
        return any(instance.pool.connections or not instance.usable for instance in self.instances)

    def recovering(self, now_ns: int) -> bool:
        """It was away a moment ago."""
        return self._outage_ns > 0 and now_ns - self._outage_ns < RECOVERY_NS

    def drop(self, call: Aimed) -> None:
        """A call is given up, which says nothing about the instance."""
        if call.target >= 0 and self.chooser is not None:
            self.chooser.drop(call.target)
            call.target = -1

    def change(self, call: Aimed, instance: Instance | None) -> None:
        """A call is answered by another instance than the one that it was sent to: what it took is told of that one."""
        self.drop(call)
        call.instance = instance
        if instance is not None:
            call.life = instance.life
        if instance is not None and self.chooser is not None:
            call.target = self.chooser.begin(instance, call.write)

    def returning(self, endpoint: EndpointBase, now_ns: int) -> bool:
        """It was away, and may still be starting: it has not answered this operation since."""
        since_ns = self._returned_ns
        return self.recovering(now_ns) or (endpoint.answered_ns < since_ns and now_ns - since_ns < MOST_RECOVERY_NS)

    def away(self, call: Aimed, now_ns: int) -> bool:
        """No instance takes requests, or none did a moment ago."""
        endpoint = getattr(call, "endpoint", None)
        return not self.usable or self.recovering(now_ns) or (endpoint is not None and self.returning(endpoint, now_ns))

    def again(self, call: Aimed, now_ns: int, *, sent: bool, broken: bool = False) -> bool:
        """Send a call again that came to nothing; False where that may not be.

        Parameters
        ----------
        sent
            Some of it may have reached the instance it was on: it has to be safe.
        broken
        Its connection was: the instance may have died.
        """
        before: Instance = call.instance
        call.careful = True
        self._trouble(call)
        self.settle(call, now_ns - call.sent_ns if call.sent_ns else 0, False, now_ns)
        if not sent:
            self.dispatch(call, now_ns, before)
            return True
        if not call.safe:
            return False
        if before.life != call.life:
            return self._again_after_death(call, now_ns, before)
        if call.sends < MOST_SENDS and self._retries.withdraw(now_ns):
            call.sends += 1
            self._send_again(call, now_ns, before)
            return True
        self._counters.increment(self._no_budget)
        if broken:
            call.doubted, call.broken_ns = before, now_ns
            self.park(call, now_ns)
            self._ask_whether_alive(before, now_ns)
        return broken

    def _again_after_death(self, call: Aimed, now_ns: int, before: Instance) -> bool:
        """Its instance is dead, and has no work with it: that costs no part of the budget."""
        call.doubted = None
        call.deaths += 1
        if call.deaths >= MOST_DEATHS:
            return False
        call.sends = 1
        self._send_again(call, now_ns, before)
        return True

    def _send_again(self, call: Aimed, now_ns: int, before: Instance) -> None:
        self._counters.increment(self._retried)
        call.on_again(now_ns)
        self.dispatch(call, now_ns, before)

    def park(self, call: Aimed, now_ns: int, pause_ns: int = 0) -> None:
        """Keep a call until an instance can be had, or it is too late for it."""
        self._counters.increment(self._parks)
        call.not_before_ns = now_ns + pause_ns
        call.upstream = None
        call.instance = None
        self.drop(call)
        self._trouble(call)
        self._parked.append(call)
        self._revive(now_ns, REVIVE_NS)

    def cancel(self, call: Aimed) -> None:
        """Nobody wants it any more."""
        if call in self._parked:
            self._parked.remove(call)
        elif call.instance is not None:
            call.instance.pool.cancel(call)

    def tick(self, now_ns: int) -> None:
        """Look after everything that time changes; every few milliseconds while `busy`."""
        for instance in self.instances:
            if instance.pool.busy:
                self._watch(instance, now_ns)
            if instance.pool.connections or instance.pool.waiting:
                instance.pool.sweep(now_ns)
            if instance.probe_pool.connections or instance.probe_pool.waiting:
                instance.probe_pool.sweep(now_ns)
            if instance.silent and instance.probe is None and now_ns - instance.probed_ns > PROBE_AGAIN_NS:
                self._probe(instance, now_ns)
        self._revive(now_ns, REVIVE_NS if self._parked else IDLE_REVIVE_NS)
        if self._parked:
            self._unpark(now_ns)

    def move(self, number: int, address: Address) -> None:
        """An instance listens somewhere else now."""
        self.instances[number].move(address)

    def close(self) -> None:
        """Let go of what is idle, take nothing new."""
        for instance in self.instances:
            instance.pool.close()
            instance.probe_pool.close()

    @staticmethod
    def _trouble(call: Aimed) -> None:
        if call.safe:
            call.wait_until_ns = call.deadline_ns
        call.on_trouble()

    def _choose(self, avoid: Instance | None) -> Instance | None:
        instances = self.instances
        if len(instances) == 1:
            first = instances[0]
            return first if first.pool.up and not first.silent else None
        usable = [instance for instance in instances if instance.usable]
        if avoid is not None and len(usable) > 1 and avoid in usable:
            usable.remove(avoid)
        if not usable:
            return None
        self._turn += 1
        turn = self._turn
        return min(
            usable,
            key=lambda each: (each.pool.in_flight + each.pool.waiting, (instances.index(each) + turn) % len(instances)),
        )

    def _watcher(self, instance: Instance) -> Callable[[bool], None]:
        def changed(up: bool) -> None:
            if up:
                self._returned_ns = monotonic_ns()
                self.outage(self._returned_ns)  # only now does it start: however long it was away
            else:
                self._counters.increment(self._outages)
                instance.life += 1
            self._changed(instance)

        return changed

    def _changed(self, instance: Instance) -> None:
        self.usable = any(each.usable for each in self.instances)
        self.on_health(instance, instance.usable)

    def outage(self, now_ns: int) -> None:
        """A connection of it broke, or was refused, or is had again."""
        self._outage_ns = now_ns

    def _watch(self, instance: Instance, now_ns: int) -> None:
        suspect = False
        for upstream in list(instance.pool.connections):
            call = upstream.call
            if not isinstance(call, Aimed) or call.heard or now_ns - call.sent_ns < call.watch_ns:
                continue
            suspect = True
            if call.safe:
                self._hedge(call, instance, now_ns)
        if suspect and instance.probe is None and now_ns - instance.probed_ns > PROBE_AGAIN_NS:
            self._probe(instance, now_ns)

    def _hedge(self, call: Aimed, instance: Instance, now_ns: int) -> None:
        others = [other for other in self.instances if other is not instance and other.usable]
        if not others or not call.may_double() or not self._hedges.withdraw(now_ns):
            return
        self._counters.increment(self._hedged)
        second = call.double()
        second.target = -1
        best = min(others, key=lambda each: each.pool.in_flight + each.pool.waiting)
        second.aim(best)
        second.instance = best
        best.pool.request(second, now_ns)

    def _probe(self, instance: Instance, now_ns: int) -> None:
        instance.probed_ns = now_ns

        def done(failure: str) -> None:
            if instance.probe is probe:
                instance.probe = None
            if failure == "connect":
                # Nobody listens. Connections that still stand are of a process on its way out.
                life = instance.life
                instance.pool.refused("a probe was refused")
                if instance.life == life:
                    instance.life += 1
            elif not failure:
                instance.lived_ns = now_ns
            self._unpark(monotonic_ns())
            # A broken or refused connection is the pool's to find out; silent is one that stands and is not served.
            alive = failure not in ("late", "wait")
            if alive == instance.silent:
                instance.silent = not alive
                self._changed(instance)
                if not alive:
                    self._counters.increment(self._silences)
                    for upstream in instance.pool.connections:
                        if isinstance(upstream.call, Aimed):
                            self._trouble(upstream.call)
                    self._leave(instance)

        alone = not any(other.usable for other in self.instances if other is not instance)
        until_ns = now_ns + (LONE_PROBE_NS if alone else PROBE_NS)
        probe = instance.probe = Probe(instance.authority, until_ns, done)
        instance.probe_pool.up = True
        instance.probe_pool.request(probe, now_ns)

    def _ask_whether_alive(self, instance: Instance, now_ns: int) -> None:
        if instance.probe is None and now_ns - instance.probed_ns >= DOUBT_PROBE_NS:
            self._probe(instance, now_ns)

    def _leave(self, instance: Instance) -> None:
        """Take what is not sent yet from an instance that does not answer; where there is another one, reads too."""
        while (waiting := instance.pool.next_waiting()) is not None:
            self.drop(waiting)
            self.dispatch(waiting, monotonic_ns(), instance)
        if not self.usable:
            return
        now_ns = instance.probed_ns + PROBE_NS
        for upstream in list(instance.pool.connections):
            call = upstream.call
            if isinstance(call, Aimed) and call.safe and not call.heard and call.sends < MOST_SENDS:
                call.sends += 1
                self.settle(call, now_ns - call.sent_ns, False, now_ns)
                upstream.give_up()
                self.dispatch(call, now_ns, instance)

    def _revive(self, now_ns: int, every_ns: int) -> None:
        if now_ns - self._revived_ns < every_ns:
            return
        self._revived_ns = now_ns
        for instance in self.instances:
            if not instance.pool.up:
                instance.pool.revive()

    def _unpark(self, now_ns: int) -> None:
        usable = self.usable
        parked, self._parked = self._parked, []
        for call in parked:
            doubted = call.doubted
            if (call.deadline_ns if call.safe else call.wait_until_ns) <= now_ns:
                if doubted is None:
                    call.on_failure("down", f"no instance of {self.name} takes requests", sent=False)
                else:
                    call.on_failure("broken", "the connection ended, and nobody knows why", sent=True)
            elif doubted is not None:
                self._settle_doubt(call, doubted, now_ns)
            elif usable and call.not_before_ns <= now_ns:
                call.on_again(now_ns)
                self.dispatch(call, now_ns)
            else:
                self._parked.append(call)

    def _settle_doubt(self, call: Aimed, instance: Instance, now_ns: int) -> None:
        """Whether the instance that broke a call's connection has died by now, or lives."""
        if instance.life != call.life or (instance.silent and self.usable):
            if not self._again_after_death(call, now_ns, instance):
                self._has_killed(call)
        elif instance.lived_ns > call.broken_ns:
            call.doubted, call.safe = None, False
            call.on_failure("broken", "the connection ended, though the instance lives", sent=True)
        else:
            self._parked.append(call)
            self._ask_whether_alive(instance, now_ns)

    @staticmethod
    def _has_killed(call: Aimed) -> None:
        call.safe = False
        call.on_failure("broken", f"{call.deaths} instances have died with it", sent=True)


def _authority(address: Address) -> bytes:
    host = f"[{address.host}]" if ":" in address.host else address.host
    return f"{host}:{address.port}".encode()
