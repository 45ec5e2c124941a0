"""Reads a running instance into what the live table shows: shared memory at each look, HTTP from a thread of its own.

An engine that does not answer delays nobody: its last answer stands, and the table says that it is missing.
"""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from nautilus.cli.instance import client_of
from nautilus.cli.view import EngineLine, QuoteRow, StrategyRow, View
from nautilus.model.errors import NautilusError
from nautilus.model.queries import GetPositions, GetQuotes, GetStrategies
from nautilus.runtime.clock import NANOSECONDS, monotonic_ns
from nautilus.runtime.logreader import Filter, follow
from nautilus.runtime.status import (
    CORE_NAME,
    JOURNAL,
    MESH,
    ORDERS,
    Facts,
    cpu_seconds,
    health_of,
    latency_of,
    memory_mib,
    read_facts,
    star_of,
)

if TYPE_CHECKING:
    from nautilus.model.message import Message
    from nautilus.runtime.instance import Instance
    from nautilus.runtime.states import ProcessState

ASK_SECONDS = 1.0
ANSWER_SECONDS = 1.0
KEPT_WARNINGS = 8
LEFT_OUT = ("time", "level", "event", "process", "engine", "logger", "traceback", "trace_id")
MEMORY_NS = 5 * NANOSECONDS
"""Adding up a process's memory takes the kernel a millisecond: seldom is enough."""


class Answers:
    """Asks a question of each engine about once a second and keeps the last answer."""

    def __init__(self, instance: Instance, questions: dict[str, Message]) -> None:
        self._instance = instance
        self._questions = questions
        self._answers: dict[str, dict[str, Any]] = {}
        self._missing: set[str] = set()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="answers", daemon=True)

    def start(self) -> None:
        """Begin to ask."""
        self._thread.start()

    def close(self) -> None:
        """Stop asking."""
        self._stop.set()
        self._thread.join(ANSWER_SECONDS * (len(self._questions) + 1))

    def of(self, engine: str) -> dict[str, Any]:
        """Its last answer; empty before the first."""
        return self._answers.get(engine, {})

    @property
    def missing(self) -> tuple[str, ...]:
        """Engines that answered once and did not the last time."""
        return tuple(sorted(self._missing))

    def ask_once(self) -> None:
        """Ask each engine now."""
        client = client_of(self._instance, timeout_seconds=ANSWER_SECONDS)
        for engine, question in self._questions.items():
            if engine in client.ports:
                try:
                    self._answers[engine] = client.ask(engine, question)
                    self._missing.discard(engine)
                except (NautilusError, TimeoutError):
                    if engine in self._answers:
                        self._missing.add(engine)

    def _run(self) -> None:
        while not self._stop.wait(ASK_SECONDS):
            with contextlib.suppress(NautilusError, OSError):  # the instance is starting or stopping
                self.ask_once()


class Warnings:
    """Follows the logs and keeps the newest warnings and errors."""

    def __init__(self, instance: Instance) -> None:
        self._instance = instance
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="warnings", daemon=True)
        self._lines: deque[str] = deque(maxlen=KEPT_WARNINGS)

    @property
    def lines(self) -> tuple[str, ...]:
        """A line of text for each, the newest last."""
        return tuple(self._lines)

    def start(self) -> None:
        """Begin to follow."""
        self._thread.start()

    def close(self) -> None:
        """Stop following."""
        self._stop.set()
        self._thread.join(ANSWER_SECONDS)

    def _run(self) -> None:
        logs = self._instance.data / "logs"
        for line in follow(logs, Filter(level="warning"), last=0, until=self._stop.is_set):
            self._lines.append(warning_text(line))


def warning_text(line: dict[str, Any]) -> str:
    """A line of a log in one line: time of day, process, event, and what else it carries."""
    rest = [f"{name}={value}" for name, value in line.items() if name not in LEFT_OUT]
    return " ".join([line["time"][11:19], line["process"], line["event"], *rest])


class Sampler:
    """Makes a `View` of an instance whenever it is asked."""

    def __init__(self, instance: Instance, title: str, hint: str = "Ctrl-C stops the platform") -> None:
        self._instance = instance
        self._title = title
        self._hint = hint
        self._answers = Answers(
            instance, {"portfolio": GetPositions(), "marketdata": GetQuotes(), "strategy": GetStrategies()}
        )
        self._warnings = Warnings(instance)
        self._handled: dict[str, tuple[int, int]] = {}
        self._processor: dict[int, tuple[int, float]] = {}
        self._memory: dict[int, tuple[int, float | None]] = {}

    def start(self) -> None:
        """Begin to ask the engines."""
        self._answers.start()
        self._warnings.start()

    def look(self) -> None:
        """Ask the engines once and note where counters stand, without a thread: for a single view."""
        self._answers.ask_once()
        self.view()

    def close(self) -> None:
        """Stop asking them."""
        self._answers.close()
        self._warnings.close()

    def view(self) -> View:
        """How the instance is now. NotRunningError where it is only starting."""
        facts = read_facts(self._instance)
        plan, state = facts.plan, facts.state
        market = self._answers.of("marketdata")
        progress = market.get("progress", -1.0)
        return View(
            title=self._title,
            instance=plan.instance,
            profile=plan.profile,
            status=health_of(state.processes, state.state) if state.state == "running" else state.state,
            seconds=round((facts.now_ns - state.started_ns) / NANOSECONDS, 3),
            market=market.get("market", ""),
            market_seconds=market.get("market_seconds", 0.0),
            speed=plan.speed,
            progress=progress if progress >= 0 else None,
            finished=bool(market.get("finished")),
            broken=market.get("broken", ""),
            engines=tuple(line for process in state.processes for line in self._lines(facts, process)),
            quotes=tuple(
                QuoteRow(**{name: line[name] for name in QuoteRow.__struct_fields__})
                for line in market.get("quotes", ())
            ),
            strategies=strategy_rows(self._answers.of("strategy"), self._answers.of("portfolio")),
            has_strategies=bool(plan.strategies),
            orders={name: facts.counters.get(CORE_NAME, {}).get(f"orders.{name}", 0) for name in ORDERS},
            latency_us={
                "round_trip": latency_of(plan, "order_round_trip"),
                "core": latency_of(plan, "order", process=CORE_NAME),
            },
            star=star_of(facts),
            mesh={name: facts.total(f"mesh.{name}") for name in MESH},
            journal={name: facts.counters.get(CORE_NAME, {}).get(f"journal.{name}", 0) for name in JOURNAL},
            warnings=self._warnings.lines,
            hint=self._hint,
            missing=self._answers.missing,
        )

    def _lines(self, facts: Facts, process: ProcessState) -> list[EngineLine]:
        counters = facts.counters.get(process.name, {})
        alive = process.pid != 0
        lines = []
        for number, name in enumerate(process.engines or (process.name,)):
            handled = counters.get(f"engine.{name}.handled" if process.engines else "core.commands", 0)
            latency = latency_of(facts.plan, f"{name}.handle" if process.engines else "order", process=process.name)
            first = number == 0
            lines.append(
                EngineLine(
                    name=name,
                    process=process.name,
                    state=process.state,
                    pid=process.pid,
                    uptime_seconds=round((facts.now_ns - process.started_ns) / NANOSECONDS, 3) if alive else 0.0,
                    restarts=process.restarts,
                    per_second=self._rate(name, handled),
                    p50_us=latency["p50"],
                    p99_us=latency["p99"],
                    errors=counters.get(f"engine.{name}.errors", 0),
                    cpu_percent=self._load(process.pid) if first and alive else None,
                    memory_mib=self._size(process.pid) if first and alive else None,
                    port=(process.ports.get(name, 0) or facts.plan.port(name)) if process.engines else 0,
                )
            )
        return lines

    def _rate(self, name: str, count: int) -> float:
        now_ns = monotonic_ns()
        before_ns, before = self._handled.get(name, (now_ns, count))
        self._handled[name] = (now_ns, count)
        # A counter that went back belongs to a new instance of the process.
        return round(max(count - before, 0) * NANOSECONDS / (now_ns - before_ns), 1) if now_ns > before_ns else 0.0

    def _load(self, pid: int) -> float | None:
        seconds = cpu_seconds(pid)
        if seconds is None:
            return None
        now_ns = monotonic_ns()
        before_ns, before = self._processor.get(pid, (0, 0.0))
        self._processor[pid] = (now_ns, seconds)
        return round(100 * (seconds - before) * NANOSECONDS / (now_ns - before_ns), 1) if before_ns else None

    def _size(self, pid: int) -> float | None:
        now_ns = monotonic_ns()
        until_ns, size = self._memory.get(pid, (0, None))
        if now_ns >= until_ns:
            size = memory_mib(pid)
            size = size if size is None else round(size, 1)
            self._memory[pid] = (now_ns + MEMORY_NS, size)
        return size


def strategy_rows(strategies: dict[str, Any], positions: dict[str, Any]) -> tuple[StrategyRow, ...]:
    """A row for each position of each strategy, or one where it has none."""
    rows: list[StrategyRow] = []
    for found in strategies.get("strategies", ()):
        head: tuple[str, bool, int | None, int | None, int | None] = (
            found["name"], found["stopped"], found["orders"], found["fills"], found["open_orders"],
        )  # fmt: skip
        for line in positions.get("positions", ()):
            if line["account_id"] == found["account_id"]:
                total = Decimal(line["realised"]) + Decimal(line["unrealised"])
                amounts = (line["realised"], line["unrealised"], f"{total:f}", line["currency"])
                rows.append(StrategyRow(*head, f"{line['quantity']} {line['symbol']}", *amounts))
                head = ("", False, None, None, None)
        if head[0]:
            rows.append(StrategyRow(*head, "", "", "", "", ""))
    return tuple(rows)
