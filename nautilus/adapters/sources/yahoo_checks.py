"""What of an answer of Yahoo has to be there, though no row of it is sure to have it: the field that is missing."""

from __future__ import annotations

from collections.abc import Sequence

from nautilus.adapters.sources.yahoo_bodies import Contract, Found, Quote


def is_dead(item: Quote) -> bool:
    """What Yahoo says of a symbol that it has no more: its name, and neither a currency nor a price."""
    return not item.currency and (item.quote_type == "NONE" or _untold(item.regular_market_price, item.bid, item.ask))


def lack_of_quotes(items: Sequence[Quote]) -> str:
    """Path of the first field that a quote needs and has not; "": all is there."""
    live = [(f"$.quoteResponse.result[{place}]", item) for place, item in enumerate(items) if not is_dead(item)]
    for path, item in live:
        if not item.currency:
            return f"{path}.currency"  # or pence would be taken for pounds
        if not item.regular_market_time:
            return f"{path}.regularMarketTime"
        if _untold(item.regular_market_price, item.bid, item.ask):
            return f"{path}.regularMarketPrice"
    if live and all(item.regular_market_price is None for _, item in live):
        return f"{live[0][0]}.regularMarketPrice"
    return ""


def lack_of_contracts(contracts: Sequence[tuple[str, Contract]]) -> str:
    """The same of options, each with its path."""
    for path, item in contracts:
        if not item.currency:
            return f"{path}.currency"
        if not item.last_trade_date:
            return f"{path}.lastTradeDate"
        if _untold(item.last_price, item.bid, item.ask):
            return f"{path}.lastPrice"
    if contracts and all(item.last_price is None for _, item in contracts):
        return f"{contracts[0][0]}.lastPrice"
    return ""


def lack_of_symbols(found: Sequence[Found]) -> str:
    """The same of a search, which has rows without a symbol among others: companies that are not listed."""
    return "$.quotes[0].symbol" if found and not any(item.symbol for item in found) else ""


def _untold(*prices: float | None) -> bool:
    return all(price is None for price in prices)


__all__ = ["is_dead", "lack_of_contracts", "lack_of_quotes", "lack_of_symbols"]
