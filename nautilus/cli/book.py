"""`nautilus book`: an instrument's book, by best prices, levels or orders."""

from __future__ import annotations

from itertools import zip_longest

import click

from nautilus.cli.instance import client_of, instance_option, running, timeout_option
from nautilus.cli.output import json_option, print_json, print_table

NO_LEVEL = {"price": "", "quantity": ""}


@click.command()
@click.argument("instrument")
@click.option("--levels", type=click.IntRange(1, 1000), default=10, show_default=True, help="Most levels of a side.")
@click.option(
    "--level",
    type=click.IntRange(1, 3),
    default=2,
    show_default=True,
    help="1: best prices; 2: levels; 3: their orders.",
)
@instance_option
@timeout_option()
@json_option
def book(
    instrument: str, levels: int, level: int, instance_name: str | None, timeout_seconds: float, as_json: bool
) -> None:
    """Print the best levels of an instrument's book. INSTRUMENT is its symbol or id."""
    from nautilus.model.queries import GetBook

    client = client_of(running(instance_name), timeout_seconds=timeout_seconds)
    answer = client.ask("marketdata", GetBook(instrument, levels, level))
    if as_json:
        print_json(answer)
        return
    if level == 3:
        orders = [
            (line["side"].lower(), line["price"], line["quantity"], line["account_id"], line["order_id"])
            for line in answer["orders"]
        ]
        print_table(answer["symbol"], ["side", "price", "quantity", "account", "order"], orders, right=(1, 2, 3, 4))
    else:
        rows = [
            (bid["quantity"], bid["price"], ask["price"], ask["quantity"])
            for bid, ask in zip_longest(answer["bids"], answer["asks"], fillvalue=NO_LEVEL)
        ]
        print_table(answer["symbol"], ["quantity", "bid", "ask", "quantity"], rows, right=(0, 1, 2, 3))
    if answer["blind_since_ns"]:
        seconds = (answer["now_ns"] - answer["blind_since_ns"]) / 1e9
        print(
            f"BLIND: something of this book is missing since {seconds:,.1f} s before its last change; not to be trusted"
        )
    elif answer["gaps"]:
        print(f"{answer['gaps']:,} gaps, {answer['blind_ns'] / 1e9:,.1f} s blind in all; right since the last snapshot")
    print(f"last trade {answer['last_price'] or 'none'}; {answer['updates']:,} updates")
