"""Facts of many symbols in one stream: each stored once, wherever the recorder was stopped between them."""

import pytest

from nautilus.bus.base import BY_NAME, HEADER, MAGIC, stream_id, topic_bytes
from nautilus.core.ticks import QUARANTINE
from nautilus.model.datasets import DataKind, EconomicFact, Provenance
from nautilus.model.fact_records import fact_records
from nautilus.model.topics import BARS, ECONOMICS, QUARANTINES
from nautilus.runtime.recorded_streams import FACTS, RECORDS, Owners, fact_groups, origin_of, taken_of
from tests.kit.context import btcusdt
from tests.kit.recorder_setting import Setting

pytest.importorskip("pyarrow")
KIND = BY_NAME[ECONOMICS.name].kind
SYMBOLS = ("GDP", "CPI", "UNRATE")


def fact(number):
    where = Provenance("fred", f"https://fred.example/{number}", 1_700_000_000_000_000_000 + number)
    return EconomicFact(SYMBOLS[number % 3], number, number + 1, float(number), "Index", "monthly", 0, where)


def frame(first, last):
    records = fact_records(DataKind.ECONOMIC, [fact(number) for number in range(first, last + 1)], {})
    head = HEADER.pack(topic_bytes(KIND, 0), MAGIC, KIND, 1, records.dtype.itemsize, len(records), 7,
                       stream_id(KIND, 0), first, 0)  # fmt: skip
    return head + records.tobytes()


@pytest.fixture
def start(tmp_path):
    """What makes a recorder of one catalog, the one before it over."""
    made = []

    def begin():
        if made:
            made[-1].close()
        made.append(Setting(tmp_path))
        return made[-1]

    yield begin
    made[-1].close()


def numbers(setting):
    setting.writer.flush(publish=True)
    return [found.begin_ns for found in setting.catalog.facts("economic")]


def test_facts_that_are_stored_without_the_mark_behind_them_are_not_stored_again(start, monkeypatch):
    this = start()
    monkeypatch.setattr(this.writer, "mark", lambda *given, **named: True)
    this.turn(frame(1, 7))
    again = start()
    assert taken_of(again.catalog.positions(origin_of(7, stream_id(KIND, 0)))) == 0
    again.turn(frame(1, 5), frame(6, 12))  # cut in another way
    assert numbers(again) == list(range(1, 13))
    later = start()
    later.turn(frame(11, 13))
    assert numbers(later) == list(range(1, 14))
    assert later.count("lost") == 0


def test_a_catalog_without_room_gets_each_fact_once(start, monkeypatch):
    this = start()
    calls = []

    def every_third(method):
        def called(*given, **named):
            calls.append(method)
            return len(calls) % 3 == 0 and method(*given, **named)

        return called

    for name in ("append_facts", "mark"):
        monkeypatch.setattr(this.writer, name, every_third(getattr(this.writer, name)))
    this.turn(frame(1, 5), frame(6, 10), frame(11, 15))
    for _ in range(40):
        this.turn()
    assert numbers(this) == list(range(1, 16))
    assert (this.count("waiting"), this.count("records")) == (0, 15)


def test_groups_have_the_number_of_their_last_fact():
    records = fact_records(DataKind.ECONOMIC, [fact(number) for number in range(1, 10)], {})
    groups, unfit = fact_groups(DataKind.ECONOMIC, [(101, records[:4]), (205, records[4:])], {
        ("economic", "CPI@fred"): 104, ("economic", "GDP@fred"): 400})  # fmt: skip
    assert unfit == 0
    assert {group.facts[0].series: group.position for group in groups} == {"CPI": 207, "UNRATE": 208}
    assert [found.begin_ns for group in groups for found in group.facts] == [2, 5, 8, 7]


def test_what_is_refused_of_an_unknown_instrument_is_kept_by_its_number():
    owners = Owners([btcusdt()])
    refused, bars = BY_NAME[QUARANTINES.name].kind, BY_NAME[BARS.name].kind
    assert owners.of(stream_id(refused, 17)).key == "17@unknown"
    assert owners.of(stream_id(refused, 1)).symbol == owners.of(stream_id(bars, 1)).symbol == "BTCUSDT"
    assert owners.of(stream_id(bars, 17)) is None
    assert QUARANTINES.record is QUARANTINE
    assert set(FACTS.values()) == {DataKind.BAR, DataKind.FUNDAMENTAL, DataKind.ECONOMIC, DataKind.QUOTE}
    assert set(RECORDS.values()) == {"quote", "trade", "book", "auction", "bar", "flow", "quarantine"}
