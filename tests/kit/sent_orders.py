"""Orders sent to a platform through its gateway, and what its core's own books say of them."""

from __future__ import annotations

import json
from collections import Counter
from http.client import HTTPConnection, HTTPException
from threading import Event, Thread

import numpy as np

from nautilus.core.eventlog import EventLog
from nautilus.core.types import EventKind
from nautilus.runtime.instance import Instance

ACCOUNT, SENDERS = 7, 4
"""Nobody else trades on that account: an order of it is known by its quantity."""
NOT_SENT = frozenset({"gateway.unreachable", "gateway.full", "breaker.open", "limit.shed"})
"""Codes of problems that promise that the core was not asked."""


class Senders:
    """While entered: orders through the gateway, each with a quantity of its own, one at a time on each connection.

    Attributes
    ----------
    answers : by quantity in lots: status and code; (0, "") where there was no answer.
    """

    def __init__(self, instance: Instance, port: int) -> None:
        self.answers: dict[int, tuple[int, str]] = {}
        self._port = port
        self._headers = {"Content-Type": "application/json", "Authorization": f"Bearer {instance.token()}"}
        self._stop = Event()
        self._threads = [Thread(target=self._send, args=(first,)) for first in range(1, SENDERS + 1)]

    def __enter__(self) -> Senders:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    @property
    def acknowledged(self) -> int:
        """Orders that the core is said to have taken or refused."""
        return sum(status == 200 for status, _ in list(self.answers.values()))

    def _send(self, lots: int) -> None:
        line = HTTPConnection("127.0.0.1", self._port, timeout=240)
        while not self._stop.is_set():
            order = {"instrument": "SIMUSD", "side": "BUY", "price": "1.0", "account_id": ACCOUNT}
            order["quantity"] = f"{lots / 1000:.3f}"
            try:
                line.request("POST", "/api/v1/engines/trading/orders", json.dumps(order), self._headers)
                answer = line.getresponse()
                body = json.loads(answer.read())
                self.answers[lots] = answer.status, body.get("code", body.get("status", ""))
            except (OSError, HTTPException):
                self.answers[lots] = 0, ""
                line.close()
            lots += SENDERS
        line.close()


def carried_out(instance: Instance) -> Counter[int]:
    """How often each order is in the core's books, accepted or rejected there, by its quantity in lots."""
    log, found, first = EventLog(f"{instance.plan().data}/events"), Counter[int](), 1
    while len(records := log.read(first, 65_536)):
        events = np.ascontiguousarray(records["event"])
        first += len(records)
        kinds = (EventKind.ACCEPTED, EventKind.REJECTED)
        entered = (events["account_id"] == ACCOUNT) & np.isin(events["kind"], kinds)
        found.update(events["quantity"][entered].tolist())
    return found


def complaints(answers: dict[int, tuple[int, str]], found: Counter[int]) -> list[str]:
    """What was answered and is not so, order by order."""
    wrong = [f"{lots} lots: nobody sent it" for lots in found.keys() - answers.keys()]
    for lots, (status, code) in answers.items():
        times = found[lots]
        told = f"{lots} lots: {status} {code}, carried out {times} times"
        unknown = status in (503, 504) and times <= 1
        if status == 200 or code in NOT_SENT:
            if times != (status == 200):
                wrong.append(told)
        elif not unknown:
            wrong.append(told)
    return wrong
