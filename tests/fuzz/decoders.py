"""Arbitrary bytes into the decoders of market data, messages and bodies."""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np

from nautilus.bus.envelope import Answer, Delivery, Envelope, error_fields
from nautilus.core.binance import BinanceDecoder
from nautilus.core.dbn import MBO, MboBookBuilder
from nautilus.core.depth import DepthBook
from nautilus.core.itch import ItchDecoder, encode
from nautilus.core.itch_book import ItchBookBuilder
from nautilus.core.lobster import decode_messages, decode_rows
from nautilus.core.mesh_wire import head_of, is_place, pack, pack_answers, unpack, unpack_answers
from nautilus.core.order_book import OrderBooks
from nautilus.core.receive_stream import ReceiveStream
from nautilus.core.send_stream import SendStream
from nautilus.core.star_frames import FrameJudge, StreamRow
from nautilus.core.types import BOOK_DELTA, QUOTE, TRADE
from nautilus.runtime.http.body import decode_body
from nautilus.runtime.wire import from_wire, to_wire
from tests.fuzz.reader import Reader
from tests.kit.star_twin import NaiveJudge, NaiveRow

ROOM = {"orders": 256, "instruments": 4, "pages": 64, "huge": False}
STAR_EPOCH = 7
STAR_KINDS = {1: QUOTE, 2: TRADE, 3: BOOK_DELTA}


def binance(data: bytes) -> None:
    """Lines of a log; decoding them in two blocks gives what one block gives."""
    whole = BinanceDecoder()
    batch = whole.decode(data)
    assert len(batch.lines) <= data.count(b"\n") + 1
    book = DepthBook()
    with contextlib.suppress(ValueError):
        book.apply(batch.deltas)
    book.depth(10)
    cut = data.find(b"\n", len(data) // 2) + 1
    parts = BinanceDecoder()
    first = parts.decode(data[:cut])
    if first.fault is None:
        second = parts.decode(data[cut:])
        assert len(first.lines) + len(second.lines) == len(batch.lines)
        assert (second.fault is None) == (batch.fault is None)


def lobster(data: bytes) -> None:
    """Message lines and rows."""
    messages, _ = decode_messages(data)
    assert len(messages) <= data.count(b"\n") + 1
    for levels in (1, 2, 10):
        rows, _ = decode_rows(data, levels)
        assert rows.shape[1] == 4 * levels


def itch(data: bytes) -> None:
    """Messages; what was decoded is encoded to the same bytes, and the books take it."""
    reader = Reader(data)
    prefixed = bool(reader.number(1) & 1)
    data = reader.take(reader.left)
    decoder = ItchDecoder(prefixed=prefixed)
    batch = decoder.decode(data)
    assert 0 <= batch.consumed <= len(data)
    if decoder.unknown == 0 and not batch.ended:
        assert encode(batch.kinds, batch.orders, batch.notices, prefixed=prefixed) == data[: batch.consumed]
    for builder in (ItchBookBuilder(OrderBooks(**ROOM)), ItchBookBuilder(OrderBooks(edge=10_000, step=100, **ROOM))):
        with contextlib.suppress(MemoryError):
            builder.build(batch.orders)
    fresh = ItchBookBuilder(OrderBooks(**ROOM))
    with contextlib.suppress(MemoryError):
        fresh.apply_bytes(ItchDecoder(prefixed=prefixed), data)


def dbn(data: bytes) -> None:
    """Market-by-order records."""
    reader = Reader(data)
    increments = {1: reader.choose((1, 100, 1_000_000_000)), 2: 1}
    size = MBO.itemsize
    given = reader.take(reader.left)
    records = np.frombuffer(given[: len(given) // size * size], MBO).copy()
    books = OrderBooks(**ROOM)
    with contextlib.suppress(ValueError, MemoryError):
        MboBookBuilder(books, increments).build(records)
    for instrument_id in books.instruments:
        books.orders(instrument_id)
    for place in range(len(records)):  # each alone, so that one bad record does not hide the next
        with contextlib.suppress(ValueError, MemoryError):
            MboBookBuilder(books, increments).apply(records[place : place + 1])
    for instrument_id in books.instruments:
        books.depth(instrument_id, 1, 10)
        books.state_hash(instrument_id)


def deltas(data: bytes) -> None:
    """BOOK_DELTA records into the books that keep them."""
    size = BOOK_DELTA.itemsize
    records = np.frombuffer(data[: len(data) // size * size], BOOK_DELTA).copy()
    books, levels = OrderBooks(**ROOM), DepthBook()
    for place in range(len(records)):
        with contextlib.suppress(ValueError, MemoryError):
            books.apply(records[place : place + 1])
        with contextlib.suppress(ValueError, MemoryError):
            levels.apply(records[place : place + 1])
    for instrument_id in books.instruments:
        books.orders(instrument_id)
        books.best(instrument_id)
    levels.depth(100)


def wire(data: bytes) -> None:
    """A message between processes: what is read is written so that it reads the same."""
    message = from_wire(data)
    assert from_wire(to_wire(message)) == message


def mesh_frames() -> list[bytes]:
    """Frames of the mesh to begin with."""
    message = Envelope(1, 5, 1, 1, 1, 4, 7, 1 << 100, "sender", "to", b"payload")
    envelopes = [message, Envelope(3, 6, 1, 2, 1, 4), Envelope(5, 9, 1, 3, 1, 4)]
    answers = [Answer(6, 6, 1, 9, 4, 3, 2, b"reply"), Answer(8, 0, 1, 9, 4, 3, 1, b"", 3, (2,))]
    return [pack(envelopes), pack(envelopes[:1]), pack_answers(answers), pack_answers(answers[1:])]


def envelope(data: bytes) -> None:
    """What goes over the mesh, answers and errors: what is read is written so that it reads the same."""
    envelopes = unpack(data)
    if envelopes is not None:
        assert all(is_place(each) for each in envelopes)
        assert pack(envelopes) == data
        deliveries: list[Delivery] = []
        odd: list[tuple[Any, Any]] = []
        assert ReceiveStream().take(data, "peer", None, 0, deliveries, odd)
        assert len(deliveries) + sum(verdict is not None for verdict, _ in odd) == len(envelopes)
    answers = unpack_answers(data)
    if answers is not None:
        assert pack_answers(answers) == data
        stream = SendStream(answers[0].epoch)
        for number in range(1, 9):
            stream.post(number % 3 + 1, number, 4, 0, 0, "", "", b"", 255)
        stream.frame(1 << 20)
        stream.went(0)
        for answer in answers:
            stream.answered(answer, 0)
        assert stream.live + stream.acknowledged == 8
    assert envelopes is None or answers is None
    assert (head_of(data) is None) <= (envelopes is None and answers is None)
    assert set(error_fields(data)) >= {"code", "what", "where", "expected"}


def star(data: bytes) -> None:
    """Frames of the star, sound or not, each cut out of the input: the judge says what its naive twin says."""
    reader = Reader(data)
    judge, twin = FrameJudge(8), NaiveJudge(8)
    rows: list[tuple[StreamRow, NaiveRow]] = []
    ours: list[tuple[object, np.ndarray]] = []
    theirs: list[tuple[object, np.ndarray]] = []
    judge.enter(STAR_EPOCH)
    twin.enter(STAR_EPOCH)
    for kind, dtype in STAR_KINDS.items():
        rows.append((StreamRow(kind << 32 | 1, 1), NaiveRow(kind << 32 | 1, 1)))
        for row in rows[-1]:
            row.describe(kind, 1, dtype, kind)
        assert judge.watch(rows[-1][0]) == twin.watch(rows[-1][1])
    while reader.left:
        frame = reader.take(reader.number(1) | reader.number(1) << 8)
        index, word = reader.number(1), reader.number(1)
        if index < len(rows):
            mine, other = rows[index]
            if word & 1:
                mine.expected = other.expected = word
            elif word & 2:
                judge.ignore(mine)
                twin.ignore(other)
            else:
                assert judge.watch(mine) == twin.watch(other)
        assert judge.take(frame, ours) == twin.take(frame, theirs)
        assert (judge.delivered, judge.frames, len(judge)) == (twin.delivered, twin.frames, len(twin))
    assert [(token, records.tobytes()) for token, records in ours] == [
        (token, records.tobytes()) for token, records in theirs
    ]


def body(data: bytes) -> None:
    """The body of a request."""
    decode_body(data)
