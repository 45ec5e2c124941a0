"""A callee with so many workers in virtual time: arrivals and service times by chance, a queue in order of arrival.

It stands for an engine or an instance behind a concurrency limit, so that a limit can be judged against what is true.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Sequence
from heapq import heappop, heappush
from typing import NamedTuple

from nautilus.core.limiter import Limiter

SECOND = 1_000_000_000


class Flow(NamedTuple):
    """Requests of one priority, so many a second."""

    priority: int
    rate: float


class Outcome(NamedTuple):
    """Of one flow: asked, answered, and the latencies of the answers."""

    asked: int
    answered: int
    latencies_ns: list[int]


def overload(
    limiter: Limiter,
    workers: int,
    service_ns: int,
    flows: Sequence[Flow],
    seconds: float,
    *,
    seed: int = 1,
    steady: bool = False,
    watch: Callable[[float, float], object] = lambda seconds, limit: None,
    from_seconds: float = 0.0,
    begun_ns: int = SECOND,
) -> list[Outcome]:
    """Run it; what became of each flow from `from_seconds` on.

    Parameters
    ----------
    workers, service_ns
        Calls that the callee works on at once, and the mean time of one.
    steady
        All service times are the same.
    watch
        Told the limit every 10 ms.
    """
    chance = random.Random(seed)
    end_ns = begun_ns + round(seconds * SECOND)
    counted_ns = begun_ns + round(from_seconds * SECOND)
    events: list[tuple[int, int, int, int, int]] = []  # time, order, what (-1 watch, -2 done, else flow), ticket, asked
    order = 0
    asked, answered = [0] * len(flows), [0] * len(flows)
    latencies: list[list[int]] = [[] for _ in flows]
    queue: deque[tuple[int, int, int]] = deque()
    owners: dict[int, int] = {}
    busy = 0
    for number, flow in enumerate(flows):
        heappush(events, (begun_ns + round(chance.expovariate(flow.rate) * SECOND), order, number, 0, 0))
        order += 1
    heappush(events, (begun_ns, order, -1, 0, 0))
    while events:
        now_ns, _, what, ticket, since_ns = heappop(events)
        if now_ns >= end_ns:
            break
        order += 1
        if what == -1:
            watch((now_ns - begun_ns) / SECOND, limiter.limit)
            heappush(events, (now_ns + SECOND // 100, order, -1, 0, 0))
            continue
        if what == -2:
            flow_number = owners.pop(ticket)
            limiter.release(ticket, now_ns)
            busy -= 1
            if since_ns >= counted_ns:
                answered[flow_number] += 1
                latencies[flow_number].append(now_ns - since_ns)
        else:
            flow = flows[what]
            heappush(events, (now_ns + round(chance.expovariate(flow.rate) * SECOND), order, what, 0, 0))
            asked[what] += now_ns >= counted_ns
            ticket = limiter.acquire(flow.priority, now_ns)
            if ticket < 0:
                continue
            owners[ticket] = what
            queue.append((ticket, now_ns, what))
        while queue and busy < workers:
            ticket, since_ns, _ = queue.popleft()
            busy += 1
            order += 1
            takes_ns = service_ns if steady else round(chance.expovariate(1.0 / service_ns))
            heappush(events, (now_ns + max(takes_ns, 1), order, -2, ticket, since_ns))
    # What is still under way at the end is neither a failure nor a success of the flow.
    pending = [0] * len(flows)
    for number in owners.values():
        pending[number] += 1
    return [
        Outcome(max(asked[number] - pending[number], answered[number]), answered[number], latencies[number])
        for number in range(len(flows))
    ]
