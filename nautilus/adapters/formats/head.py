"""What the head of a raw Binance log tells about its instrument."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from nautilus.adapters.formats.blocks import BlockReader
from nautilus.adapters.formats.recording import FormatError, InstrumentHint
from nautilus.core.binance import LINE_DIFF, LINE_SNAPSHOT, MARK_FUTURES, MARK_PREVIOUS, BinanceDecoder

HEAD_BYTES = 1 << 20  # of text, looked at to learn the instrument
HEAD_UNIT = "0.00000001"
# Longest first, so that FDUSD is not taken for USD.
QUOTE_CURRENCIES = (
    "FDUSD", "USDT", "USDC", "BUSD", "TUSD", "BTC", "ETH", "BNB", "EUR", "TRY", "BRL", "JPY", "GBP", "AUD", "USD",
    "DAI",
)  # fmt: skip


class Head(NamedTuple):
    """What the head of a log tells."""

    symbol: str
    product: str
    prices: npt.NDArray[np.int64]
    quantities: npt.NDArray[np.int64]
    start_ns: int


def read_head(path: Path, symbol: str = "") -> Head:
    """Decode the first MiB of text in the finest unit; FormatError where it tells nothing."""
    decoder = BinanceDecoder(HEAD_UNIT, HEAD_UNIT, symbol)
    prices: list[npt.NDArray[np.int64]] = []
    quantities: list[npt.NDArray[np.int64]] = []
    marks = previous = diffs = messages = size = start_ns = 0
    fault = None
    try:
        for block in BlockReader(path):
            batch = decoder.decode(block)
            marks |= int(np.bitwise_or.reduce(batch.lines["marks"], initial=0))
            is_diff = batch.lines["kind"] == LINE_DIFF
            diffs += int(is_diff.sum())
            messages += int((batch.lines["kind"] != LINE_SNAPSHOT).sum())
            previous |= int(np.bitwise_or.reduce(batch.lines["marks"][is_diff], initial=0))
            prices += [batch.deltas["price_ticks"], batch.trades["price_ticks"]]
            prices += [batch.quotes["bid_ticks"], batch.quotes["ask_ticks"]]
            quantities += [batch.deltas["quantity"], batch.trades["quantity"]]
            quantities += [batch.quotes["bid_quantity"], batch.quotes["ask_quantity"]]
            if not start_ns and len(batch.lines):
                start_ns = int(batch.lines["now_ns"][0])
            size += len(block)
            fault = batch.fault
            if fault is not None or size >= HEAD_BYTES:
                break
    except FormatError:
        # Told again, after everything before it, by whoever reads the updates; unless nothing was before it.
        if not prices:
            raise
    # A snapshot alone names no symbol.
    if not messages:
        if fault is not None:
            raise FormatError(fault.what, where=f"{path}:{fault.line}", expected=fault.expected)
        found = f"no depth, bookTicker or trade message{' of ' + symbol if symbol else ''} in its first lines"
        raise FormatError(found, where=str(path), expected="a raw Binance log of bookTicker, trade and depth streams")
    # Diffs decide, because their rules differ; without any, what other messages look like.
    futures = previous & MARK_PREVIOUS if diffs else marks & MARK_FUTURES
    product = "perpetual" if futures else "spot"
    return Head(decoder.symbol, product, np.concatenate(prices), np.concatenate(quantities), start_ns)


def describe(path: Path, head: Head, price_increment: str, lot_size: str) -> InstrumentHint:
    """The instrument that a head shows; an increment or lot given by the caller wins."""
    base, quote = split_symbol(head.symbol)
    increment = price_increment or infer_step(head.prices)
    lot = lot_size or infer_step(head.quantities)
    product = head.product
    if product == "perpetual" and "_" in head.symbol:
        product = "future"  # a dated contract: BTCUSDT_240927
    return InstrumentHint(
        symbol=head.symbol,
        venue="BINANCE",
        product=product,
        base_currency=base,
        quote_currency=quote,
        price_increment=increment,
        lot_size=lot,
        tick_table=(("0", increment),),
        inferred=not (price_increment and lot_size),
    )


def infer_step(values: npt.NDArray[np.int64]) -> str:
    """The largest power of ten, at most 1, that divides every value (in 10^-8), as a decimal string.

    A true step that is no power of ten, such as 0.5, gives the next finer one: nothing recorded is refused for it.
    """
    divisor = int(np.gcd.reduce(values)) if len(values) else 0
    power = 8
    while divisor and power > 0 and divisor % 10**power:
        power -= 1
    return "1" if power == 8 else f"0.{'0' * (7 - power)}1"


def split_symbol(symbol: str) -> tuple[str, str]:
    """Base and quote currency of a symbol such as BTCUSDT or BTCUSDT_240927."""
    pair = symbol.partition("_")[0]
    for quote in QUOTE_CURRENCIES:
        if pair.endswith(quote) and len(pair) > len(quote):
            return pair[: -len(quote)], quote
    return pair, "USDT"
