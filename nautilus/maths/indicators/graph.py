"""How formulas become programs of the compiled steps: a graph of nodes in which what is equal is there once.

`Ref` is a column, perhaps some rows ago. Methods of `Graph` make nodes and give refs; each knows the first row on which
its value is defined, so the warm-up of an indicator follows from its formula.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from typing import NamedTuple

from nautilus.core.indicators import Program


class Ref(NamedTuple):
    """A column, `lag` rows ago, defined from row `start` on."""

    column: int
    start: int
    lag: int = 0

    def ago(self, rows: int) -> Ref:
        """The same, `rows` rows before."""
        return Ref(self.column, self.start + rows, self.lag + rows)


class Graph:
    """Nodes over the named inputs.

    Parameters
    ----------
    inputs
        Names of the columns that each row gives, in their order.
    """

    def __init__(self, inputs: Sequence[str]) -> None:
        self.inputs = tuple(inputs)
        self._nodes: list[tuple[object, ...]] = []
        self._known: dict[tuple[object, ...], tuple[Ref, ...]] = {}
        self._texts: list[str] = list(inputs)

    def input(self, name: str) -> Ref:
        """An input of the present row."""
        return Ref(self.inputs.index(name), 0)

    def text(self, ref: Ref) -> str:
        """The whole formula of a column, down to the inputs: what its hash is made of."""
        return f"{self._texts[ref.column]}@{ref.lag}" if ref.lag else self._texts[ref.column]

    def node(
        self,
        operation: str,
        *sources: Ref,
        outputs: int = 1,
        warm: int = 0,
        reach: int = 0,
        skip: int = 0,
        n: int = 1,
        m: int = 0,
        a: float = 0.0,
        b: float = 0.0,
        c: float = 0.0,
    ) -> tuple[Ref, ...]:
        """A node, or the equal one that is there.

        Parameters
        ----------
        warm
            Rows from its first one until what it writes is defined.
        reach
            Rows before the present one that it reads of each source.
        skip
            Rows by which it begins later than its sources allow.
        n, m, a, b, c
            Numbers of the operation, see `nautilus.core.indicator_steps`.
        """
        start = max(source.start for source in sources) + skip
        key = (operation, sources, start, n, m, a, b, c)
        if key in self._known:
            return self._known[key]
        first = len(self._texts)
        columns = tuple(range(first, first + outputs))
        inner = ",".join(self.text(source) for source in sources)
        # The formula of a shared part is named by its hash: the text of a whole stays short.
        digest = hashlib.sha256(f"{operation}({inner};{skip};{n};{m};{a!r};{b!r};{c!r})".encode()).hexdigest()[:24]
        self._texts += [f"{operation}:{digest}:{number}" for number in range(outputs)]
        pairs = tuple((source.column, source.lag) for source in sources)
        self._nodes.append((operation, pairs, columns, start, (reach,) * len(sources), n, m, a, b, c))
        refs = tuple(Ref(column, start + warm) for column in columns)
        self._known[key] = refs
        return refs

    def program(self, outputs: Sequence[Ref]) -> Program:
        """The program that gives these columns; none of them lags."""
        return Program(len(self.inputs), self._nodes, [(self.plain(ref).column, ref.start) for ref in outputs])

    def plain(self, ref: Ref) -> Ref:
        """The ref itself without a lag: a column of its own where it had one."""
        if not ref.lag:
            return ref
        return self.linear(ref, 1.0)

    # One row

    def linear(self, x: Ref, a: float, y: Ref | None = None, b: float = 0.0, c: float = 0.0) -> Ref:
        """A x + b y + c."""
        return self.node("linear", x, x if y is None else y, a=a, b=b, c=c)[0]

    def minus(self, x: Ref, y: Ref) -> Ref:
        """X - y."""
        return self.linear(x, 1.0, y, -1.0)

    def plus(self, x: Ref, y: Ref) -> Ref:
        """X + y."""
        return self.linear(x, 1.0, y, 1.0)

    def times(self, x: Ref, y: Ref, a: float = 1.0) -> Ref:
        """A x y."""
        return self.node("product", x, y, a=a)[0]

    def ratio(self, x: Ref, y: Ref, a: float = 1.0, b: float = 0.0, c: float = 0.0) -> Ref:
        """A (x / y + b); c where y is 0."""
        return self.node("ratio", x, y, a=a, b=b, c=c)[0]

    def absolute(self, x: Ref, y: Ref) -> Ref:
        """|x - y|."""
        return self.node("absolute", x, y)[0]

    def gain(self, x: Ref, y: Ref) -> Ref:
        """max(x - y, 0)."""
        return self.node("gain", x, y)[0]

    def position(self, x: Ref, top: Ref, bottom: Ref, a: float = 100.0, c: float = 0.0) -> Ref:
        """A (x - bottom) / (top - bottom); c where these are equal."""
        return self.node("position", x, top, bottom, a=a, c=c)[0]

    def quotient(self, x: Ref, y: Ref, a: float = 1.0, c: float = math.nan) -> Ref:
        """A x / y; c where y is exactly 0."""
        return self.node("quotient", x, y, a=a, c=c)[0]

    def root(self, x: Ref, a: float = 1.0, c: float = 0.0) -> Ref:
        """sqrt(a x); c where that is not above 0."""
        return self.node("root", x, a=a, c=c)[0]

    def log(self, x: Ref, y: Ref) -> Ref:
        """log(x / y); not defined where one of them is not above 0."""
        return self.node("log", x, y, c=math.nan)[0]

    def amount(self, x: Ref) -> Ref:
        """|x|."""
        return self.node("amount", x)[0]

    # Windows and averages

    def sum(self, x: Ref, n: int, a: float = 1.0) -> Ref:
        """A times the sum of the last n."""
        return self.node("sum", x, n=n, a=a, warm=n - 1, reach=n - 1)[0]

    def exact(self, x: Ref, n: int, a: float = 1.0) -> Ref:
        """The same, added up anew in each row."""
        return self.node("exact", x, n=n, a=a, warm=n - 1, reach=n - 1)[0]

    def sma(self, x: Ref, n: int) -> Ref:
        """Mean of the last n."""
        return x if n == 1 else self.sum(x, n, 1.0 / n)

    def total(self, x: Ref) -> Ref:
        """Sum of all so far."""
        return self.node("total", x)[0]

    def ema(self, x: Ref, n: int, skip: int = 0) -> Ref:
        """Exponential average of factor 2 / (n + 1), seeded by the mean of its first n."""
        return self.node("average", x, n=n, a=2.0 / (n + 1), warm=n - 1, skip=skip)[0]

    def rma(self, x: Ref, n: int, skip: int = 0) -> Ref:
        """Wilder's average: factor 1 / n, seeded by the mean of its first n."""
        return self.node("average", x, n=n, a=1.0 / n, warm=n - 1, skip=skip)[0]

    def seeded(self, x: Ref, a: float) -> Ref:
        """Exponential average of factor a, seeded by its first value."""
        return self.node("seeded", x, a=a)[0]

    def wma(self, x: Ref, n: int) -> Ref:
        """Mean with weights 1 .. n, the newest weighs most."""
        return x if n == 1 else self.node("weighted", x, n=n, warm=n - 1, reach=n - 1)[0]

    def highest(self, x: Ref, n: int) -> tuple[Ref, Ref]:
        """The highest of the last n and how many rows ago, the newest of equals."""
        top, age = self.node("highest", x, n=n, warm=n - 1, reach=n - 1, outputs=2)
        return top, age

    def lowest(self, x: Ref, n: int) -> tuple[Ref, Ref]:
        """The lowest of the last n and how many rows ago."""
        low, age = self.node("lowest", x, n=n, warm=n - 1, reach=n - 1, outputs=2)
        return low, age

    def variance(self, x: Ref, n: int) -> Ref:
        """Variance of the last n, divisor n."""
        return self.node("variance", x, n=n, warm=n - 1, reach=n - 1)[0]

    def deviation(self, x: Ref, n: int, a: float = 1.0) -> Ref:
        """A times the standard deviation of the last n."""
        return self.root(self.variance(x, n), a * a)

    def covariance(self, x: Ref, y: Ref, n: int) -> tuple[Ref, Ref, Ref]:
        """Sums over the last n of the products of deviations from the means: xy, xx, yy."""
        xy, xx, yy = self.node("covariance", x, y, n=n, warm=n - 1, reach=n - 1, outputs=3)
        return xy, xx, yy

    def regression(self, x: Ref, n: int) -> tuple[Ref, Ref]:
        """Slope and intercept of the last n on 0 .. n - 1."""
        slope, intercept = self.node("regression", x, n=n, warm=n - 1, reach=n - 1, outputs=2)
        return slope, intercept


__all__ = ["Graph", "Ref"]
