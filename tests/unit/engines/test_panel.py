"""Histories: checks as they come, alignment, loading through the hub, what is kept."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nautilus.engines.panel import Histories, Panel, check_known
from nautilus.maths.errors import Undefined
from nautilus.model.datasets import BarFact, DataAnswer, DataKind, GetData, Provenance
from nautilus.model.errors import UnknownSeriesError
from nautilus.model.history import (
    DropHistory,
    GetHistories,
    GetHistory,
    LoadHistory,
    PutHistory,
    SeriesKind,
)
from nautilus.model.queries import GetRisk
from tests.kit.context import RecordingContext

DAY = 86_400_000_000_000
HERE = Provenance("yahoo", "https://example.com", 1)


def bar(day, close, adjusted=None):
    return BarFact("AAPL", "1d", day * DAY, (day + 1) * DAY, close, close, close, close, 1.0, adjusted, "USD", HERE)


def days(*numbers):
    return [number * DAY for number in numbers]


@pytest.mark.parametrize(
    ("kind", "times", "values", "code"),
    [
        ("price", [], [], "empty"),
        ("price", [1, 2], [1.0], "mismatch"),
        ("price", [2, 1], [1.0, 2.0], "unsorted"),
        ("price", [1, 1], [1.0, 2.0], "duplicate_time"),
        ("price", [1, 2], [1.0, float("nan")], "not_finite"),
        ("price", [1, 2], [1.0, float("inf")], "not_finite"),
        ("price", [1, 2], [1.0, -2.0], "negative_price"),
        ("price", [1, 2], [1.0, 0.0], "negative_price"),
        ("volume", [1, 2], [1.0, -1.0], "negative_price"),
        ("return", [1, 2], [0.1, -1.0], "out_of_range"),
    ],
)
def test_what_is_no_history_is_refused_with_its_code_and_changes_nothing(kind, times, values, code):
    panel = Panel()
    panel.put("A", SeriesKind(kind), [5, 6], [0.5, 0.6])
    with pytest.raises(Undefined) as refused:
        panel.put("A", SeriesKind(kind), times, values)
    assert refused.value.code == code
    assert panel.series("A").values.tolist() == [0.5, 0.6]


def test_volumes_may_be_zero_and_levels_negative():
    panel = Panel()
    panel.put("V", SeriesKind.VOLUME, [1], [0.0])
    panel.put("L", SeriesKind.LEVEL, [1], [-3.0])
    assert panel.names() == ["L", "V"]


def test_values_are_appended_behind_what_is_there():
    panel = Panel()
    panel.put("A", SeriesKind.PRICE, [1, 2], [1.0, 2.0])
    assert panel.put("A", SeriesKind.PRICE, [3], [4.0], append=True).values.tolist() == [1.0, 2.0, 4.0]
    with pytest.raises(Undefined, match="is that of the one before"):
        panel.put("A", SeriesKind.PRICE, [3], [4.0], append=True)
    with pytest.raises(Undefined, match="of price values"):
        panel.put("A", SeriesKind.RETURN, [4], [0.1], append=True)
    assert len(panel.series("A").values) == 3


def test_returns_are_taken_between_common_times_and_missing_days_counted():
    panel = Panel()
    panel.put("A", SeriesKind.PRICE, days(1, 2, 3, 4), [100.0, 110.0, 121.0, 133.1])
    panel.put("B", SeriesKind.PRICE, days(1, 2, 4, 5), [50.0, 55.0, 66.0, 60.0])
    found = panel.returns(["A", "B"])
    assert found.times_ns.tolist() == days(2, 4)
    assert found.values == pytest.approx(np.array([[0.1, 0.1], [0.21, 0.2]]), rel=1e-12)
    assert found.missing == 2
    basis = found.basis("historical")
    assert (basis.window, basis.begin_ns, basis.end_ns, basis.source, basis.missing) == (
        2,
        2 * DAY,
        4 * DAY,
        "uploaded",
        2,
    )


def test_returns_that_were_given_are_taken_as_they_are():
    panel = Panel()
    panel.put("P", SeriesKind.RETURN, days(1, 2, 3), [0.1, -0.2, 0.3])
    assert panel.returns(["P"]).values[:, 0].tolist() == [0.1, -0.2, 0.3]
    panel.put("A", SeriesKind.PRICE, days(1, 3), [10.0, 11.0])
    mixed = panel.returns(["P", "A"])
    assert mixed.values == pytest.approx(np.array([[0.8 * 1.3 - 1, 0.1]]), rel=1e-12)


@pytest.mark.parametrize(("begin", "end", "expected"), [(0, 0, [1, 2, 3]), (2, 0, [2, 3]), (0, 3, [1, 2]), (2, 3, [2])])
def test_a_range_has_its_begin_and_not_its_end(begin, end, expected):
    panel = Panel()
    panel.put("A", SeriesKind.PRICE, days(1, 2, 3), [1.0, 2.0, 3.0])
    assert panel.levels(["A"], begin * DAY, end * DAY).values[:, 0].tolist() == expected


def test_series_without_a_common_time_or_name_are_refused():
    panel = Panel()
    panel.put("A", SeriesKind.PRICE, days(1), [1.0])
    panel.put("B", SeriesKind.PRICE, days(2), [1.0])
    for names, code in ((["A", "B"], "missing_days"), ([], "empty")):
        with pytest.raises(Undefined) as refused:
            panel.levels(names)
        assert refused.value.code == code
    with pytest.raises(Undefined) as refused:
        panel.returns(["A"])
    assert refused.value.code == "too_few"
    with pytest.raises(UnknownSeriesError, match="'C'"):
        check_known(["A", "C"], panel)


@given(st.lists(st.sets(st.integers(1, 30), min_size=2), min_size=1, max_size=4))
def test_alignment_is_the_intersection_of_the_times(calendars):
    panel = Panel()
    for place, calendar in enumerate(calendars):
        ordered = sorted(calendar)
        panel.put(str(place), SeriesKind.PRICE, ordered, [float(100 * place + day) for day in ordered])
    common = sorted(set.intersection(*calendars))
    names = [str(place) for place in range(len(calendars))]
    if not common:
        with pytest.raises(Undefined):
            panel.levels(names)
        return
    found = panel.levels(names)
    assert found.times_ns.tolist() == common
    assert found.values.tolist() == [[float(100 * place + day) for place in range(len(calendars))] for day in common]
    assert found.missing == len(set.union(*calendars)) - len(common)


def test_the_operations_give_show_and_forget_a_history():
    histories, ctx = Histories(), RecordingContext()
    state = histories.on_request(PutHistory("A", (1, 2), (1.0, 2.0), source="desk"), ctx)
    assert (state.series, state.state, state.count, state.source) == ("A", "ready", 2, "desk")
    assert histories.on_request(GetHistory("A"), ctx) == state
    assert histories.on_request(GetHistories(), ctx).series == (state,)
    assert histories.on_request(GetRisk(), ctx) is None
    assert histories.on_request(DropHistory("A"), ctx) == state
    for question in (DropHistory("A"), GetHistory("A")):
        with pytest.raises(UnknownSeriesError):
            histories.on_request(question, ctx)


def test_a_history_is_loaded_through_the_hub_with_its_provenance():
    histories, ctx = Histories(), RecordingContext()
    state = histories.on_request(LoadHistory("apple", "AAPL", "yahoo", begin="2020-01-01"), ctx)
    assert state.state == "loading"
    [(number, peer, question, deadline_ns)] = ctx.requests
    assert peer == "marketdata"
    assert question == GetData(DataKind.BAR, "AAPL", "yahoo", "1d", 1_577_836_800_000_000_000, 0)
    assert deadline_ns > ctx.now_ns
    facts = (bar(1, 100.0, 50.0), bar(2, 51.0, 51.0))
    answer = DataAnswer(DataKind.BAR, "AAPL", "yahoo", facts, HERE)
    assert histories.on_reply(number, answer, ctx)
    assert not histories.on_reply(number, answer, ctx)
    found = histories.panel.state_of("apple")
    assert (found.state, found.count, found.source, found.adjusted) == ("ready", 2, "yahoo", True)
    assert histories.panel.series("apple").values.tolist() == [50.0, 51.0]


def test_a_history_that_cannot_be_loaded_says_why_and_leaves_no_series():
    histories, ctx = Histories(), RecordingContext()
    for name, facts, reason in (("a", (), "analysis.empty"), ("b", (bar(2, 1.0), bar(1, 1.0)), "analysis.unsorted")):
        histories.on_request(LoadHistory(name), ctx)
        number = ctx.requests[-1][0]
        histories.on_reply(number, DataAnswer(DataKind.BAR, name, "yahoo", facts, HERE), ctx)
        state = histories.panel.state_of(name)
        assert state.state == "failed"
        assert state.reason.startswith(reason)
        assert name not in histories.panel
    histories.on_request(LoadHistory("c"), ctx)
    assert histories.on_unknown(ctx.requests[-1][0], ctx.requests[-1][2], ctx)
    assert not histories.on_unknown(99, GetRisk(), ctx)
    assert histories.panel.state_of("c").reason == "no provider answered"


def test_what_is_kept_comes_back_the_same():
    panel, other = Panel(), Panel()
    panel.put("A", SeriesKind.PRICE, [1, 2], [1.0, 2.0], source="desk", adjusted=True)
    for name, (_, give) in panel.bulk().items():
        assert other.restore_bulk(name, give())
    assert not other.restore_bulk("else", {})
    assert other.state_of("A") == panel.state_of("A")
    version = panel.bulk()["series A"][0]
    panel.put("A", SeriesKind.PRICE, [1, 2], [1.0, 2.5])
    assert panel.bulk()["series A"][0] > version
