"""The tear sheet: it stands alone, it escapes what it is told, and its plots stay within their frames."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nautilus.engines.analytics.axes import DAY_NS, Axis, date_ticks, day_text, spanning, tick_texts, ticks
from nautilus.engines.analytics.bar_plots import bar_plot, histogram
from nautilus.engines.analytics.drawing import LEFT, Frame
from nautilus.engines.analytics.line_plot import Line, line_plot
from nautilus.engines.analytics.tear_sheet import as_html
from nautilus.engines.analytics.tear_sheet_content import page_of
from nautilus.engines.analytics.tear_sheet_parts import Figure, Sheet, Table
from nautilus.model.analytics import (
    CalendarLine,
    DistributionMeasures,
    DrawdownLine,
    PerformanceSummary,
    PortfolioAnalytics,
    PortfolioValue,
    PositionLine,
    PositionMeasures,
    RegimeForecast,
    RelativeMeasures,
    SharpeConfidence,
    StressLine,
    TailRisk,
    TearSheet,
    VolatilityForecast,
)
from nautilus.model.attribution import FactorAttribution, FactorLine
from nautilus.model.basis import Basis

BEGIN_NS = 1_262_563_200_000_000_000  # 4 January 2010
HOSTILE = "<script>alert('x')</script>&\"'"
FRAME = Frame(560, 230)
VOID = {"meta", "br", "hr", "link", "img", "input"}


class Balanced(HTMLParser):
    """Tags that are open, and all that were met."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.met: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.met.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.met.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def parsed(page: str) -> Balanced:
    reader = Balanced()
    reader.feed(page)
    reader.close()
    assert reader.open == []
    return reader


def sheet(returns: np.ndarray, *, words: str = "words", dated: bool = True) -> Sheet:
    wealth = np.cumprod(1 + returns)
    times = tuple(BEGIN_NS + DAY_NS * day for day in range(len(returns))) if dated else ()
    window = len(returns) // 2
    return Sheet(
        title=words,
        subtitle=words,
        headline=(Figure(words, 0.5, "percent"), Figure(words, None, "ratio", words)),
        tables=(
            Table(words, (words, words), ("text", "percent"), ((words, -0.25), (words, None)), words),
            Table(
                words,
                ("a", "b", "c"),
                ("day", "count", "money"),
                ((BEGIN_NS, 1200, 3.5), (0, None, -0.0)),
            ),
        ),
        times_ns=times,
        wealth=tuple(wealth.tolist()),
        drawdowns=tuple((wealth / np.maximum.accumulate(np.maximum(wealth, 1)) - 1).tolist()),
        benchmark=words,
        benchmark_wealth=tuple((1 + returns[::-1] / 2).cumprod().tolist()),
        rolling_window=window,
        rolling_sharpe=tuple(returns[window:].tolist()),
        rolling_volatility=tuple(np.abs(returns[window:]).tolist()),
        calendar=((2010, 1, 0.02), (2010, 2, -0.01), (2011, 3, 0.0)),
        marks=((words, -0.01),),
        basis=((words, words),),
    )


def noise(seed: int, length: int, spread: float = 0.01) -> np.ndarray:
    return np.random.default_rng(seed).normal(0.0005, spread, length)


def test_a_page_stands_alone_and_runs_nothing() -> None:
    page = as_html(sheet(noise(1, 700)))
    assert parsed(page).open == []
    assert not re.search(r"https?:|src=|href=|url\(|<script|<link|@import|javascript:|\son\w+=", page)
    assert "prefers-color-scheme:dark" in page


def test_every_text_is_escaped() -> None:
    page = as_html(sheet(noise(2, 300), words=HOSTILE))
    assert "<script" not in page
    reader = parsed(page)
    assert "script" not in {tag for tag, _ in reader.met}
    assert "".join(reader.text).count(HOSTILE) >= 10
    assert all(name in {"class", "style", "title", "lang", "charset", "name", "content", "role", "aria-label", "scope",
                        "viewbox", "x", "y", "x1", "x2", "y1", "y2", "width", "height", "rx", "cx", "cy", "r", "points",
                        "text-anchor"} for _, each in reader.met for name in each)  # fmt: skip


def test_the_same_sheet_gives_the_same_page() -> None:
    assert as_html(sheet(noise(3, 100))) == as_html(sheet(noise(3, 100)))


def test_an_empty_sheet_is_a_page_with_its_title() -> None:
    page = as_html(Sheet(title="Nothing yet"))
    assert "Nothing yet" in "".join(parsed(page).text)
    assert "<svg" not in page


@pytest.mark.parametrize("dated", [True, False])
@pytest.mark.parametrize(
    "returns",
    [
        np.array([0.01]),
        np.array([0.0, 0.0, 0.0]),
        np.array([0.5, -1.0, 0.0, 0.0]),
        np.array([1e-12, -1e-12]),
        np.full(400, 0.02),
        noise(4, 2, 0.1),
    ],
)
def test_odd_series_are_drawn_with_finite_numbers(returns: np.ndarray, *, dated: bool) -> None:
    page = as_html(sheet(returns, dated=dated))
    parsed(page)
    assert not re.search(r"\b(?:nan|inf)\b", page, re.IGNORECASE)


@given(st.integers(0, 10_000), st.integers(1, 400), st.floats(0.0, 0.2), st.booleans())
def test_plots_stay_within_their_frames(seed: int, length: int, spread: float, log: bool) -> None:
    values = np.cumprod(1 + np.clip(noise(seed, length, spread), -0.9, 1))
    places = BEGIN_NS + DAY_NS * np.arange(length)
    picture = line_plot([Line("x", places, values, fill=True)], FRAME, "x", log=log, level=1.0)
    root = ElementTree.fromstring(picture)
    assert root.attrib["viewBox"] == "0 0 560 230"
    for shape in root.iter():
        for point in shape.attrib.get("points", "").split():
            x, y = map(float, point.split(","))
            assert 0 <= x <= 560
            assert 0 <= y <= 230
        for name in ("x", "x1", "x2", "cx"):
            assert -1 <= float(shape.attrib.get(name, "0")) <= 561
        for name in ("y", "y1", "y2", "cy"):
            assert -1 <= float(shape.attrib.get(name, "0")) <= 231


@given(st.integers(0, 10_000), st.integers(2, 500), st.floats(1e-6, 0.2))
def test_the_histogram_counts_every_return(seed: int, length: int, spread: float) -> None:
    picture = histogram(noise(seed, length, spread), FRAME, "returns", [("VaR", -spread)])
    counts = [int(text.rpartition(": ")[2]) for text in re.findall(r"<title>([^<]*)</title>", picture)]
    assert sum(counts) == length
    ElementTree.fromstring(picture)


def test_bars_are_named_and_signed() -> None:
    root = ElementTree.fromstring(bar_plot(["2010", "2011"], [0.5, -0.25], FRAME, "years"))
    assert [shape.attrib["class"] for shape in root.iter("rect")] == ["gain", "loss"]


def test_a_long_series_is_thinned_and_keeps_its_extremes() -> None:
    values = np.ones(200_000)
    values[123_456] = 0.5
    picture = line_plot([Line("x", np.arange(1, 200_001), values)], FRAME, "x", dated=False)
    assert len(picture) < 60_000
    points = re.search(r'points="([^"]*)"', picture)
    assert points is not None
    heights = [float(point.split(",")[1]) for point in points[1].split()]
    assert max(heights) - min(heights) > 150


@given(st.floats(-1e6, 1e6), st.floats(1e-6, 1e6))
def test_ticks_are_round_and_on_the_axis(low: float, length: float) -> None:
    axis = Axis(low, low + length, 0.0, 100.0)
    found = ticks(axis)
    assert 1 <= len(found) <= 8
    assert all(-1e-6 <= axis.place(value) - 0.0 <= 100.0 + 1e-6 for value in found)


def test_texts_of_ticks_have_equal_digits_and_a_true_minus() -> None:
    assert tick_texts([-0.05, 0.0, 0.025], percent=True) == ["\N{MINUS SIGN}5.0%", "0.0%", "2.5%"]
    assert tick_texts([1000.0, 2000.0], percent=False) == ["1,000", "2,000"]
    assert day_text(BEGIN_NS) == "4 Jan 2010"


def test_a_logarithmic_axis_puts_equal_factors_equally_far_apart() -> None:
    axis = spanning([1.0, 100.0], 0.0, 100.0, log=True)
    assert axis.place(10.0) - axis.place(1.0) == pytest.approx(axis.place(100.0) - axis.place(10.0))


@given(st.integers(0, 2 * 10**18), st.integers(0, 12_000))
def test_date_ticks_are_few_and_within_the_range(begin_ns: int, days: int) -> None:
    found = date_ticks(begin_ns, begin_ns + days * DAY_NS)
    assert len(found) <= 10
    assert all(begin_ns <= time_ns <= begin_ns + days * DAY_NS for time_ns, _ in found)


def answer(words: str) -> TearSheet:
    returns = noise(9, 300)
    wealth = np.cumprod(1 + returns)
    return TearSheet(
        portfolio_id=7,
        analytics=PortfolioAnalytics(
            portfolio_id=7,
            now_ns=BEGIN_NS,
            depth="institutional",
            summary=PerformanceSummary(300, 0.25, 0.2, 0.15, 1.3, None, 0.9, -0.21, 0.53),
            basis=Basis(words, 300, BEGIN_NS, BEGIN_NS + 300 * DAY_NS, words, 2, True, "1"),
            undefined={"summary.sortino_ratio": "constant", words: words},
            value=PortfolioValue(BEGIN_NS, words, 1e6, 1e5, 9e5, 9e5, 10.0, -20.0, 3.0),
            distribution=DistributionMeasures(omega_ratio=1.2),
            tails=(TailRisk(0.95, 0.0123, 0.02), TailRisk(0.999, None, None)),
            relative=RelativeMeasures(words, 300, beta=0.5),
            confidence=SharpeConfidence(0.97),
            drawdowns=(
                DrawdownLine(-0.21, -1, 20, None, BEGIN_NS, BEGIN_NS + 20 * DAY_NS),
                DrawdownLine(-0.1, 40, 50, 60),
            ),
            calendar=(CalendarLine(2010, 1, 0.01), CalendarLine(2010, 0, 0.25)),
            volatility=(
                VolatilityForecast("garch", "ready", (0.2, 0.21)),
                VolatilityForecast(words, "undefined", reason=words),
            ),
            regime=RegimeForecast("ready", words, (0.9, 0.1), (0.8, 0.2), (0.0, 0.0), (0.1, 0.3)),
            positions=PositionMeasures(tuple(PositionLine(i, f"{words}{i}", 0.04) for i in range(25)), 0.2),
            stress=(StressLine(words, -0.2, 0.1),),
            factors=FactorAttribution((FactorLine(words, 1.0, 0.1),), 0.05, 0.15),
        ),
        times_ns=tuple(BEGIN_NS + DAY_NS * day for day in range(300)),
        wealth=tuple(wealth.tolist()),
        drawdowns=tuple((wealth / np.maximum.accumulate(wealth) - 1).tolist()),
        rolling_window=100,
        rolling_sharpe=tuple(returns[99:].tolist()),
        rolling_volatility=tuple(np.abs(returns[99:]).tolist()),
    )


def test_an_answer_is_shown_with_every_section() -> None:
    text = "\n".join(parsed(page_of(answer("words"))).text)
    for shown in (
        "Portfolio 7",
        "25.00%",
        "Worst drawdowns",
        "Value at risk",
        "Distribution",
        "Against words",
        "Volatility ahead, a year",
        "Regime",
        "Stress",
        "Return by factor",
        "Positions",
        "The largest 20 of 25.",
        "VaR 95%",
        "summary.sortino_ratio: constant",
        "some of it made up",
        "4 Jan 2010",
    ):
        assert shown in text


def test_texts_of_an_answer_are_escaped() -> None:
    page = page_of(answer(HOSTILE), benchmark_wealth=tuple(np.linspace(1, 2, 300)))
    assert "<script" not in page
    assert parsed(page).open == []


def test_an_answer_of_the_least_depth_is_a_page() -> None:
    bare = TearSheet(0, PortfolioAnalytics(0, 0, "simple", PerformanceSummary(0), Basis("none")))
    assert "Returns of the request" in "".join(parsed(page_of(bare)).text)


def test_marks_of_a_histogram_are_named_above_the_bars_and_beside_each_other():
    values = np.random.default_rng(2).standard_t(4, 900) * 0.01
    levels = [("VaR 95%", -0.0186), ("VaR 99%", -0.033), ("VaR 99.9%", float(np.quantile(values, 0.001)) + 1e-6)]
    plot = histogram(values, Frame(560, 230), "returns", levels)
    words = re.findall(r'<text class="strong small" x="([\d.]+)" y="([\d.]+)" text-anchor="(\w+)">VaR', plot)
    tops = [float(top) for top in re.findall(r'<rect[^>]* y="([\d.]+)"', plot)]
    assert len(words) == 3
    assert max(float(y) for _, y, _ in words) < min(tops)
    assert len({y for _, y, _ in words}) == 3
    for x, _, anchor in words:
        assert anchor == "start"
        assert LEFT <= float(x) <= 560 - 100  # clear of the axis, and of the edge
