"""One thread at a time. NASDAQ TotalView-ITCH 5.0 between bytes and numpy records; hot half in itch.pxd.

Source: Nasdaq, "TotalView-ITCH 5.0", all message types. Fields are big-endian; times are 48 bits of nanoseconds since
midnight in New York; prices are 1/10,000 dollar, but for V, whose levels are 1/100,000,000.
"""

from collections import namedtuple

import numpy as np

cimport cython
cimport numpy as cnp
from libc.stdint cimport int64_t, uint8_t

cnp.import_array()

ItchFault = namedtuple("ItchFault", ("offset", "what", "expected"))
ITCH_ORDER = np.dtype([
    ("time_ns", "<i8"),
    ("order_id", "<u8"),
    ("new_order_id", "<u8"),
    ("match_id", "<u8"),
    ("quantity", "<u8"),
    ("stock", "S8"),
    ("price", "<u4"),
    ("mpid", "S4"),
    ("locate", "<u2"),
    ("tracking", "<u2"),
    ("kind", "S1"),
    ("side", "S1"),
    ("printable", "S1"),
    ("cross_type", "S1"),
])
# Fields behind kind, locate, tracking and time, in the order and width of the wire.
_ORDER_LAYOUTS = {
    b"A": "order_id:u8 side:S1 quantity:u4 stock:S8 price:u4",
    b"F": "order_id:u8 side:S1 quantity:u4 stock:S8 price:u4 mpid:S4",
    b"E": "order_id:u8 quantity:u4 match_id:u8",
    b"C": "order_id:u8 quantity:u4 match_id:u8 printable:S1 price:u4",
    b"X": "order_id:u8 quantity:u4",
    b"D": "order_id:u8",
    b"U": "order_id:u8 new_order_id:u8 quantity:u4 price:u4",
    b"P": "order_id:u8 side:S1 quantity:u4 stock:S8 price:u4 match_id:u8",
    b"Q": "quantity:u8 stock:S8 price:u4 match_id:u8 cross_type:S1",
    b"B": "match_id:u8",
}
_NOTICE_LAYOUTS = {
    b"S": "event_code:S1",
    b"R": "stock:S8 market_category:S1 financial_status:S1 round_lot_size:u4 round_lots_only:S1 "
          "issue_classification:S1 issue_sub_type:S2 authenticity:S1 short_sale_threshold:S1 ipo_flag:S1 luld_tier:S1 "
          "etp_flag:S1 etp_leverage_factor:u4 inverse_indicator:S1",
    b"H": "stock:S8 trading_state:S1 reserved:S1 reason:S4",
    b"Y": "stock:S8 reg_sho_action:S1",
    b"L": "mpid:S4 stock:S8 primary_market_maker:S1 market_maker_mode:S1 participant_state:S1",
    b"V": "level_1_price:u8 level_2_price:u8 level_3_price:u8",
    b"W": "breached_level:S1",
    b"K": "stock:S8 release_time_s:u4 release_qualifier:S1 ipo_price:u4",
    b"J": "stock:S8 reference_price:u4 upper_price:u4 lower_price:u4 extension:u4",
    b"h": "stock:S8 market_code:S1 halt_action:S1",
    b"I": "paired_quantity:u8 imbalance_quantity:u8 imbalance_direction:S1 stock:S8 far_price:u4 near_price:u4 "
          "reference_price:u4 cross_type:S1 variation:S1",
    b"N": "stock:S8 interest_flag:S1",
    b"O": "stock:S8 open_eligibility:S1 minimum_price:u4 maximum_price:u4 near_price:u4 near_time_ns:u8 "
          "lower_price:u4 upper_price:u4",
}
_HEAD = [("kind", "S1"), ("locate", ">u2"), ("tracking", ">u2"), ("time_high", ">u2"), ("time_low", ">u4")]


def _fields(layout, order):
    pairs = (field.split(":") for field in layout.split())
    return [(name, form if form[0] == "S" else order + form) for name, form in pairs]


_WIRE = {
    kind: np.dtype(_HEAD + _fields(layout, ">")) for kind, layout in (_ORDER_LAYOUTS | _NOTICE_LAYOUTS).items()
}
ITCH_NOTICES = {
    kind: np.dtype([("time_ns", "<i8"), ("locate", "<u2"), ("tracking", "<u2"), *_fields(layout, "<")])
    for kind, layout in _NOTICE_LAYOUTS.items()
}
ITCH_LENGTHS = {kind: wire.itemsize for kind, wire in _WIRE.items()}


cdef int itch_decode(itch_run_t* run, bint prefixed) noexcept nogil:
    """Whole messages up to the end or the first fault, at which `run.at` is left."""
    cdef const uint8_t* at = run.at
    cdef const uint8_t* end = run.end
    cdef itch_order_t* out = run.orders
    cdef uint8_t* kinds = run.kinds
    cdef uint8_t* last = kinds + run.limit
    cdef Py_ssize_t length, known, prefix = 2 if prefixed else 0
    cdef int status = ITCH_OK
    cdef uint8_t kind
    while at < end:
        if kinds == last:
            status = ITCH_FULL
            break
        if prefixed:
            if end - at < 2:
                status = ITCH_CUT
                break
            length = itch_u16(at)
            if length == 0:
                at += 2
                status = ITCH_END
                break
            if end - at < 2 + length:
                status = ITCH_CUT
                break
            kind = at[2]
            known = ITCH_LENGTH[kind]
            if length != known:
                if known != 0:
                    status = ITCH_SIZE
                    break
                run.unknown += 1
                at += 2 + length
                continue
        else:
            kind = at[0]
            length = ITCH_LENGTH[kind]
            if length == 0:
                status = ITCH_KIND
                break
            if end - at < length:
                status = ITCH_CUT
                break
        at += prefix
        # The shortest order is longer than some notices: those are told apart before their bytes are read.
        if length >= ITCH_SHORTEST_ORDER and itch_order(at, out):
            if out.side != 0 and out.side != c"B" and out.side != c"S":
                at -= prefix
                status = ITCH_SIDE
                break
            if out.side == 0 and (kind == c"A" or kind == c"F" or kind == c"P"):
                at -= prefix
                status = ITCH_SIDE
                break
            out += 1
        else:
            run.notices[run.notice_count] = at - run.start
            run.notice_count += 1
        kinds[0] = kind
        kinds += 1
        at += length
    run.at = at
    run.order_count = out - run.orders
    run.kind_count = kinds - run.kinds
    return status


@cython.final
cdef class ItchBatch:
    pass


# `self` is never None; the debug build's check for that would need the GIL.
@cython.nonecheck(False)
@cython.final
cdef class ItchDecoder:
    def __init__(self, *, bint prefixed=True):
        self.prefixed = prefixed

    def decode(self, block):
        cdef const uint8_t[::1] view = block
        cdef Py_ssize_t size = view.shape[0]
        cdef itch_run_t run
        cdef int status
        cdef ItchBatch batch = ItchBatch.__new__(ItchBatch)
        cdef Py_ssize_t prefix = 2 if self.prefixed else 0
        # The most that so many bytes can hold; pages that are not written to are never committed. One more order,
        # because a notice is tried in the place of the next.
        orders = np.empty(size // (ITCH_SHORTEST_ORDER + prefix) + 1, ITCH_ORDER)
        kinds = np.empty(size // (ITCH_SHORTEST + prefix) + 1, "S1")
        notices = np.empty(size // (ITCH_SHORTEST + prefix) + 1, np.int64)
        run.start = run.at = &view[0] if size else NULL
        run.end = run.start + size
        run.orders = <itch_order_t*>cnp.PyArray_DATA(<cnp.ndarray>orders)
        run.kinds = <uint8_t*>cnp.PyArray_DATA(<cnp.ndarray>kinds)
        run.notices = <int64_t*>cnp.PyArray_DATA(<cnp.ndarray>notices)
        run.order_count = run.kind_count = run.notice_count = run.unknown = 0
        run.limit = size + 1
        with nogil:
            status = itch_decode(&run, self.prefixed)
        batch.consumed = run.at - run.start
        batch.ended = status == ITCH_END
        batch.orders = orders[:run.order_count]
        batch.kinds = kinds[:run.kind_count]
        batch.notices = _gather(block, notices[:run.notice_count]) if run.notice_count else {}
        batch.fault = self._note(&run, status, block)
        return batch

    cdef object _note(self, const itch_run_t* run, int status, block):
        """Counts a run; its fault, or None."""
        cdef Py_ssize_t consumed = run.at - run.start
        fault = None
        if status < 0:
            fault = self._fault(status, block, consumed)
            self.faults += 1
        self.messages += run.kind_count
        self.unknown += run.unknown
        self.offset += consumed
        return fault

    def cut(self, rest):
        """The fault of a stream that ends with `rest`, the beginning of a message."""
        self.faults += 1
        size = len(rest)
        if self.prefixed and size < 2:
            return ItchFault(self.offset, f"ends after {size} byte of a length", "2 bytes")
        length = int.from_bytes(rest[:2], "big") if self.prefixed else ITCH_LENGTHS.get(bytes(rest[:1]), 0)
        found = size - (2 if self.prefixed else 0)
        return ItchFault(self.offset, f"ends after {found} bytes of a message", f"{length} bytes")

    def _fault(self, int status, block, Py_ssize_t at):
        place = self.offset + at
        body = bytes(block[at + (2 if self.prefixed else 0):at + 42])
        kind = _shown(body[:1])
        if status == ITCH_SIZE:
            length = int.from_bytes(block[at:at + 2], "big")
            return ItchFault(place, f"message {kind} of {length} bytes", f"{ITCH_LENGTHS[body[:1]]} bytes")
        if status == ITCH_SIDE:
            return ItchFault(place, f"side {_shown(body[19:20])} in message {kind}", "B or S")
        return ItchFault(place, f"message type {kind}", "one of " + b"".join(ITCH_LENGTHS).decode())


def _gather(block, cnp.ndarray offsets):
    """Messages at these offsets as one array a kind, in order."""
    octets = np.frombuffer(block, np.uint8)
    kinds = octets[offsets]
    notices = {}
    for code in np.unique(kinds).tolist():
        kind = bytes((code,))
        wire = _WIRE[kind]
        at = offsets[kinds == code]
        raw = octets[at[:, None] + np.arange(wire.itemsize)].view(wire)[:, 0]
        out = np.empty(len(at), ITCH_NOTICES[kind])
        for name in out.dtype.names[1:]:
            out[name] = raw[name]
        out["time_ns"] = (raw["time_high"].astype(np.int64) << 32) | raw["time_low"]
        notices[kind] = out
    return notices


def encode(kinds, orders, notices, *, bint prefixed=True):
    """The bytes of messages; the other way round from `ItchDecoder.decode`."""
    kinds = np.ascontiguousarray(kinds, "S1")
    codes = kinds.view(np.uint8)
    lengths = np.zeros(256, np.int64)
    for kind, length in ITCH_LENGTHS.items():
        lengths[kind[0]] = length
    if len(codes) and not lengths[codes].all():
        raise ValueError(f"message type {_shown(bytes(kinds[lengths[codes] == 0][0]))}; expected one of "
                         + b"".join(ITCH_LENGTHS).decode())
    prefix = 2 if prefixed else 0
    ends = np.cumsum(lengths[codes] + prefix)
    starts = ends - lengths[codes]
    out = np.zeros(int((lengths[codes] + prefix).sum()), np.uint8)
    if prefixed:
        out[starts - 1] = lengths[codes]        # no message is longer than 255 bytes
    for kind in {bytes((code,)) for code in np.unique(codes).tolist()}:
        wire = _WIRE[kind]
        at = starts[codes == kind[0]]
        rows = orders[orders["kind"] == kind] if kind in _ORDER_LAYOUTS else notices.get(kind, ())
        if len(rows) != len(at):
            raise ValueError(f"{len(rows)} records of kind {_shown(kind)}; expected {len(at)}, as in `kinds`")
        raw = np.empty(len(at), wire)
        raw["kind"] = kind
        raw["time_high"] = rows["time_ns"] >> 32
        raw["time_low"] = rows["time_ns"] & 0xFFFFFFFF
        for name in wire.names:
            if name not in ("kind", "time_high", "time_low"):
                raw[name] = rows[name]
        out[at[:, None] + np.arange(wire.itemsize)] = raw.view(np.uint8).reshape(len(at), wire.itemsize)
    return out.tobytes()


def _shown(bytes text):
    """A byte for a message: printable, in quotes."""
    return "'" + text.decode("ascii", "backslashreplace").encode("unicode_escape").decode() + "'"
