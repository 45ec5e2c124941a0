"""Health of an instance and ejection among siblings once more, naively: the whole story is kept."""

from __future__ import annotations

from dataclasses import dataclass, field
from statistics import median

from nautilus.policy.health import Check, HealthSettings, HealthState, Seen, Traffic

SECOND_NS = 1_000_000_000


@dataclass
class NaiveHealth:
    """One instance: each look since the process that answers was started, newest last."""

    settings: HealthSettings
    state: HealthState = HealthState.UNKNOWN
    looks: list[Seen] = field(default_factory=list)
    answered: list[bool] = field(default_factory=list)
    restarts: int = 0
    instances: list[str] = field(default_factory=list)
    traffic_percent: float = 100.0

    def on_check(self, check: Check) -> HealthState:
        seen = self._seen(check)
        if check.instance:
            self.instances.append(check.instance)
        if check.instance and len(set(self.instances[-2:])) == 2:
            self.restarts += 1
            self.looks = []
            if self.state == HealthState.UNHEALTHY:
                self.state = HealthState.UNKNOWN
        self.answered.append(seen <= Seen.POOR)
        self.looks.append(seen)
        self.state = self._after(seen)
        return self.state

    def _seen(self, check: Check) -> Seen:
        poor = (
            check.latency_ns > self.settings.slow_ms * 1e6
            or check.load_percent > self.settings.load_percent
            or self.traffic_percent < self.settings.poor_success_percent
        )
        return Seen.POOR if check.seen == Seen.GOOD and poor else check.seen

    def _running(self, *kinds: Seen) -> int:
        count = 0
        for seen in reversed(self.looks):
            if seen not in kinds:
                break
            count += 1
        return count

    def _after(self, seen: Seen) -> HealthState:
        good, poor = self._running(Seen.GOOD), self._running(Seen.POOR)
        bad = self._running(Seen.BAD, Seen.DOWN)
        settings = self.settings
        if self.state == HealthState.UNKNOWN:
            return (HealthState.HEALTHY, HealthState.DEGRADED, HealthState.UNHEALTHY, HealthState.UNHEALTHY)[seen]
        if self.state == HealthState.UNHEALTHY:
            if good >= settings.good_checks:
                return HealthState.HEALTHY
            return HealthState.DEGRADED if poor >= settings.poor_checks else self.state
        if seen == Seen.DOWN or bad >= settings.bad_checks:
            return HealthState.UNHEALTHY
        if self.state == HealthState.HEALTHY:
            return HealthState.DEGRADED if bad or poor >= settings.poor_checks else self.state
        return HealthState.HEALTHY if good >= settings.clear_checks else self.state

    @property
    def failures_running(self) -> int:
        count = 0
        for answered in reversed(self.answered):
            if answered:
                break
            count += 1
        return count

    @property
    def success_percent(self) -> float:
        recent = self.answered[-64:]
        return 100.0 * sum(recent) / len(recent) if recent else 100.0


@dataclass
class NaiveEjections:
    """Siblings: {name: [from, until, number it then had]} of each ejection, newest last. The clock goes forward."""

    settings: HealthSettings
    names: tuple[str, ...]
    stays: dict[str, list[tuple[int, int, int]]] = field(default_factory=dict)

    def out(self, now_ns: int) -> set[str]:
        return {name for name, stays in self.stays.items() if stays[-1][1] > now_ns}

    def judge(self, traffic: dict[str, Traffic], now_ns: int) -> set[str]:
        enough = {name: each for name, each in traffic.items() if each.requests >= self.settings.eject_least_requests}
        rates = {name: 100.0 * (each.requests - each.failures) / each.requests for name, each in enough.items()}
        found = set()
        for name in sorted(enough, key=lambda each: rates[each]):
            others = [each for each in enough if each != name]
            if not others:
                continue
            apart = median(rates[each] for each in others) - rates[name] >= self.settings.eject_apart_percent
            usual = self.settings.eject_slow_factor * median(enough[each].p95_ns for each in others)
            if (apart or (usual and enough[name].p95_ns > usual)) and self.eject(name, now_ns):
                found.add(name)
        return found

    def eject(self, name: str, now_ns: int) -> bool:
        count = len(self.names)
        most = max(1, int(count * self.settings.eject_share_percent / 100)) if count > 1 else 0
        if name in self.out(now_ns) or len(self.out(now_ns)) >= most:
            return False
        stays = self.stays.setdefault(name, [])
        before = 0
        if stays:
            _, until_ns, before = stays[-1]
            calm = (now_ns - until_ns) // (self.settings.eject_forget_seconds * SECOND_NS)
            before = max(0, before - int(calm))
        longest = self.settings.eject_most_seconds
        seconds = min(self.settings.eject_seconds * 2.0 ** min(before, 32), longest)
        stays.append((now_ns, now_ns + int(seconds * SECOND_NS), before + 1))
        return True
