"""What came of a run of the live platform: one object, for a person's tables and for ``--json``.

It is collected when strategies and market have stopped and the rest still runs, so that the core stands still and its
positions can be compared with the portfolio engine's.
"""

from __future__ import annotations

import platform
from collections.abc import Collection, Iterable, Mapping
from decimal import Decimal
from typing import Any, NamedTuple

import msgspec

from nautilus import __version__
from nautilus.cli.instance import client_of
from nautilus.core import LAYOUT_VERSION, RULES_VERSION
from nautilus.model.errors import NautilusError
from nautilus.model.queries import GetCoreState, GetPositions, GetQuotes, GetRisk, GetStrategies
from nautilus.runtime.clock import NANOSECONDS, monotonic_ns, pause
from nautilus.runtime.instance import Instance
from nautilus.runtime.report import PositionLine, StrategyLine, decimal_text
from nautilus.runtime.status import CORE_NAME, JOURNAL, MESH, ORDERS, Facts, latency_of, read_facts, star_of

SETTLE_SECONDS = 5.0
LOOK_SECONDS = 0.01
SILENT_LOOKS = 100
ZERO = Decimal(0)


class Fault(NamedTuple):
    """A reason why the exit code is 1: what, and its stable code."""

    what: str
    code: str


class LiveMarket(msgspec.Struct, frozen=True):
    """How well a live market was seen.

    Parameters
    ----------
    blind_seconds, gaps
        By symbol: how long its book could not be trusted, and how often that began.
    blind
        Symbols whose books were blind at the end.
    feed_restarts
        How often the process that listens was started again.
    """

    blind_seconds: dict[str, float]
    gaps: dict[str, int]
    blind: list[str]
    feed_restarts: int


class LiveReport(msgspec.Struct, frozen=True):
    """The result of a run.

    Parameters
    ----------
    orders, fills, refused
        Of the strategies.
    order_events
        Counters of the core over everybody, the market's own participants included.
    positions_equal
        The portfolio engine's positions are the core's, to the last money unit; None where they were not compared, as
        one did not answer.
    latency_us
        ``round_trip``: from a strategy's order to its acknowledgement; ``core``: from the sequencer to the way out.
    gaps, lost
        Of the star: holes that a subscriber met, and records missing between hub and subscribers.
    restarts
        How often each process was started again.
    journal
        Where it is; None where it went with the instance.
    errors
        Handler calls that raised, by engine; the log has each distinct one once.
    complete, broken
        A recording was played to its end; what ended it before.
    missing
        Engines that did not answer when the report was made.
    live
        Of a live market; None of another one.
    recorded
        Market data records that are in the catalog of this run, since the recorder was last started; None: there is no
        recorder.
    """

    title: str
    instance: str
    profile: str
    market: str
    seconds: float
    market_seconds: float
    speed: float
    seed: int
    orders: int
    fills: int
    refused: int
    order_events: dict[str, int]
    pnl: dict[str, dict[str, str]]
    positions: list[PositionLine]
    positions_equal: bool | None
    strategies: list[StrategyLine]
    alerts: list[dict[str, Any]]
    latency_us: dict[str, dict[str, float]]
    star: dict[str, int]
    mesh: dict[str, int]
    gaps: int
    lost: int
    restarts: dict[str, int]
    commands: int
    events: int
    journal: str | None
    journal_sequence: dict[str, int]
    journal_hash: str
    state_hash: str
    event_hash: str
    errors: dict[str, int]
    complete: bool
    broken: str
    missing: list[str]
    versions: dict[str, str]
    live: LiveMarket | None = None
    recorded: int | None = None

    @property
    def exit_code(self) -> int:
        """1 where there is a fault, else 0."""
        return 1 if self.faults else 0

    @property
    def faults(self) -> list[Fault]:
        """Every reason why the exit code is 1."""
        found = []
        if self.broken:
            found.append(Fault(self.broken, "venue.broken"))
        if self.lost or self.gaps:
            found.append(Fault(f"star: {self.gaps:,} gaps, {self.lost:,} records lost", "bus.lost"))
        if self.missing:
            found.append(Fault(f"no answer from {', '.join(self.missing)}", "bus.timeout"))
        if self.positions_equal is False:
            found.append(Fault("positions of the portfolio engine differ from the core's", "internal.positions"))
        found += [
            Fault(f"{name}: {count:,} handler errors; the log has them", "internal.handler")
            for name, count in self.errors.items()
        ]
        return found

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        plain: dict[str, Any] = msgspec.to_builtins(self)
        return plain


class Collector:
    """Makes the report of an instance.

    Call `before_stop` while everything runs, `collect` once strategies and market have stopped, `after_stop` when all
    have.

    Parameters
    ----------
    kept
        The data outlive the instance.
    without
        Engines that were left out: that one does not answer is no fault.

    Attributes
    ----------
    report : what `collect` made; None before.
    """

    def __init__(self, instance: Instance, title: str, *, kept: bool, without: Collection[str] = ()) -> None:
        self.report: LiveReport | None = None
        self._instance = instance
        self._title = title
        self._kept = kept
        self._without = without
        self._missing: list[str] = []
        self._strategies: dict[str, Any] = {}
        self._market: dict[str, Any] = {}

    def before_stop(self) -> None:
        """Ask those who are about to stop."""
        self._strategies = self._ask("strategy", GetStrategies())
        self._market = self._ask("marketdata", GetQuotes())

    def collect(self) -> None:
        """Make the report; what does not answer is named in it."""
        core, portfolio, equal = self._settle()
        risk = self._ask("risk", GetRisk())
        facts = self._settle_star()
        plan, star = facts.plan, star_of(facts, idle=True)
        strategies = strategy_lines(self._strategies)
        counters = facts.counters.get(CORE_NAME, {})
        broken = self._market.get("broken", "")
        self.report = LiveReport(
            title=self._title,
            instance=plan.instance,
            profile=plan.profile,
            market=plan.market,
            seconds=round((facts.now_ns - facts.state.started_ns) / NANOSECONDS, 3),
            market_seconds=round(self._market.get("market_seconds", 0.0), 3),
            speed=plan.speed,
            seed=plan.seed,
            orders=sum(line.orders for line in strategies),
            fills=sum(line.fills for line in strategies),
            refused=sum(line.refused for line in strategies),
            order_events={name: counters.get(f"orders.{name}", 0) for name in ORDERS},
            pnl=pnl_of(portfolio),
            positions=position_lines(self._strategies, portfolio),
            positions_equal=equal,
            strategies=strategies,
            alerts=list(risk.get("breaches", ())),
            latency_us={
                "round_trip": latency_of(plan, "order_round_trip"),
                "core": latency_of(plan, "order", process=CORE_NAME),
            },
            star=star,
            mesh={name: facts.total(f"mesh.{name}") for name in MESH},
            gaps=star["gaps"] - star["recovered"],
            lost=star["lost"],
            restarts={process.name: process.restarts for process in facts.state.processes if process.restarts},
            commands=int(core.get("last_command", 0)),
            events=int(core.get("last_event", 0)),
            journal=f"{plan.data}/journal" if self._kept else None,
            journal_sequence={name: counters.get(f"journal.{name}", 0) for name in JOURNAL},
            journal_hash=core.get("journal_hash", ""),
            state_hash=core.get("state_hash", ""),
            event_hash=core.get("event_hash", ""),
            errors={
                name: count
                for spec in plan.processes
                for name in spec.engines
                if (count := facts.counters.get(spec.name, {}).get(f"engine.{name}.errors", 0))
            },
            complete=bool(self._market.get("finished")) and not broken,
            broken=broken,
            missing=sorted(set(self._missing)),
            versions={
                "nautilus": __version__,
                "rules": str(RULES_VERSION),
                "layout": str(LAYOUT_VERSION),
                "python": platform.python_version(),
            },
            live=live_market(self._market, facts.total("market.feed_starts"), facts.now_ns),
        )

    def after_stop(self) -> None:
        """Add what is known only now: how much is in the catalog."""
        facts = read_facts(self._instance)
        if self.report is not None and any(spec.kind == "recorder" for spec in facts.plan.processes):
            durable = facts.counters.get("recorder", {}).get("recorder.durable", 0)
            self.report = msgspec.structs.replace(self.report, recorded=durable)

    def _settle(self) -> tuple[dict[str, Any], dict[str, Any], bool | None]:
        """The core's state and the portfolio's positions: as soon as they are equal, or as they are after a while.

        The core stands still, but the last reports may still be on their way.
        """
        until_ns = monotonic_ns() + round(SETTLE_SECONDS * NANOSECONDS)
        while True:
            portfolio = self._ask("portfolio", GetPositions())
            accounts = {line["account_id"] for line in portfolio.get("positions", ())}
            accounts |= {line["account_id"] for line in self._strategies.get("strategies", ())}
            core = self._ask("trading", GetCoreState(accounts=tuple(sorted(accounts)), hashes=True))
            equal = positions_equal(core, portfolio) if core and portfolio else None
            if equal is not False or monotonic_ns() > until_ns:
                return core, portfolio, equal
            pause(LOOK_SECONDS)

    def _settle_star(self) -> Facts:
        """The counters, at a moment when nothing is on its way; where there is none, the last ones looked at.

        As long as subscribers of a busy machine still take something in, it is not lost.
        """
        before, until_ns = 0, 0
        while True:
            facts = read_facts(self._instance)
            star = star_of(facts, idle=True)
            if star["delivered"] != before:
                before, until_ns = star["delivered"], monotonic_ns() + NANOSECONDS
            if not star["lost"] or monotonic_ns() > until_ns:
                return facts
            pause(LOOK_SECONDS)

    def _ask(self, engine: str, question: Any) -> dict[str, Any]:
        client = client_of(self._instance)
        if engine in self._without and engine not in client.ports:
            return {}
        try:
            # Whoever says nothing of itself any more does not answer either: a stop need not wait for it.
            if self._is_silent(engine):
                raise TimeoutError
            return client.ask(engine, question)
        except (NautilusError, TimeoutError):
            if engine not in self._without:
                self._missing.append(engine)
            return {}

    def _is_silent(self, engine: str) -> bool:
        """Whoever is late on a busy machine says something while it is looked at again; whoever hangs does not."""
        if engine in self._missing:
            return self._says_nothing(engine)
        for _ in range(SILENT_LOOKS):
            if not self._says_nothing(engine):
                return False
            pause(LOOK_SECONDS)
        return True

    def _says_nothing(self, engine: str) -> bool:
        processes = read_facts(self._instance).state.processes
        return any(engine in process.engines and process.state == "silent" for process in processes)


def positions_equal(core: Mapping[str, Any], portfolio: Mapping[str, Any]) -> bool:
    """Whether both have the same quantity, cost and realised profit for each account and instrument that traded."""

    def held(lines: Iterable[Mapping[str, Any]], names: tuple[str, str, str]) -> dict[tuple[int, int], tuple[int, ...]]:
        found = {
            (line["account_id"], line["instrument_id"]): tuple(int(line[name]) for name in names) for line in lines
        }
        return {key: values for key, values in found.items() if any(values)}

    return held(core.get("positions", ()), ("quantity", "cost", "realised")) == held(
        portfolio.get("positions", ()), ("quantity_lots", "cost_units", "realised_units")
    )


def live_market(market: Mapping[str, Any], starts: int, now_ns: int) -> LiveMarket | None:
    """How well a live market was seen, of the hub's answer; None where nothing listens to one."""
    if not starts:
        return None
    blind_ns, gaps, blind = {}, {}, []
    for line in market.get("quotes", ()):
        symbol, since_ns = line["symbol"], line["blind_since_ns"]
        blind_ns[symbol] = line["blind_ns"] + (max(now_ns - since_ns, 0) if since_ns else 0)
        gaps[symbol] = line["gaps"]
        if since_ns:
            blind.append(symbol)
    seconds = {symbol: round(nanos / NANOSECONDS, 3) for symbol, nanos in blind_ns.items()}
    return LiveMarket(seconds, gaps, blind, starts - 1)


def strategy_lines(strategies: Mapping[str, Any]) -> list[StrategyLine]:
    """What each strategy did."""
    return [
        StrategyLine(**{name: line[name] for name in StrategyLine.__struct_fields__})
        for line in strategies.get("strategies", ())
    ]


def position_lines(strategies: Mapping[str, Any], portfolio: Mapping[str, Any]) -> list[PositionLine]:
    """Every position, with the name of the strategy whose account it is in."""
    names = {line["account_id"]: line["name"] for line in strategies.get("strategies", ())}
    return [
        PositionLine(
            strategy=names.get(line["account_id"], ""),
            **{name: line[name] for name in PositionLine.__struct_fields__ if name != "strategy"},
        )
        for line in portfolio.get("positions", ())
    ]


def pnl_of(portfolio: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """Realised, unrealised and total profit of each currency."""
    totals: dict[str, list[Decimal]] = {}
    for line in portfolio.get("positions", ()):
        sums = totals.setdefault(line["currency"], [ZERO, ZERO])
        sums[0] += Decimal(line["realised"])
        sums[1] += Decimal(line["unrealised"])
    return {
        currency: {
            "realised": decimal_text(realised),
            "unrealised": decimal_text(unrealised),
            "total": decimal_text(realised + unrealised),
        }
        for currency, (realised, unrealised) in totals.items()
    }
