"""`nautilus order submit | amend | cancel | list | queue`: orders of a running instance, over HTTP."""

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
    "queue": (f"{__name__}:queue", "Print what is ahead of an open order."),
}
OK, REFUSED, UNKNOWN = 0, 1, 5
TIMES_IN_FORCE = ("GTC", "DAY", "GTD", "IOC", "FOK", "AT-OPEN", "AT-CLOSE")
TYPES = (
    "limit", "market", "stop", "stop-limit", "trailing-stop", "trailing-stop-limit", "market-if-touched",
    "limit-if-touched", "market-to-limit", "pegged",
)  # fmt: skip
PRICED = ("limit", "stop-limit", "trailing-stop-limit", "limit-if-touched")
"""Types that have a price of their own; a pegged order may have a cap."""
GROUPS = ("oco", "ouo")


@click.group(cls=LazyGroup, commands_at=COMMANDS)
def order() -> None:
    """Enter, amend, cancel or list orders, and see where they stand."""


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
@click.option("--price", metavar="PRICE", help="Limit price; of a trailing stop limit its distance from the trigger.")
@click.option("--market", is_flag=True, help="At any price, instead of --price.")
@click.option(
    "--type",
    "order_type",
    metavar="TYPE",
    type=click.Choice(TYPES, case_sensitive=False),
    help=f"One of {', '.join(TYPES)}.  [default: limit]",
)
@click.option("--trigger", metavar="PRICE", default="", help="Price at which a stop or touched order begins to act.")
@click.option(
    "--trigger-source",
    type=click.Choice(("last", "mark", "quote"), case_sensitive=False),
    default="last",
    show_default=True,
    help="What it waits for: last trade, mark, or best opposite price.",
)
@click.option("--offset", metavar="DISTANCE", default="", help="Of a trailing or pegged order, from what it follows.")
@click.option("--trail-bps", is_flag=True, help="--offset is in basis points.")
@click.option(
    "--peg",
    type=click.Choice(("best", "mid", "opposite"), case_sensitive=False),
    default="best",
    show_default=True,
    help="What a pegged order follows.",
)
@click.option(
    "--tif",
    "time_in_force",
    type=click.Choice(TIMES_IN_FORCE, case_sensitive=False),
    help="How long it stands.  [default: GTC; IOC with --market]",
)
@click.option("--expire-ns", type=click.IntRange(0), default=0, help="End of GTD, in nanoseconds since the epoch.")
@click.option("--display", "display_quantity", metavar="QUANTITY", default="", help="What an iceberg shows.")
@click.option("--min-quantity", metavar="QUANTITY", default="", help="Fill at least so much at once, or nothing.")
@click.option("--post-only", is_flag=True, help="Refuse it rather than let it take.")
@click.option("--slide", is_flag=True, help="With --post-only: step behind the best instead.")
@click.option("--reduce-only", is_flag=True, help="It may only reduce the position.")
@click.option("--hidden", is_flag=True, help="Do not show it in the book.")
@click.option("--all-or-none", is_flag=True, help="Fill it whole or not at all.")
@click.option("--group", "group_id", type=click.IntRange(1, 65_535), help="Number of its group in the account.")
@click.option(
    "--group-kind",
    type=click.Choice(GROUPS, case_sensitive=False),
    help="A fill cancels the others of --group (oco), or takes as much off them (ouo).  [default: oco]",
)
@click.option("--parent", "parent_order_id", type=click.IntRange(1), help="Open order whose fills let this one in.")
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
    order_type: str | None,
    time_in_force: str | None,
    trigger_source: str,
    peg: str,
    group_id: int | None,
    group_kind: str | None,
    parent_order_id: int | None,
    account_id: int,
    instance_name: str | None,
    timeout_seconds: float,
    as_json: bool,
    **fields: Any,
) -> int:
    """Enter an order; exit code 1 where it is refused, 5 where nobody knows what became of it.

    SIDE is buy or sell. QUANTITY, --price, --trigger, --offset, --display and --min-quantity are decimals in the
    instrument's units.
    """
    from nautilus.model.enums import GroupKind, OrderType, PegReference, Side, TimeInForce, TriggerSource
    from nautilus.model.queries import OrderRequest

    kind = (order_type or ("market" if market else "limit")).lower()
    # An empty price is a slip, of a script for example, and no wish for any price.
    if price == "":
        raise click.UsageError("expected either --price PRICE or --market: --price is empty")
    if market and kind != "market":
        raise click.UsageError(f"expected either --type {kind} or --market")
    if kind in ("limit", "market") and (kind == "market") == (price is not None):
        raise click.UsageError("expected either --price PRICE or --market")
    if kind in PRICED and price is None:
        raise click.UsageError(f"expected --price PRICE with --type {kind}")
    if group_kind and group_id is None:
        raise click.UsageError("expected --group NUMBER with --group-kind")
    request = OrderRequest(
        instrument=instrument,
        side=Side[side.upper()],
        quantity=quantity,
        price=price or "",
        account_id=account_id,
        order_type=OrderType[_name(kind)],
        time_in_force=TimeInForce[_name(time_in_force or ("IOC" if kind == "market" else "GTC"))],
        trigger_source=TriggerSource[trigger_source.upper()],
        peg=PegReference[peg.upper()],
        group_id=group_id or 0,
        group=GroupKind[_name(group_kind or GROUPS[0])] if group_id else None,
        parent_order_id=parent_order_id or 0,
        **fields,
    )
    return _act(request, instance_name, timeout_seconds, as_json)


@click.command()
@click.argument("order_id", type=click.IntRange(1))
@click.argument("quantity")
@click.argument("price", default="")
@click.option("--trigger", metavar="PRICE", default="", help="New trigger of an order that waits for one.")
@account_option(PERSON_ACCOUNT)
@instance_option
@timeout_option()
@json_option
def amend(
    order_id: int,
    quantity: str,
    price: str,
    trigger: str,
    account_id: int,
    instance_name: str | None,
    timeout_seconds: float,
    as_json: bool,
) -> int:
    """Give an open order another price and total quantity; an order without a price has no PRICE here either."""
    from nautilus.model.queries import AmendRequest

    return _act(AmendRequest(order_id, quantity, price, account_id, trigger), instance_name, timeout_seconds, as_json)


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


@click.command()
@click.argument("order_id", type=click.IntRange(1))
@account_option(PERSON_ACCOUNT)
@instance_option
@timeout_option()
@json_option
def queue(order_id: int, account_id: int, instance_name: str | None, timeout_seconds: float, as_json: bool) -> None:
    """Print how many orders, and how much, are ahead of an open order at its price."""
    from nautilus.model.queries import GetQueuePlace

    client = client_of(running(instance_name), timeout_seconds=timeout_seconds)
    answer = client.ask("marketdata", GetQueuePlace(account_id, order_id))
    if as_json:
        print_json(answer)
    elif not answer["displayed"]:
        print(f"{answer['side'].lower()} of {answer['symbol']}: not displayed, no place that could be seen")
    else:
        number = answer["orders_ahead"]
        print(
            f"{answer['side'].lower()} {answer['quantity']} at {answer['price']} of {answer['symbol']}: "
            f"{number:,} order{'' if number == 1 else 's'} with {answer['quantity_ahead']} ahead"
        )


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
    _print_lines(answer["orders"], columns)
    special = [line for line in answer["orders"] if is_special(line)]
    if special:
        # Apart, as one line of 80 columns has no room for it beside a number of 20 digits.
        terms = (
            ("order_id", "order", "right", 8),
            ("order_type", "type", "left", 5),
            ("trigger", "trigger", "right", 7),
            ("standing", "stands", "left", 9),
            ("terms", "terms", "left", 5),
        )
        _print_lines(special, terms)
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


def _name(word: str) -> str:
    """The member of an enumeration that a word of the command line means."""
    return word.upper().replace("-", "_")


def _print_lines(lines: list[dict[str, Any]], columns: tuple[tuple[str, str, str, int], ...]) -> None:
    table = dense_table([column[1:] for column in columns])
    for line in lines:
        table.add_row(*(aligned(line, column[0]) for column in columns))
    console().print(table)


def is_special(line: dict[str, Any]) -> bool:
    """Whether an open order is anything but a displayed limit order, post-only or not, without further wishes."""
    usual = (line.get("order_type", "LIMIT"), line.get("standing", "DISPLAYED")) == ("LIMIT", "DISPLAYED")
    return not usual or terms_of(line) not in ("", "post-only")


def terms_of(line: dict[str, Any]) -> str:
    """Flags, time in force, displayed part and parent of an open order in few words."""
    words = [name.lower().replace("_", "-") for name in line.get("flags", ())]
    if line.get("time_in_force", "GTC") != "GTC":
        words.insert(0, line["time_in_force"].lower().replace("_", "-"))
    if line.get("display_quantity"):
        words.append(f"shows {line['display_quantity']}")
    if line.get("parent_order_id"):
        words.append(f"of {line['parent_order_id']}")
    return " ".join(words)


def aligned(line: dict[str, Any], name: str) -> str:
    """A field of an open order; decimals with as many digits as the instrument has, so that points stand in line."""
    from decimal import Decimal

    if name == "terms":
        return terms_of(line)
    if name in ("order_type", "standing"):
        return str(line.get(name, "")).lower().replace("_", "-")
    value = line.get(name, "")
    digits = line.get("price_decimals" if name in ("price", "trigger") else "quantity_decimals", 0)
    if name in ("price", "trigger", "quantity", "leaves_quantity") and value:
        return f"{Decimal(value):,.{digits}f}"
    return str(value)


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
