"""The access pattern of all engines through a real hub; `python -m tests.kit.access_replay` prints what came of it."""

from __future__ import annotations

import json
import threading
from typing import Any, NamedTuple

from nautilus.model.datasets import GetProviders
from tests.kit.access_pattern import ENGINES, Asked, access_pattern, windows
from tests.kit.data_hub import data_hub
from tests.kit.data_server import DataServer
from tests.kit.live_host import eventually

ANSWER_NS = 200_000_000
"""So long a provider takes: what is asked meanwhile comes before its answer."""


class Replayed(NamedTuple):
    """What came of it."""

    questions: int
    counts: dict[str, int]
    hit_rate: float
    requests: int
    connections: int
    open_now: int


class Time:
    """Of the trace, for lifetimes: the replay does not take five minutes."""

    def __init__(self) -> None:
        self.now_ns = 10**15

    def __call__(self) -> int:
        return self.now_ns


def replay(trace: list[Asked], **settings: Any) -> Replayed:
    """Ask all of it, each window of questions before the first answer of that window can come."""
    server, time = DataServer(rows=1), Time()
    begin_ns = time.now_ns
    try:
        with data_hub(server, clock=time, data=settings) as hub:
            host = hub.running.host
            hub.ask(GetProviders())  # the child is there
            for window in windows(trace, ANSWER_NS):
                time.now_ns = begin_ns + window[0].at_ns
                server.go.clear()
                answers: list[object] = []
                done = threading.Event()

                def answered(
                    result: object,
                    size: int = len(window),
                    done: threading.Event = done,
                    answers: list[object] = answers,
                ) -> None:
                    answers.append(result)
                    if len(answers) == size:
                        done.set()

                def ask(window: list[Asked] = window, answered: Any = answered) -> None:
                    for asked in window:
                        host.messages.serve("marketdata", asked.question, answered, asker=asked.engine)

                hub.do(ask)
                server.go.set()
                assert done.wait(30), window[0]
                assert not [each for each in answers if isinstance(each, Exception)]
                eventually(lambda: hub.door.cache.under_way == 0)
            asked = sum(server.calls.values())
            eventually(lambda: sum(each.calls for each in hub.ask(GetProviders()).sources) == asked)
            open_now = sum(each.connections for each in hub.ask(GetProviders()).sources)
            meters = hub.door.meters
            return Replayed(len(trace), meters.counts(), meters.hit_rate, asked, server.accepted, open_now)
    finally:
        server.close()


if __name__ == "__main__":
    pattern = access_pattern()
    for name, settings in (("as it is", {}), ("without asking ahead", {"prefetch": False})):
        found = replay(pattern, **settings)
        print(json.dumps({"engines": len(ENGINES), "how": name, **found._asdict()}))
