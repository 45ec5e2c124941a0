"""`nautilus order submit | amend | cancel | list`: orders of a running instance, over HTTP."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from nautilus.cli.instance import Command, client_of, instance_option, running, timeout_option
from nautilus.cli.lazy import LazyGroup
from nautilus.cli.output import console, dense_table, json_option, print_json
from nautilus.model.queries import PERSON_ACCOUNT

COMMANDS = {
    "submit": (f"{__name__}:submit", "Enter an order."),
    "amend": (f"{__name__}:amend", "Give an open order another price and total quantity."),
    "cancel": (f"{__name__}:cancel", "Take an open order out."),
    "list": (f"{__name__}:list_orders", "List open orders."),
}
OK, REFUSED, UNKNOWN = 0, 1, 5
TIMES_IN_FORCE = ("GTC", "DAY", "IOC", "FOK")


@click.group(cls=LazyGroup, commands_at=COMMANDS)
def order() -> None:
    """Enter, amend, cancel or list orders."""


def account_option(default: int) -> Callable[[Command], Command]:
    """The option `--account`."""
    text = "Account of the order." if default else "Only this account.  [default: all]"
    return click.option(
        "--account", "account_id", type=click.IntRange(0), default=default, show_default=bool(default), help=text
    )


@click.command()
@click.argument("instrument")
@click.argument("side", metavar="SIDE", type=click.Choice(["buy", "sell"], case_sensitive=False))
@click.argument("quantity")
@click.option("--price", metavar="PRICE", help="Limit price.")
@click.option("--market", is_flag=True, help="At any price, instead of --price.")
@click.option(
    "--tif",
    "time_in_force",
    type=click.Choice(TIMES_IN_FORCE, case_sensitive=False),
    help="How long it stands.  [default: GTC; IOC with --market]",
)
@click.option("--post-only", is_flag=True, help="Refuse it rather than let it take.")
@click.option("--client-order-id", default="", metavar="TEXT", help="Your own name for it; never entered twice.")
@account_option(PERSON_ACCOUNT)
@instance_option
@timeout_option()
@json_option
def submit(
    instrument: str,
    side: str,
    quantity: str,
    price: str | None,
    market: bool,
    time_in_force: str | None,
    post_only: bool,
    client_order_id: str,
    account_id: int,
    instance_name: str | None,
    timeout_seconds: float,
    as_json: bool,
) -> int:
    """Enter an order; exit code 1 where it is refused, 5 where nobody knows what became of it.

    SIDE is buy or sell. QUANTITY and --price are decimals in the instrument's units.
    """
    from nautilus.model.enums import OrderType, Side, TimeInForce
    from nautilus.model.queries import OrderRequest

    # An empty price is a slip, of a script for example, and no wish for any price.
    if market == (price is not None) or not (market or price):
        raise click.UsageError("expected either --price PRICE or --market")
    request = OrderRequest(
        instrument=instrument,
        side=Side[side.upper()],
        quantity=quantity,
        price=price or "",
        account_id=account_id,
        order_type=OrderType.MARKET if market else OrderType.LIMIT,
        time_in_force=TimeInForce[(time_in_force or ("IOC" if market else "GTC")).upper()],
        post_only=post_only,
        client_order_id=client_order_id,
    )
    return _act(request, instance_name, timeout_seconds, as_json)


@click.command()
@click.argument("order_id", type=click.IntRange(1))
@click.argument("quantity")
@click.argument("price")
@account_option(PERSON_ACCOUNT)
@instance_option
@timeout_option()
@json_option
def amend(
    order_id: int,
    quantity: str,
    price: str,
    account_id: int,
    instance_name: str | None,
    timeout_seconds: float,
    as_json: bool,
) -> int:
    """Give an open order another price and total quantity."""
    from nautilus.model.queries import AmendRequest

    return _act(AmendRequest(order_id, quantity, price, account_id), instance_name, timeout_seconds, as_json)


@click.command()
@click.argument("order_id", type=click.IntRange(1))
@account_option(PERSON_ACCOUNT)
@instance_option
@timeout_option()
@json_option
def cancel(order_id: int, account_id: int, instance_name: str | None, timeout_seconds: float, as_json: bool) -> int:
    """Take an open order out."""
    from nautilus.model.queries import CancelRequest

    return _act(CancelRequest(order_id, account_id), instance_name, timeout_seconds, as_json)


@click.command("list")
@account_option(0)
@instance_option
@timeout_option()
@json_option
def list_orders(account_id: int, instance_name: str | None, timeout_seconds: float, as_json: bool) -> None:
    """List open orders of clients (people, programs and strategies), oldest first.

    Those of the market's own participants are not among them; `nautilus status` counts them too.
    """
    from nautilus.model.queries import GetOrders

    answer = client_of(running(instance_name), timeout_seconds=timeout_seconds).ask("trading", GetOrders(account_id))
    if as_json:
        print_json(answer)
        return
    columns = (
        ("account_id", "acc.", "right", 4),
        ("order_id", "order", "right", 8),
        ("symbol", "instrument", "left", 10),
        ("side", "side", "left", 4),
        ("price", "price", "right", 9),
        ("quantity", "quantity", "right", 8),
        ("leaves_quantity", "leaves", "right", 8),
        ("state", "state", "left", 5),
    )
    table = dense_table([column[1:] for column in columns])
    for line in answer["orders"]:
        table.add_row(*(aligned(line, column[0]) for column in columns))
    console().print(table)
    print(
        f"{len(answer['orders']):,} open of clients, as of event {answer['last_sequence']:,}; "
        "orders of the market's\nown participants are not listed"
    )


def _act(request: Any, instance_name: str | None, timeout_seconds: float, as_json: bool) -> int:
    client = client_of(running(instance_name), timeout_seconds=timeout_seconds)
    result = client.ask("trading", request, timeout_seconds=timeout_seconds)
    if as_json:
        print_json(result)
    elif result["status"] not in ("rejected", "unknown"):
        print(describe(result))
    if result["status"] == "rejected":
        click.echo(f"nautilus: error: {refusal(result)}", err=True)
        return REFUSED
    if result["status"] == "unknown":
        click.echo(
            f"nautilus: error: order {result['order_id']}: what became of it is unknown; `nautilus order list` shows "
            "whether it is open",
            err=True,
        )
        return UNKNOWN
    return OK


def aligned(line: dict[str, Any], name: str) -> str:
    """A field of an open order; decimals with as many digits as the instrument has, so that points stand in line."""
    from decimal import Decimal

    digits = line.get("price_decimals" if name == "price" else "quantity_decimals", 0)
    if name in ("price", "quantity", "leaves_quantity") and line[name]:
        return f"{Decimal(line[name]):,.{digits}f}"
    return str(line[name])


def describe(result: dict[str, Any]) -> str:
    """One line about what became of an order."""
    parts = [f"order {result['order_id']} {result['status'].replace('_', ' ')}"]
    if result.get("filled_quantity") not in (None, "", "0"):
        parts.append(f"filled {result['filled_quantity']}")
    if result.get("leaves_quantity") not in (None, "", "0"):
        parts.append(f"leaves {result['leaves_quantity']}")
    parts.append(f"{result['latency_us']:,.0f} us")
    return ", ".join(parts)


def refusal(result: dict[str, Any]) -> str:
    """One line about why an order was refused: every violated control, or how the order is that it repeats."""
    reasons = list(result.get("violated") or ()) or [result.get("reason", "NONE")]
    text = f"order {result['order_id']} refused: {', '.join(reasons)}"
    if not result.get("order_state"):
        return text
    text += f"; the first of that client id is {result['order_state']}, leaves {result['leaves_quantity']}"
    return f"{text}, and was another in {', '.join(result['differs'])}" if result.get("differs") else text
