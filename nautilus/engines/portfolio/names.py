"""Symbols of instruments, and what they became: an instrument keeps its id for life, its symbol may change."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from nautilus.model.errors import ModelError, UnknownInstrumentError
from nautilus.model.instrument import Instrument

_MOST_SHOWN = 8


class Names:
    """Finds instruments by symbol, by a former symbol, or by id as text."""

    def __init__(self, instruments: Mapping[int, Instrument]) -> None:
        self._instruments = instruments
        self._renamed: dict[int, str] = {}
        self._ids: dict[str, list[int]] = {}
        for key, each in instruments.items():
            self._ids.setdefault(each.symbol, []).append(key)

    def symbol(self, instrument_id: int) -> str:
        """As it is called now."""
        return self._renamed.get(instrument_id) or self._instruments[instrument_id].symbol

    def find(self, text: str) -> Instrument:
        """The instrument of a symbol, present or former, or of an id as text. UnknownInstrumentError: there is none."""
        found = self._ids.get(text, ())
        if len(found) == 1:
            return self._instruments[found[0]]
        if not found and text.isascii() and text.isdecimal() and int(text) in self._instruments:
            return self._instruments[int(text)]
        if found:
            raise ModelError(
                f"instrument {text!r} of several venues", where="portfolio", expected=f"an id: {sorted(found)}"
            )
        known = ", ".join(sorted(self._ids)[:_MOST_SHOWN])
        raise UnknownInstrumentError(f"instrument {text!r}", where="portfolio", expected=f"one of {known} ...")

    def knows(self, text: str) -> bool:
        """Whether `find` finds one."""
        try:
            self.find(text)
        except ModelError:
            return False
        return True

    def check(self, instrument_id: int, symbol: str) -> None:
        """ModelError: the symbol is none, or another instrument's."""
        if not symbol:
            raise ModelError("no new symbol", where="symbol change", expected="one")
        if any(key != instrument_id for key in self._ids.get(symbol, ())):
            raise ModelError(f"symbol {symbol!r} of another instrument", where="symbol change", expected="a new one")

    def rename(self, instrument_id: int, symbol: str) -> None:
        """The instrument has another symbol from now on; the former ones still find it."""
        self._renamed[instrument_id] = symbol
        known = self._ids.setdefault(symbol, [])
        if instrument_id not in known:
            known.append(instrument_id)

    def state(self) -> list[list[object]]:
        """Plain values: every symbol that was given, with the present one last."""
        return [
            [key, symbol]
            for symbol, keys in self._ids.items()
            for key in keys
            if symbol != self._instruments[key].symbol and symbol != self._renamed.get(key)
        ] + [[key, symbol] for key, symbol in self._renamed.items()]

    def restore(self, state: Iterable[tuple[int, str]]) -> None:
        """Take over what `state()` gave."""
        for key, symbol in state:
            if key in self._instruments:
                self.rename(key, symbol)
