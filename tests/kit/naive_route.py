"""The table of routes once more, naively: dictionaries, Python's numbers, every rule written out."""

from __future__ import annotations

from dataclasses import dataclass, field

from nautilus.core import route

LONGEST_NS = (1 << 40) - 1
FAILURE_NS = 100_000_000
RAMP_NS = 10_000_000_000
MASK = (1 << 64) - 1


def toward_zero(a: int, b: int) -> int:
    """Division as C has it."""
    return -(-a // b) if a < 0 else a // b


def halved(value: int, elapsed_ns: int, half_life_ns: int) -> int:
    """value x 2^-(elapsed / half-life), in a straight line between whole powers."""
    if elapsed_ns <= 0:
        return value
    whole, rest_ns = divmod(elapsed_ns, half_life_ns)
    return 0 if whole >= 40 else (value >> whole) * (2048 - (rest_ns << 10) // half_life_ns) >> 11


def bucket_low(bucket: int) -> int:
    """The least latency of a bucket: four in each power of two, in units of 256 ns."""
    return bucket << 8 if bucket < 4 else (4 + bucket % 4) << (bucket // 4 - 1 + 8)


BOUNDS = [bucket_low(bucket) for bucket in range(129)]


@dataclass
class Target:
    """One way to an instance."""

    group: int
    instance: int
    way: int
    expected: int = 0
    deviation: int = 0
    peak: int = 0
    peak_at: int = 0
    last: int = 0
    samples: int = 0
    surprise: int = 0
    surprise_ns: int = 0
    confirm: bool = False
    tried: bool = False
    confidence: int = 0
    share: int = 0
    ok: int = 0
    failed: int = 0
    running: int = 0
    epoch: int = 0
    since: int = 0
    requests: int = 0
    failures: int = 0
    in_flight: int = 0
    quantiles: tuple[int, int, int] = (0, 0, 0)
    buckets: dict[int, int] = field(default_factory=dict)

    @property
    def weight(self) -> int:
        return sum(self.buckets.values())

    def quantile(self, thousandth: int) -> int:
        wanted, before = self.weight * thousandth // 1000, 0
        for bucket in sorted(self.buckets):
            held = self.buckets[bucket]
            if before + held >= wanted:
                low, high = BOUNDS[bucket], BOUNDS[bucket + 1]
                return low + (high - low) * (wanted - before) // held
            before += held
        return 0


class NaiveRoutes:
    """See `nautilus.core.route.Routes`; one process."""

    def __init__(self, *, region: str = "", half_life_ns: int = 10_000_000_000, seed: int = 1) -> None:
        self.region = region
        self.half_life_ns = half_life_ns
        self.chance = (seed * 0x9E3779B97F4A7C15 | 1) & MASK
        self.instances: dict[tuple[str, str], list] = {}  # [region, health, since]
        self.groups: dict[tuple[str, str], list] = {}  # [members of each route, until a trial, taken, turn]
        self.targets: list[Target] = []

    def draw(self) -> int:
        x = self.chance
        x ^= x >> 12
        x = (x ^ x << 25) & MASK
        x ^= x >> 27
        self.chance = x
        return (x * 0x2545F4914F6CDD1D & MASK) >> 33

    def instance(self, engine: str, name: str, region: str = "") -> int:
        found = self.instances.setdefault((engine, name), ["", route.UNKNOWN, 0])
        found[0] = region or found[0]
        return list(self.instances).index((engine, name))

    def group(self, engine: str, endpoint_class: str) -> int:
        self.groups.setdefault((engine, endpoint_class), [([], []), 4, None, 0])
        return list(self.groups).index((engine, endpoint_class))

    def target(self, engine: str, endpoint_class: str, name: str, way: int) -> int:
        group, instance = self.group(engine, endpoint_class), self.instance(engine, name)
        for number, target in enumerate(self.targets):
            if (target.group, target.instance, target.way) == (group, instance, way):
                return number
        self.targets.append(Target(group, instance, way))
        self._group(group)[0][way].append(len(self.targets) - 1)
        return len(self.targets) - 1

    def begin(self, number: int) -> None:
        self.targets[number].in_flight += 1

    def end(self, number: int) -> None:
        self.targets[number].in_flight = max(0, self.targets[number].in_flight - 1)

    def set_health(self, instance: int, state: int, now_ns: int) -> None:
        found = self._instance(instance)
        if found[1] >= route.UNHEALTHY > state:
            found[2] = now_ns
        found[1] = state

    def forget(self, number: int) -> None:
        old = self.targets[number]
        new = Target(old.group, old.instance, old.way)
        for name in ("peak_at", "last", "surprise_ns", "tried", "requests", "failures", "in_flight"):
            setattr(new, name, getattr(old, name))
        self.targets[number] = new

    def record(self, number: int, latency_ns: int, ok: bool, now_ns: int) -> None:
        t = self.targets[number]
        t.requests += 1
        t.failures += not ok
        latency_ns = max(1, min(latency_ns, LONGEST_NS))
        self._decay(t, now_ns)
        tried, t.tried = t.tried and self._group(t.group)[2] is not None, False
        weight = 256 * 8 if tried else 256
        if ok:
            t.ok, t.running = t.ok + weight, 0
        else:
            t.failed, t.running = t.failed + weight, t.running + 1
        if t.ok + t.failed > 128 * 256:
            t.ok, t.failed = t.ok - t.ok // 8, t.failed - t.failed // 8
        t.share = t.failed * 1024 // (t.failed + t.ok)
        first, t.samples, t.last = t.samples == 0, t.samples + 1, now_ns
        if not ok and not first and latency_ns <= t.expected:
            return
        self._estimate(t, latency_ns, first, tried)
        peak = halved(t.peak, now_ns - t.peak_at, self.half_life_ns)
        rises = first or latency_ns >= peak
        t.peak = latency_ns if rises else peak + toward_zero(latency_ns - peak, 16)
        t.peak_at = now_ns
        bucket = max(bucket for bucket in range(128) if BOUNDS[bucket] <= latency_ns)
        t.buckets[bucket] = t.buckets.get(bucket, 0) + 256
        count = min(t.weight // 256, 4096)
        t.confidence = 100 * count * t.expected // ((count + 8) * (t.expected + t.deviation) + 1)
        t.since += 1
        if t.since >= 16 or t.samples <= 16:
            t.since = 0
            t.quantiles = (t.quantile(500), t.quantile(950), t.quantile(990))

    def _estimate(self, t: Target, latency_ns: int, first: bool, tried: bool) -> None:
        if first:
            t.expected, t.deviation, t.surprise, t.confirm = latency_ns, latency_ns // 2, 0, False
            t.surprise_ns = latency_ns
            return
        taken = self._group(t.group)[2]
        gain = max(2, min(t.weight // 256 + 1, 4 if tried else 16))
        off, far = latency_ns - t.expected, abs(latency_ns - t.expected)
        side = 0
        if tried and off < 0 and latency_ns < self.targets[taken].expected:
            side = -1
        elif far > max(4 * t.deviation, t.expected // 2):
            side = -1 if off < 0 else 1
        if side and side == t.surprise:
            t.expected = (latency_ns + t.surprise_ns) // 2
            t.deviation, side = t.expected // 4, 0
        else:
            t.expected += toward_zero(off, gain)
            t.deviation += toward_zero(far - t.deviation, gain)
        t.surprise, t.surprise_ns, t.confirm = side, latency_ns, tried and side < 0

    def _decay(self, t: Target, now_ns: int) -> None:
        if t.epoch == 0 or now_ns < t.epoch - self.half_life_ns:
            t.epoch = now_ns
            return
        step_ns = self.half_life_ns // 4
        steps = toward_zero(now_ns - t.epoch, step_ns)
        if steps <= 0:
            return
        t.epoch += steps * step_ns

        def faded(count: int) -> int:
            if steps >= 31 * 4:
                return 0
            count >>= steps // 4
            for _ in range(steps % 4):
                count -= (count * 41 + 255) // 256
            return count

        t.buckets = {bucket: faded(count) for bucket, count in t.buckets.items() if faded(count)}
        t.ok, t.failed = faded(t.ok), faded(t.failed)

    def decide(self, number: int, now_ns: int, flags: int) -> int:
        group = self._group(number)
        picks = [
            None if flags & excluded else self._pick(group, way, now_ns, flags)
            for way, excluded in enumerate((route.GATEWAY, route.DIRECT))
        ]
        direct, gateway = picks
        if direct is None and gateway is None:
            return route.NO_TARGET
        confidence = 100
        if flags & route.DIRECT:
            use_direct, reason = True, "direct only"
        elif flags & route.GATEWAY:
            use_direct, reason = False, "gateway only"
        elif direct is None or gateway is None:
            use_direct, reason = direct is not None, "only route"
        elif direct[2] != gateway[2]:
            use_direct, reason = not direct[2], "only route"
        else:
            use_direct, reason, confidence = self._compare(group, direct[0], gateway[0], now_ns, flags)
            if reason != "trial":
                group[2] = direct[0] if use_direct else gateway[0]
        target, how, panic, spill = picks[0 if use_direct else 1]
        t = self.targets[target]
        if reason == "trial":
            t.tried = True
        return (
            target
            | use_direct << route.DIRECT_SHIFT
            | route.REASONS.index(reason) << route.REASON_SHIFT
            | how << route.PICK_SHIFT
            | panic << route.PANIC_SHIFT
            | spill << route.SPILL_SHIFT
            | t.confidence * confidence // 100 << route.CONFIDENCE_SHIFT
            | min(t.expected, (1 << 36) - 1) << route.LATENCY_SHIFT
        )

    def _known(self, t: Target, now_ns: int) -> bool:
        return t.samples >= 3 and now_ns - t.last < 32 * self.half_life_ns

    def _burdened(self, t: Target, ns: int, now_ns: int) -> int:
        share = halved(t.share, now_ns - t.last, self.half_life_ns) if t.share else 0
        return ns + ((ns >> 10) * 8 + (FAILURE_NS >> 10)) * share

    def _compare(self, group: list, first: int, second: int, now_ns: int, flags: int) -> tuple[bool, str, int]:
        direct, gateway = self.targets[first], self.targets[second]
        prefers = bool(flags & route.PREFER_DIRECT)
        both = self._known(direct, now_ns) and self._known(gateway, now_ns)
        better, reason, confidence = prefers, "preference", 50
        if both:
            costs = [self._burdened(t, t.expected, now_ns) for t in (direct, gateway)]
            if costs[0] != costs[1]:
                better = costs[0] < costs[1]
                faster = direct.expected < gateway.expected
                reason = "latency" if direct.expected != gateway.expected and faster == better else "failures"
            apart = abs(direct.expected - gateway.expected)
            confidence = 50 + 50 * apart // (apart + 1 + (direct.deviation + gateway.deviation) // 8)
        if not flags & route.IDEMPOTENT:
            return better, reason, confidence
        other = gateway if better else direct
        if both and other.confirm:
            other.confirm = False
            return not better, "trial", confidence
        group[1] -= 1
        if group[1] <= 0:
            group[1] = 24 + self.draw() % 21 if both else 4
            return not better, "trial", confidence
        return better, reason, confidence

    def _pick(self, group: list, way: int, now_ns: int, flags: int) -> tuple[int, int, bool, bool] | None:
        members = group[0][way]
        if not members:
            return None

        def sound(number: int) -> bool:
            return self._instance(self.targets[number].instance)[1] < route.UNHEALTHY

        def here(number: int) -> bool:
            return bool(self.region) and self._instance(self.targets[number].instance)[0] == self.region

        if len(members) == 1:
            return members[0], 0, not sound(members[0]), bool(self.region) and not here(members[0])
        able, own = [each for each in members if sound(each)], [each for each in members if here(each)]
        panic = 2 * len(able) < len(members)
        own_able = [each for each in own if sound(each)]
        spill = bool(self.region) and (panic or not own_able or 2 * len(own_able) < len(own))
        taken = members if panic else own_able if self.region and not spill else able
        if len(taken) == 1:
            return taken[0], 0, panic, spill
        if flags & route.ROUND_ROBIN:
            group[3] += 1
            return taken[(group[3] - 1) % len(taken)], 1, panic, spill
        start = self.draw() % len(taken)
        if flags & route.LEAST_CONNECTIONS:
            order = taken[start:] + taken[:start]
            return min(order, key=lambda each: self.targets[each].in_flight), 2, panic, spill
        second = self.draw() % (len(taken) - 1)
        one, two = taken[start], taken[second + (second >= start)]
        return two if self._cost(two, now_ns) < self._cost(one, now_ns) else one, 3, panic, spill

    def _cost(self, number: int, now_ns: int) -> int:
        t = self.targets[number]
        _, health, since_ns = self._instance(t.instance)
        if t.samples == 0:
            return t.in_flight << 38
        peak = halved(t.peak, now_ns - t.peak_at, self.half_life_ns)
        cost = self._burdened(t, min(peak + 1, 1 << 40), now_ns) * (min(t.in_flight, 4095) + 1)
        cost *= 2 if health == route.DEGRADED else 1
        if since_ns and 0 <= now_ns - since_ns < RAMP_NS:
            cost += cost * (7 * (RAMP_NS - (now_ns - since_ns)) // (RAMP_NS >> 3)) >> 3
        return cost

    def _group(self, number: int) -> list:
        return list(self.groups.values())[number]

    def _instance(self, number: int) -> list:
        return list(self.instances.values())[number]
