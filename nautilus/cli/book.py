"""`nautilus book`: the best levels of an instrument's book."""

from __future__ import annotations

from itertools import zip_longest

import click

from nautilus.cli.instance import client_of, instance_option, running, timeout_option
from nautilus.cli.output import json_option, print_json, print_table

NO_LEVEL = {"price": "", "quantity": ""}


@click.command()
@click.argument("instrument")
@click.option("--levels", type=click.IntRange(1, 1000), default=10, show_default=True, help="Most levels of a side.")
@instance_option
@timeout_option()
@json_option
def book(instrument: str, levels: int, instance_name: str | None, timeout_seconds: float, as_json: bool) -> None:
    """Print the best levels of an instrument's book. INSTRUMENT is its symbol or id."""
    from nautilus.model.queries import GetBook

    client = client_of(running(instance_name), timeout_seconds=timeout_seconds)
    answer = client.ask("marketdata", GetBook(instrument, levels))
    if as_json:
        print_json(answer)
        return
    rows = [
        (bid["quantity"], bid["price"], ask["price"], ask["quantity"])
        for bid, ask in zip_longest(answer["bids"], answer["asks"], fillvalue=NO_LEVEL)
    ]
    print_table(answer["symbol"], ["quantity", "bid", "ask", "quantity"], rows, right=(0, 1, 2, 3))
    print(f"last trade {answer['last_price'] or 'none'}; {answer['updates']:,} updates")
