"""Gaps of recorded books are in the records: who reads them knows that the book is blind until a snapshot."""

import json

import pytest

from nautilus.adapters.formats import open_file
from nautilus.core.book_set import BookSet
from nautilus.core.ticks import GAP_FLAG

BYBIT_MS, BINANCE_MS = 1_733_011_200_000, 1_667_347_199_000


def bybit(*messages):
    """(kind, u[, levels of the bid]) each."""
    lines = []
    for at, (kind, number, *levels) in enumerate(messages):
        data = {"s": "XRPUSDT", "b": levels[0] if levels else [["1.9", "5"]], "a": [], "u": number, "seq": number}
        stamp = BYBIT_MS + at
        lines.append(
            json.dumps({"topic": "orderbook.500.XRPUSDT", "type": kind, "ts": stamp, "data": data, "cts": stamp})
        )
    return "\n".join(lines)


def binance(*changes, pu=True):
    """(kind, U, u, pu) each."""
    head = "symbol,timestamp,first_update_id,last_update_id,side,update_type,price,qty"
    lines = [head + ",pu" * pu]
    for at, (kind, first, last, previous) in enumerate(changes):
        for price in (10.5, 10.4):
            row = f"BTCUSDT,{BINANCE_MS + at},{first},{last},b,{kind},{price},{at + 1}.5"
            lines.append(row + f",{previous}" * pu)
    return "\n".join(lines) + "\n"


def played(tmp_path, text):
    """The recording, the update ids that are flagged, and after each update since when its book is blind."""
    path = tmp_path / "depth.csv"
    path.write_text(text)
    opened = open_file(path)
    books, flagged, blind = BookSet(), [], []
    for _, _, records in opened.updates():
        flagged += records["update_id"][records["flags"] & GAP_FLAG != 0].tolist()
        books.apply(records)
        blind.append(bool(books.blind()))
    return opened, flagged, blind


def test_a_gap_of_bybit_is_flagged_and_blinds_until_the_next_snapshot(tmp_path):
    text = bybit(("snapshot", 1), ("delta", 2), ("delta", 9), ("delta", 10), ("snapshot", 20), ("delta", 21))
    opened, flagged, blind = played(tmp_path, text)
    assert flagged == [9]
    assert blind == [False, False, True, True, False, False]
    assert (opened.gaps, opened.lost) == (1, 6)


def test_a_gap_before_a_message_without_levels_is_flagged_on_the_next_that_has_some(tmp_path):
    text = bybit(("delta", 5), ("snapshot", 6), ("delta", 8, []), ("delta", 9), ("delta", 11, []), ("snapshot", 12))
    _, flagged, blind = played(tmp_path, text)
    assert flagged == [5, 9]
    assert blind == [True, False, True, False]


def test_a_gap_of_binance_futures_rows_is_flagged_and_blinds_until_the_next_snapshot(tmp_path):
    text = binance(
        ("snap", 100, 100, -1),
        ("set", 90, 95, 80),  # the snapshot has it
        ("set", 96, 103, 95),
        ("set", 106, 110, 103),
        ("set", 120, 125, 118),
        ("set", 126, 130, 125),
        ("snap", 140, 140, -1),
        ("set", 138, 144, 130),
    )
    opened, flagged, blind = played(tmp_path, text)
    assert flagged == [125]
    assert blind == [False, False, False, True, True, False, False]
    assert (opened.gaps, opened.lost, opened.skipped) == (1, 8, {"old_diffs": 1})
    assert opened.notes == [f"{opened.path}:10: update 125 after 110"]


def test_a_gap_of_binance_spot_rows_is_told_by_the_first_id(tmp_path):
    text = binance(
        ("snap", 100, 100, 0), ("set", 99, 103, 0), ("set", 104, 110, 0), ("set", 112, 113, 0), pu=False
    )  # fmt: skip
    opened, flagged, blind = played(tmp_path, text)
    assert flagged == [113]
    assert blind == [False, False, False, True]
    assert (opened.gaps, opened.lost) == (1, 1)


@pytest.mark.parametrize("pu", [True, False])
def test_diffs_without_a_snapshot_are_flagged_once(tmp_path, pu):
    text = binance(("set", 5, 6, 4), ("set", 7, 9, 6), ("snap", 12, 12, -1), ("set", 13, 15, 12), pu=pu)
    opened, flagged, blind = played(tmp_path, text)
    assert flagged == [6]
    assert blind == [True, True, False, False]
    assert (opened.gaps, opened.lost) == (1, 0)
    assert opened.report.notes == [f"{opened.path}:2: no snapshot before update 6"]
