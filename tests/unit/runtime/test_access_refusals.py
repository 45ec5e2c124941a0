"""Requests that are replayed, skewed or wrongly scoped: none is let in; of a million in `make machines`."""

from __future__ import annotations

import os
from collections import Counter

from nautilus.core.throttle import Throttle
from nautilus.runtime.http.problems import HttpError
from tests.kit.access import NOW_NS, SECOND, rules, signed

ALL = max(int(os.environ.get("NAUTILUS_STEPS", "0")) // 4 * 4, 40_000)
EACH = 500
MS = 1_000_000


def test_of_all_bad_requests_none_is_let_in():
    rule = rules(throttle=Throttle(nonces=1 << 14))
    admit = rule.admit
    found: Counter[str] = Counter()

    def ask(headers, now_ns, **more):
        try:
            admit("POST", b"/orders", headers, now_ns, **more)
        except HttpError as error:
            found[error.code] += 1
        else:
            found["let in"] += 1

    algorithms = ("blake2b", "hmac-sha256")
    good = [
        signed(stamp_ns=NOW_NS + number % 9 * SECOND // 2, algorithm=algorithms[not number % 8])
        for number in range(EACH)
    ]
    for headers in good:
        admit("POST", b"/orders", headers, NOW_NS)
    skewed = [signed(stamp_ns=NOW_NS, algorithm=algorithms[not number % 8]) for number in range(EACH)]
    scopes = [signed("reader") for _ in range(EACH)]
    trades = [signed("trader") for _ in range(EACH)]
    for number in range(ALL // 4):
        at = number % EACH
        # Replayed while it is in the window, and from every moment out of it, with a clock that goes to and fro.
        ask(good[at], NOW_NS + number * 7919 % (10 * SECOND) - 2 * SECOND)
        off_ns = 5 * SECOND + 1 + number * 104_729 * MS % (3600 * SECOND)
        ask(skewed[at], NOW_NS + off_ns if number % 2 else NOW_NS - off_ns)
        ask(scopes[at], NOW_NS)
        ask(trades[at], NOW_NS, scope="admin")
    assert found["let in"] == 0
    assert found.total() == ALL
    assert set(found) == {"access.replayed", "access.window", "access.scope"}
    assert min(found.values()) > ALL // 10
    print(f"access: {dict(found)}")
    # What was refused for its scope or its time has used nothing up: at its time, with what it may do, it is let in.
    assert admit("POST", b"/orders", trades[0], NOW_NS).principal.name == "trader"
    assert admit("POST", b"/orders", skewed[0], NOW_NS).principal.name == "trader"
