"""Naive twin of `nautilus.core.vpin.VpinTable`, of one instrument: lists of everything seen."""

from __future__ import annotations

import math
from typing import Any

from nautilus.core.buckets import BucketFlag, Classification
from nautilus.core.ticks import GAP_FLAG
from nautilus.model.enums import RecordFlag

SYNTHETIC, STALE = int(RecordFlag.SYNTHETIC), int(RecordFlag.STALE)
INHERITED = SYNTHETIC | STALE | GAP_FLAG
MOST = 1 << 40
MOST_FLOW = 1 << 49
DAY_NS = 86_400_000_000_000
Row = tuple[Any, ...]


def student(z: float, degrees: float) -> float:
    """Student's t at z, by the continued fraction of the incomplete beta function."""
    a, x, y = 0.5 * degrees, degrees / (degrees + z * z), z * z / (degrees + z * z)
    if y == 0.0:
        return 0.5
    log_beta = math.lgamma(0.5 * degrees) + math.lgamma(0.5) - math.lgamma(0.5 * degrees + 0.5)
    tail = math.exp(a * math.log(x) + 0.5 * math.log(y) - log_beta)
    tail = tail * fraction(a, 0.5, x) / a if x < (a + 1.0) / (a + 2.5) else 1.0 - tail * fraction(0.5, a, y) / 0.5
    return 1.0 - 0.5 * tail if z > 0.0 else 0.5 * tail


def fraction(a: float, b: float, x: float) -> float:
    """Lentz's method."""

    def away(d: float) -> float:
        return 1e-300 if abs(d) < 1e-300 else d

    c, d = 1.0, 1.0 / away(1.0 - (a + b) * x / (a + 1.0))
    h = d
    for m in range(1, 300):
        for term in (
            m * (b - m) * x / ((a + 2 * m - 1.0) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1.0)),
        ):
            d, c = 1.0 / away(1.0 + term * d), away(1.0 + term / c)
            step = d * c
            h = h * step
        if abs(step - 1.0) < 3e-16:
            break
    return h


class NaiveVpin:
    """The buckets of one instrument, each a dict by the fields of BUCKET; all of them are kept."""

    def __init__(
        self,
        instrument_id: int,
        bucket_lots: int,
        *,
        window: int = 50,
        history: int = 1000,
        classification: int = Classification.SIDE,
        bar_ns: int = 0,
        bar_lots: int = 0,
        decay: float = 0.95,
        degrees: float = 0.25,
        days: int = 0,
        buckets_per_day: int = 50,
        depth_weighted: bool = False,
        flow_weight: float = 0.0,
    ) -> None:
        self.instrument_id, self.lots, self.next_lots = instrument_id, bucket_lots, bucket_lots
        self.window, self.history, self.classification = window, history, classification
        self.bar_ns, self.bar_lots, self.decay, self.degrees = bar_ns, bar_lots, decay, degrees
        self.most_days, self.buckets_per_day = days, buckets_per_day
        self.depth_weighted, self.flow_weight = depth_weighted, flow_weight
        self.taken: list[dict[str, int]] = []
        self.out: list[dict[str, Any]] = []
        self.pieces: list[Row] = []  # of the open bucket
        self.flow: list[int] = []
        self.quote: tuple[float, int, float, int] | None = None
        self.depth: int | None = None
        self.bar: list[dict[str, int]] = []
        self.closes: list[int] = []
        self.variance: float | None = None
        self.days: list[int] = []
        self.day_volume = 0
        self.signs: list[int] = []
        self.left_out: set[int] = set()  # numbers of buckets that the kernel does not give
        self.counts = {"late": 0, "duplicates": 0, "without_volume": 0, "refused": 0}

    def trade(self, trade: dict[str, int]) -> None:
        lots, now_ns = trade["quantity"], trade["now_ns"]
        last = self.taken[-1] if self.taken else None
        if lots == 0:
            self.counts["without_volume"] += 1
            return
        if not 0 < lots <= MOST or trade["side"] > 2 or not 0 <= now_ns <= 1 << 62 or abs(trade["price_ticks"]) > MOST:
            self.counts["refused"] += 1
            return
        if last and now_ns < last["now_ns"]:
            self.counts["late"] += 1
            return
        same = [each["trade_id"] for each in self.taken if each["now_ns"] == now_ns and each["trade_id"]][-16:]
        if trade["trade_id"] in same:
            self.counts["duplicates"] += 1
            return
        if last and self.most_days and now_ns // DAY_NS != last["now_ns"] // DAY_NS:
            self._new_day()
        if trade["side"]:
            sign = 1 if trade["side"] == 1 else -1
        elif last and trade["price_ticks"] != last["price_ticks"]:
            sign = 1 if trade["price_ticks"] > last["price_ticks"] else -1
        else:
            sign = self.signs[-1] if self.signs else 1
        self.signs.append(sign)
        self.taken.append(trade)
        self.day_volume += lots
        if self.classification == Classification.SIDE:
            flags = trade["flags"] & INHERITED
            self._pour(lots, float(sign > 0), bool(trade["side"]), now_ns, now_ns, trade["price_ticks"], flags)
            return
        if self.bar_ns:
            self.advance(now_ns)
        self.bar.append(trade)
        if self.bar_lots and sum(each["quantity"] for each in self.bar) >= self.bar_lots:
            self._close(now_ns)

    def advance(self, now_ns: int) -> None:
        if self.bar_ns and self.bar and now_ns // self.bar_ns > self.bar[-1]["now_ns"] // self.bar_ns:
            self._close(now_ns)

    def _new_day(self) -> None:
        self.days.append(self.day_volume)
        self.day_volume = 0
        recent = self.days[-self.most_days :]
        self.next_lots = min(max(sum(recent) // len(recent) // self.buckets_per_day, 1), MOST)
        if not self.pieces:
            self.lots = self.next_lots

    def _close(self, now_ns: int) -> None:
        bar, self.bar = self.bar, []
        close, share = bar[-1]["price_ticks"], 0.5
        if self.closes:
            change = float(close - self.closes[-1])
            old = self.variance
            square = change * change
            self.variance = square if old is None else self.decay * old + (1.0 - self.decay) * square
            if self.variance > 0.0:
                z = change / math.sqrt(self.variance)
                normal = self.classification == Classification.NORMAL
                share = 0.5 * math.erfc(-z * math.sqrt(0.5)) if normal else student(z, self.degrees)
        self.closes.append(close)
        flags = 0
        for each in bar:
            flags |= each["flags"] & INHERITED
        volume = sum(each["quantity"] for each in bar)
        self._pour(volume, share, False, now_ns, bar[0]["now_ns"], close, flags)

    def _pour(self, lots: int, share: float, told: bool, now_ns: int, begin_ns: int, ticks: int, flags: int) -> None:
        done = 0
        while done < lots:
            piece = min(lots - done, self.lots - sum(each[0] for each in self.pieces))
            bought = math.floor(share * (done + piece) + 0.5) - math.floor(share * done + 0.5)
            self.pieces.append((piece, bought, piece if told else 0, self.depth, begin_ns, ticks, flags))
            done += piece
            if sum(each[0] for each in self.pieces) == self.lots:
                self._complete(now_ns)
                spare = (lots - done) // self.lots - 2 * self.window - self.history
                if spare > 0 and len(self.out) not in self.left_out:
                    number = len(self.out) + 1
                    self.left_out.update(range(number, number + spare + self.window + self.history))

    def _complete(self, now_ns: int) -> None:
        bucket = self.open_bucket()
        bucket["now_ns"] = now_ns
        self.out.append(bucket)
        self.pieces, self.flow, self.lots = [], [], self.next_lots
        if len(self.out) < self.window:
            return
        window = self.out[-self.window :]
        imbalances = [abs(2 * each["buy_volume"] - each["volume"]) for each in window]
        vpin = value = float(sum(imbalances)) / float(sum(each["volume"] for each in window))
        flags = BucketFlag.FULL
        if self.depth_weighted:
            value = self._weighted(window, imbalances, value)
        gross = sum(each["gross_flow"] for each in window)
        if self.flow_weight and gross:
            flow = sum(abs(each["flow"]) for each in window)
            value = (1.0 - self.flow_weight) * value + self.flow_weight * (float(flow) / float(gross))
            flags |= BucketFlag.FLOW
        bucket.update(vpin=vpin, value=value, flags=bucket["flags"] | flags, span=now_ns - window[0]["begin_ns"])
        kept = [each for each in self.out if "span" in each][-self.history :]
        bucket["percentile"] = sum(each["value"] <= value for each in kept) / len(kept)
        bucket["ties"] = sum(each["value"] == value for each in kept) - 1
        bucket["pace"] = (1 + sum(each["span"] > bucket["span"] for each in kept)) / len(kept)

    def _weighted(self, window: list[dict[str, Any]], imbalances: list[int], vpin: float) -> float:
        depths = [each["depth_sum"] / each["depths"] for each in window if each["depth_sum"]]
        if not depths:
            return vpin
        mean = 0.0  # in this order, as `sum` need not add the plain way
        for depth in depths:
            mean += depth
        mean = mean / float(len(depths))
        above = below = 0.0
        for each, imbalance in zip(window, imbalances, strict=True):
            weight = 1.0
            if each["depth_sum"]:
                weight = min(max(mean / (each["depth_sum"] / each["depths"]), 0.25), 4.0)
            above, below = above + weight * imbalance, below + weight * each["volume"]
        return above / below

    def open_bucket(self) -> dict[str, Any]:
        """Of what has been poured in so far."""
        known = [each[3] for each in self.pieces if each[3] is not None]
        flags = 0
        for each in self.pieces:
            flags |= each[6]
        return {
            "now_ns": 0,
            "begin_ns": self.pieces[0][4] if self.pieces else 0,
            "number": len(self.out) + 1,
            "volume": sum(each[0] for each in self.pieces),
            "buy_volume": sum(each[1] for each in self.pieces),
            "told_volume": sum(each[2] for each in self.pieces),
            "close_ticks": self.pieces[-1][5] if self.pieces else 0,
            "flow": sum(self.flow),
            "gross_flow": sum(map(abs, self.flow)),
            "depth_sum": sum(known),
            "vpin": 0.0,
            "value": 0.0,
            "percentile": 0.0,
            "pace": 0.0,
            "parts": len(self.pieces),
            "depths": len(known),
            "instrument_id": self.instrument_id,
            "flags": flags,
            "ties": 0,
        }

    def take_quote(self, quote: dict[str, int]) -> None:
        bids, asks = quote["bid_quantity"], quote["ask_quantity"]
        if not 0 <= bids <= MOST or not 0 <= asks <= MOST:
            return
        if quote["flags"] & STALE:
            self.quote = self.depth = None
            return
        bid = quote["bid_ticks"] if bids else -math.inf
        ask = quote["ask_ticks"] if asks else math.inf
        if self.quote is not None and sum(map(abs, self.flow)) <= MOST_FLOW:
            old_bid, old_bids, old_ask, old_asks = self.quote
            change = bids * (bid >= old_bid) - old_bids * (bid <= old_bid)
            self.flow.append(change + old_asks * (ask >= old_ask) - asks * (ask <= old_ask))
        self.quote, self.depth = (bid, bids, ask, asks), bids + asks

    def rows(self, begin: int = 0) -> list[Row]:
        """Completed buckets as the kernel gives them."""
        given = [each for each in self.out[begin:] if each["number"] not in self.left_out]
        return [tuple(value for name, value in each.items() if name != "span") for each in given]
