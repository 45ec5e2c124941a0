"""Every target by name."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import numpy as np

from nautilus.bus.requests import Operation, Request, pack_request
from nautilus.core import KernelError
from nautilus.core.dbn import MBO
from nautilus.core.eventlog import EventLogError
from nautilus.core.itch import ITCH_NOTICES, ITCH_ORDER, encode
from nautilus.core.segment import JournalError
from nautilus.core.types import BOOK_DELTA
from nautilus.model.codec import MESSAGES
from nautilus.model.errors import NautilusError
from nautilus.runtime.http.problems import HttpError
from nautilus.runtime.wire import to_wire
from tests.fuzz import (
    access,
    answers,
    bus,
    caching,
    datagrams,
    decoders,
    engine_states,
    files,
    http,
    indicators,
    kernels,
    lines,
    market,
    matching,
    options,
    quotas,
    registry,
    routing,
    shared,
    star,
    toxicity,
)
from tests.fuzz.target import Target
from tests.kit.star_twin import NaiveWriter


def _noise(count: int, size: int) -> Callable[[], list[bytes]]:
    """Inputs of which every byte means something."""

    def seeds() -> list[bytes]:
        generator = np.random.default_rng(size)
        return [b"\0" + generator.bytes(size - 1) for _ in range(count)] + [b"\1" + bytes(255)]

    return seeds


BINANCE = (
    '1 {"stream":"btcusdt@depth@0ms","data":{"e":"depthUpdate","E":1001,"T":1000,"s":"BTCUSDT","U":5,"u":9,"pu":4,'
    '"b":[["100.10","1.000"],["99.90","0"]],"a":[["100.30","2.5"]]}}\n'
    '2 {"stream":"btcusdt@bookTicker","data":{"e":"bookTicker","u":7,"s":"BTCUSDT","b":"100.10","B":"2.507",'
    '"a":"100.20","A":"1.1","T":1,"E":2}}\n'
    '3 {"stream":"btcusdt@trade","data":{"e":"trade","E":1005,"T":1004,"s":"BTCUSDT","t":77,"p":"100.30","q":"0.006",'
    '"X":"MARKET","m":true}}\n'
    '4 {"lastUpdateId":8,"E":1001,"T":999,"bids":[["100.1","1.000"]],"asks":[["100.3","3.000"],["101.0","0.500"]]}\n'
)
BYBIT = (
    '{"topic":"orderbook.500.XRPUSDT","type":"snapshot","ts":1733011200691,"data":{"s":"XRPUSDT","b":[["1.9531","6203"],'
    '["1.95","0.5"]],"a":[["1.9532","77"]],"u":20254869,"seq":130020238981},"cts":1733011200589}\n'
    '{"topic":"orderbook.500.XRPUSDT","type":"delta","ts":1733011200701,"data":{"s":"XRPUSDT","b":[],"a":[["2","0"]],'
    '"u":20254870,"seq":130020238982},"cts":1733011200599}\n'
    '{"success":true,"ret_msg":"","op":"subscribe"}\n'
    '{"topic":"publicTrade.XRPUSDT","type":"snapshot","ts":1733011200702,"data":[{"s":"XRPUSDT","p":"1.9"}]}\n'
    '{"topic":"orderbook.50.BTCUSDT","type":"delta","ts":1,"data":{"s":"BTCUSDT","b":[],"a":[],"u":1,"seq":2}}\n'
)
DELIMITED = (
    'a,"b,c","say ""x""",1\r\n\r\n# a comment, with commas\n d , e ,"", 2 \n',
    "2014-01-02 09:30:01.123456789Z;1.25;12345678901234567890;NaN\n2014-01-02;.5;-1e3;x\n20140102 09:30+01;5.;1e-3;\n",
    "0.30000000000000004|9.2233720368547758071|922337203685477580.75|1e300\n-0|5e-324|1e999|9223372036854775807\n",
    '1,2,3\n1,2\n1,2,3,4\n,,\n  1 , 2\t, 3\n1,2,"3\n',
)
LOBSTER = "34200.004241176,1,16113575,18,5853300,1\n34200.1,4,16113575,18,5853300,-1\n34201,5,0,1,5853300,1\n"
ROWS = "5859400,200,5853300,18\n9999999999,0,-9999999999,0\n5859400,200,5853300,18,5859800,200,5853000,150\n"


def _bybit() -> list[bytes]:
    """A log and its lines; the first bytes say in what pieces it comes, and whether the symbol is given."""
    return [
        b"\1\0" + BYBIT.encode(),
        b"\0\1" + BYBIT.encode(),
        *(b"\0\0" + line.encode() for line in BYBIT.splitlines()),
    ]


def _delimited() -> list[bytes]:
    """Each text as columns of several kinds; the first bytes say which these are."""
    found = []
    for number, (delimiter, columns) in enumerate(((0, 4), (1, 4), (3, 4), (0, 3))):
        for kinds in (b"\4\4\4\1", b"\5\2\1\3", b"\3\3\2\2", b"\2\2\2\2"):
            head = bytes([delimiter, number, columns - 1]) + kinds[:columns] + bytes([4]) * columns
            found += [head + marks + DELIMITED[number].encode() for marks in (b"\0\0", b"\x0f\x0f")]
    return found


def _binance() -> list[bytes]:
    return [BINANCE.encode(), *(line.encode() + b"\n" for line in BINANCE.splitlines())]


def _itch() -> list[bytes]:
    orders = np.zeros(10, ITCH_ORDER)
    orders["kind"] = list("AFECXDUPQB")
    orders["order_id"], orders["quantity"], orders["price"] = 7, 100, 1_000_000
    orders["side"], orders["new_order_id"] = b"B", 8
    for name, kinds in (("side", b"AFP"), ("new_order_id", b"U"), ("price", b"AFCUPQ"), ("quantity", b"AFECXUPQ")):
        orders[name][~np.isin(orders["kind"], [bytes([kind]) for kind in kinds])] = np.zeros(1, ITCH_ORDER)[name][0]
    out = [bytes([prefixed]) + encode(orders["kind"], orders, {}, prefixed=bool(prefixed)) for prefixed in (0, 1)]
    for kind, form in ITCH_NOTICES.items():
        out.append(b"\1" + encode(np.array([kind], "S1"), orders[:0], {kind: np.zeros(1, form)}))
    return out


def _dbn() -> list[bytes]:
    records = np.zeros(6, MBO)
    records["rtype"], records["length"] = 0xA0, MBO.itemsize // 4
    records["instrument_id"], records["size"], records["price"] = 1, 5, 100_000_000_000
    records["order_id"] = [1, 2, 1, 2, 2, 1]
    records["action"] = list("AAMTFC")
    records["side"] = list("BABAAB")
    return [b"\0" + records.tobytes(), b"\2" + records[:2].tobytes()]


def _deltas() -> list[bytes]:
    records = np.zeros(9, BOOK_DELTA)
    records["instrument_id"], records["quantity"], records["price_ticks"] = 1, 5, 100
    records["order_id"] = [1, 2, 1, 2, 0, 0, 0, 3, 3]
    records["side"] = [1, 2, 1, 2, 1, 2, 1, 1, 1]
    records["action"] = np.arange(9) % 8
    return [records.tobytes()]


def _messages() -> list[bytes]:
    """Of each type as few fields as decode, where nothing is enough."""
    out = [to_wire(example) for example in _examples()]
    return [*out, b"[", b'["GetBook"]', b"\x91\xa7GetBook"]


def _star() -> list[bytes]:
    """Frames of three kinds in their order, each with its length before and a step between them behind it."""
    writer = NaiveWriter(decoders.STAR_EPOCH)
    out = b""
    for kind, dtype in decoders.STAR_KINDS.items():
        writer.layout(kind, 1, dtype)
        records = np.zeros(4, dtype)
        records["instrument_id"] = (1, 1, 2, 1)
        for frame in writer.pack(records, kind, 5, 2):
            out += len(frame).to_bytes(2, "little") + frame + b"\xff\0"
    return [out, out[: len(out) // 2]]


def _examples() -> list[msgspec.Struct]:
    found = []
    for message in MESSAGES:
        fields = msgspec.structs.fields(message)
        values = [1 if field.type is int else "x" if field.type is str else None for field in fields if field.required]
        try:
            found.append(msgspec.convert([message.__name__, *values], message))
        except (msgspec.ValidationError, NautilusError, ValueError, TypeError):
            continue
    return found


def _requests() -> list[bytes]:
    replay = Request(Operation.REPLAY, 1, 2, 3, 4, 5)
    return [pack_request(each) for each in (replay, Request(Operation.SNAPSHOT, 1, streams=(7, 8)))]


def _patches() -> list[bytes]:
    generator = np.random.default_rng(11)
    return [bytes([mode]) + generator.bytes(40) for mode in range(0, 64, 3)]


def _bodies() -> list[bytes]:
    return [
        b'{"a":1,"b":[1,2,{"c":null}],"d":"x:y"}',
        b'{"a":1,"a":2}',
        b"[" * 200 + b"]" * 200,
        b"1e400",
        b'"\\ud800"',
    ]


def _redis() -> list[bytes]:
    return [
        b"+PONG\r\n:1\r\n$3\r\nabc\r\n*1\r\n*2\r\n$1\r\na\r\n$-1\r\n",
        b"-ERR no\r\n" * 4,
        b"*-1\r\n%1\r\n+a\r\n_\r\n",
    ]


def _heads() -> list[bytes]:
    """Requests one behind the other; the first byte says in what pieces they come."""
    host = b"Host: localhost\r\n"
    get = b"GET /n?a=b HTTP/1.1\r\n" + host + b"\r\n"
    sized = b"POST /x HTTP/1.1\r\n" + host + b"Content-Length: 5\r\n\r\nabcde"
    chunks = b"5\r\nabcde\r\n3;x=y\r\nfgh\r\n0\r\nx: y\r\n\r\n"
    chunked = b"PUT /s HTTP/1.1\r\n" + host + b"Transfer-Encoding: chunked\r\n\r\n" + chunks
    asking = b"POST /x HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 3\r\n" + host + b"\r\nabc"
    old = b"HEAD /n HTTP/1.0\r\nConnection: keep-alive\r\n" + host + b"\r\n"
    large = b"POST /x HTTP/1.1\r\n" + host + b"Content-Length: 2000\r\n\r\n" + b"x" * 2000
    found = [get, sized, chunked, asking, old, large, get + sized + chunked + old + get, chunked + asking + large + get]
    return [*found, *(bytes([size]) + data for size in (0, 6, 255) for data in found)]


def _frames() -> list[bytes]:
    """Frames of HTTP/2: data and its end, another request, settings, a ping, windows, a stream taken back."""
    data = b"\0\0\5\0\0\0\0\0\1hello\0\0\0\0\1\0\0\0\1"
    head = b"\0\0\x0e\1\5\0\0\0\3\x82\x84\x86\x41\x09localhost"
    ping, settings = b"\0\0\x08\6\0\0\0\0\0abcdefgh", b"\0\0\6\4\0\0\0\0\0\0\4\0\0\1\0"
    window = b"\0\0\4\x08\0\0\0\0\1\0\0\1\0"
    back = b"\0\0\4\3\0\0\0\0\1\0\0\0\x08"
    return [data, head, head + data, ping + settings, settings + window + data, back + head, data + ping + back]


TARGETS: dict[str, Target] = {
    "kernel_process": Target(kernels.process, (), _noise(12, 900), 8),
    "kernel_restore": Target(kernels.restore, (ValueError, MemoryError), _noise(12, 60), 4),
    "kernel_journal": Target(kernels.journalled, (), _noise(6, 600), 12),
    "matcher": Target(matching.matcher, (), _noise(6, 900), 2),
    "port": Target(kernels.port, (), _noise(6, 600), 6),
    "ring": Target(kernels.ring, (), _noise(6, 300)),
    "broadcast": Target(shared.broadcast, (ValueError,), _patches, 3),
    "last_values": Target(shared.last_values, (ValueError,), _patches, 3),
    "journal": Target(files.journal, (JournalError, KernelError, ValueError), _patches, 12),
    "snapshot_file": Target(files.snapshot_file, (), _patches, 6),
    "event_log": Target(files.event_log, (EventLogError,), _patches, 12),
    "binance": Target(decoders.binance, (), _binance),
    "lobster": Target(decoders.lobster, (), lambda: [LOBSTER.encode(), ROWS.encode()]),
    "itch": Target(decoders.itch, (), _itch, 3),
    "dbn": Target(decoders.dbn, (), _dbn, 3),
    "deltas": Target(decoders.deltas, (), _deltas, 2),
    "bybit": Target(lines.bybit, (), _bybit, 2),
    "delimited": Target(lines.delimited, (), _delimited, 2),
    "normalise": Target(market.normalise, (), _noise(12, 900), 6),
    "book_set": Target(market.book_set, (), _noise(12, 900), 6),
    "bars": Target(market.bar_builder, (), _noise(12, 600), 4),
    "flow": Target(market.flow_builder, (), _noise(12, 600), 4),
    "records": Target(market.records, (ValueError,), _noise(6, 600)),
    "indicators": Target(indicators.programs, (), _noise(12, 400), 6),
    "features": Target(indicators.features, (), _noise(6, 600), 8),
    "feature_feed": Target(indicators.feature_feed, (), _noise(12, 400), 6),
    "vpin": Target(toxicity.vpin, (), _noise(12, 500), 10),
    "vpin_flows": Target(toxicity.flows, (), _noise(6, 600), 2),
    "vpin_state": Target(toxicity.state, (), _noise(12, 200), 3),
    "buckets": Target(toxicity.buckets, (), _noise(6, 513)),
    "option_pairing": Target(options.pairing, (ValueError, ArithmeticError), _noise(12, 300), 4),
    "option_scan": Target(options.scanning, (), _noise(12, 300), 2),
    **{f"state_{name}": Target(run, (), _noise(12, 24), 6) for name, run in engine_states.TARGETS.items()},
    "id_index": Target(market.places, (), _noise(6, 300), 2),
    "quotas": Target(quotas.answers, (), _noise(8, 300), 3),
    "quotas_file": Target(quotas.file, (ValueError,), _patches, 3),
    "multicast": Target(datagrams.multicast, (), _noise(8, 600), 3),
    "compression": Target(datagrams.compression, (), datagrams.compressed),
    "wire": Target(decoders.wire, (NautilusError,), _messages),
    "envelope": Target(decoders.envelope, (), decoders.mesh_frames),
    "star": Target(decoders.star, (), _star),
    "star_reader": Target(star.reader_of_frames, (), _noise(12, 900), 4),
    "star_request": Target(star.request, (), _requests),
    "star_journal": Target(star.journal, (), _noise(8, 900), 8),
    "dead_letters": Target(bus.letters, (), _noise(8, 60), 8),
    "redis": Target(bus.redis, (), _redis, 8),
    "keys": Target(bus.keys, (), _noise(8, 60), 8),
    "zap": Target(bus.zap, (), _noise(8, 120)),
    "registry": Target(registry.service, (), registry.examples, 4),
    "registry_client": Target(registry.client, (), registry.examples, 4),
    "body": Target(decoders.body, (HttpError,), _bodies),
    "routing_rule": Target(routing.rule, (), routing.rules),
    "route_table": Target(routing.table, (), _noise(8, 400), 4),
    "route_file": Target(routing.file, (ValueError,), _patches, 3),
    "cache_fields": Target(caching.fields, (), caching.examples),
    "cache_keys": Target(caching.keys, (), caching.examples, 2),
    "upstream_answer": Target(answers.answer, (), answers.examples),
    "chunks": Target(answers.chunks, (), answers.bodies),
    "upstream_request": Target(answers.request, (), _noise(6, 200)),
    "http_head": Target(http.http_head, (), _heads),
    "http_connection": Target(http.http_connection, (), _heads, 3),
    "http2_frames": Target(http.http2_frames, (), _frames, 6),
    "access_signature": Target(access.signature, (), access.signatures),
    "access_head": Target(access.head, (), access.heads, 2),
    "access_keys": Target(access.keys_file, (), access.lists, 2),
    "access_session": Target(access.session, (), access.tokens),
    "audit": Target(access.audit, (), _noise(6, 300)),
}
