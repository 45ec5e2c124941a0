"""Who may ask, in one process: signed requests, the whole head, replays, rates, and records of the audit log.

    request head ─▶ AccessRules.admit: Host, type, signature, scope, window, nonce ─▶ principal
    answer ─▶ AuditLog.append ─▶ mapped segment

Every request is signed anew, so that each is let in once; what is signed is made before the clock runs.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from nautilus.core.throttle import ACCEPTED, Throttle
from nautilus.policy.keys import Derived, KeyRing, new_key
from nautilus.policy.signing import signed_header
from nautilus.runtime.http.access import AccessRules
from nautilus.runtime.http.problems import HttpError
from nautilus.store.audit import AuditLog, verify
from perf.harness import Report, check, cores, pinned

SUMMARY = "signed requests verified, replays refused, audit records appended: one process"
SECOND = 1_000_000_000
NOW_NS = 1_800_000_000 * SECOND
SECRET = "Hb6nT2yV9rM4kW7xC1zL5gF8dJ3sQ0aPeUiOwXlZvBq"
COUNT = 20_000
RECORDS = 200_000
ROOM = 1 << 18


class Held:
    """A key that lies in memory."""

    def __init__(self) -> None:
        derived = Derived.of(SECRET[::-1].encode())
        key = new_key("desk", ("trade",), NOW_NS, derived, id="desk0", secret=SECRET)
        self.sessions = derived.sessions
        self.throttle: Throttle | None = Throttle(nonces=ROOM)
        self._ring = KeyRing((key,), derived)

    def ring(self, now_ns: int) -> KeyRing:
        """The key."""
        return self._ring

    def hold(self, now_ns: int) -> None:
        """Nothing outlives a bench."""


class Requests:
    """Signed requests, none of them twice."""

    def __init__(self) -> None:
        self._number = 0

    def make(self, algorithm: str) -> list[list[tuple[bytes, bytes]]]:
        """Heads of so many requests, with what a client sends beside."""
        found = []
        for _ in range(COUNT):
            self._number += 1
            nonce = f"{self._number:012}"
            signature = signed_header(
                "desk0", SECRET, "POST", b"/orders", b"", NOW_NS // 1_000_000, nonce, algorithm=algorithm
            )
            found.append(
                [
                    (b"host", b"127.0.0.1:8000"),
                    (b"user-agent", b"bench"),
                    (b"accept", b"application/json"),
                    (b"content-type", b"application/json"),
                    (b"content-length", b"0"),
                    (b"nautilus-signature", signature.encode()),
                ]
            )
        return found


def run(report: Report) -> None:
    """Measure and check."""
    requests = Requests()
    held = Held()

    def renewed() -> AccessRules:
        held.throttle = Throttle(nonces=ROOM)
        return AccessRules("token-of-this-bench", keys=held)

    def verified(algorithm: str) -> float:
        rules = renewed()
        headers = [head[-1][1] for head in requests.make(algorithm)]
        started_ns = time.thread_time_ns()
        for header in headers:
            rules._signed("POST", b"/orders", header, NOW_NS, "trade", False)
        return (time.thread_time_ns() - started_ns) / COUNT / 1e3

    def admitted(algorithm: str) -> float:
        rules = renewed()
        heads = requests.make(algorithm)
        started_ns = time.thread_time_ns()
        for head in heads:
            rules.admit("POST", b"/orders", head, NOW_NS)
        return (time.thread_time_ns() - started_ns) / COUNT / 1e3

    def refused() -> float:
        rules = renewed()
        (head,) = requests.make("blake2b")[:1]
        rules.admit("POST", b"/orders", head, NOW_NS)
        codes = set()
        started_ns = time.thread_time_ns()
        for _ in range(COUNT):
            try:
                rules.admit("POST", b"/orders", head, NOW_NS)
            except HttpError as error:
                codes.add(error.code)
        elapsed_ns = time.thread_time_ns() - started_ns
        check(codes == {"access.replayed"}, f"a replay was answered with {codes}")
        return elapsed_ns / COUNT / 1e3

    def claimed() -> float:
        throttle = Throttle(nonces=ROOM)
        nonces = [b"%012d" % number for number in range(COUNT)]
        started_ns = time.thread_time_ns()
        found = [throttle.claim(1, nonce, NOW_NS, NOW_NS) for nonce in nonces]
        elapsed_ns = time.thread_time_ns() - started_ns
        check(found.count(ACCEPTED) == COUNT, "a new nonce was refused")
        return elapsed_ns / COUNT

    def limited() -> float:
        throttle = Throttle(nonces=256)
        started_ns = time.thread_time_ns()
        for number in range(COUNT):
            throttle.take(1, NOW_NS + number, 1, 1_000)
        return (time.thread_time_ns() - started_ns) / COUNT

    with pinned(cores()[-1]), tempfile.TemporaryDirectory() as place:
        report.measure("signed request verified", "us", lambda: verified("blake2b"), goal=2.0, lower_is_better=True)
        report.measure("the same with HMAC-SHA256", "us", lambda: verified("hmac-sha256"), lower_is_better=True)
        report.measure("whole head admitted", "us", lambda: admitted("blake2b"), lower_is_better=True)
        report.measure("replay refused", "us", refused, lower_is_better=True)
        report.measure("nonce claimed", "ns", claimed, lower_is_better=True)
        report.measure("rate taken", "ns", limited, lower_is_better=True)
        log = AuditLog(Path(place, "audit"), Path(place, "anchors"), "bench", NOW_NS)
        digest, trace = bytes(range(32)), "0af7651916cd43dd8448eb211c80319c"

        def appended() -> float:
            append = log.append
            started_ns = time.thread_time_ns()
            for number in range(RECORDS):
                append("desk", "POST", b"/orders", digest, 200, trace, number)
            return (time.thread_time_ns() - started_ns) / RECORDS / 1e3

        figure = report.measure("audit record appended", "us", appended, goal=1.0, lower_is_better=True)
        log.close(NOW_NS)
        started_ns = time.thread_time_ns()
        (finding,) = verify(Path(place, "audit"), Path(place, "anchors"))
        elapsed = (time.thread_time_ns() - started_ns) / 1e9
        check(not finding.problem, finding.problem)
        check(finding.records > RECORDS * len(figure.repeats), f"{finding.records} records")
        report.add("audit records verified", "1/s", [finding.records / elapsed], 0.0)
    report.checks.append("every request was let in once, every replay refused, the log holds")
    report.notes.append(
        "all figures are processor time of the one thread, which waits for nothing: what other processes do meanwhile "
        "is not in them"
    )
    report.notes.append(
        "a signed request: header read, key found, BLAKE2b with its key, compared in constant time, scope, window, "
        "nonce taken in the shared region. An audit record is hashed, chained and in the mapped file when append "
        "returns; room on the disk and new segments are in the figure"
    )
