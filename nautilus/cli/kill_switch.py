"""`nautilus kill-switch on | off | status`."""

from __future__ import annotations

from typing import Any

import click

from nautilus.cli.instance import client_of, instance_option, running, timeout_option
from nautilus.cli.lazy import LazyGroup
from nautilus.cli.output import json_option, print_json, print_table

COMMANDS = {
    "on": (f"{__name__}:on", "Cancel all open orders and refuse new ones."),
    "off": (f"{__name__}:off", "Take orders again."),
    "status": (f"{__name__}:status", "Print which kill switches are on."),
}
MOST_NAMED = 5
"""Kill switches that stay on, by name; more are counted."""


@click.group("kill-switch", cls=LazyGroup, commands_at=COMMANDS)
def kill_switch() -> None:
    """Stop all trading, an account's, an instrument's or a strategy's, and allow it again."""


def scope_options(command: click.decorators.FC) -> click.decorators.FC:
    """The options `--account`, `--instrument` and `--strategy`."""
    command = click.option(
        "--strategy",
        "strategy_id",
        type=click.IntRange(1, 65_535),
        default=None,
        help="One strategy of the account.  [default: all]",
    )(command)
    command = click.option("--instrument", metavar="TEXT", help="Symbol, or id.  [default: all]")(command)
    return click.option("--account", "account_id", type=click.IntRange(0), default=0, help="Account.  [default: all]")(
        command
    )


@click.command()
@scope_options
@instance_option
@timeout_option()
@json_option
def on(
    account_id: int,
    instrument: str | None,
    strategy_id: int | None,
    instance_name: str | None,
    timeout_seconds: float,
    as_json: bool,
) -> None:
    """Cancel all open orders and refuse new ones, of an account, an instrument, the pair, or everything.

    With --account and --strategy: of one strategy.
    """
    _switch(True, account_id, instrument, strategy_id, instance_name, timeout_seconds, as_json)


@click.command()
@scope_options
@instance_option
@timeout_option()
@json_option
def off(
    account_id: int,
    instrument: str | None,
    strategy_id: int | None,
    instance_name: str | None,
    timeout_seconds: float,
    as_json: bool,
) -> None:
    """Take orders again; the scope must be the one that was switched on, else exit code 2.

    Others stay on, and are named: an account that is switched off is still stopped by the switch of everything.
    """
    _switch(False, account_id, instrument, strategy_id, instance_name, timeout_seconds, as_json)


@click.command()
@instance_option
@timeout_option()
@json_option
def status(instance_name: str | None, timeout_seconds: float, as_json: bool) -> None:
    """Print which kill switches are on."""
    from nautilus.model.queries import GetKillSwitch

    answer = client_of(running(instance_name), timeout_seconds=timeout_seconds).ask("trading", GetKillSwitch())
    if as_json:
        print_json({"on": bool(answer["scopes"]), **answer})
        return
    if not answer["scopes"]:
        print("off")
        return
    rows = [
        (scope["account_id"] or "all", _instrument(scope) or "all", scope.get("strategy_id") or "all")
        for scope in answer["scopes"]
    ]
    print_table("on", ["account", "instrument", "strategy"], rows, right=(0, 2))


def _switch(
    wanted: bool,
    account_id: int,
    instrument: str | None,
    strategy_id: int | None,
    instance_name: str | None,
    timeout_seconds: float,
    as_json: bool,
) -> None:
    from nautilus.model.queries import KillRequest

    if instrument == "":
        raise click.UsageError("--instrument is empty; expected a symbol or an id, or no --instrument for all of them")
    if strategy_id and (not account_id or instrument is not None):
        raise click.UsageError("expected --strategy with --account, and without --instrument")
    client = client_of(running(instance_name), timeout_seconds=timeout_seconds)
    request = KillRequest(wanted, account_id, instrument=instrument, strategy_id=strategy_id or 0)
    answer = client.ask("trading", request)
    if as_json:
        print_json(answer)
        return
    cancelled = f", {answer['cancelled']:,} orders cancelled" if wanted else ""
    print(f"kill switch of {scope_text(answer)} {'on' if wanted else 'off'}{cancelled}, {answer['latency_us']:,.0f} us")
    others = [scope_text(scope) for scope in answer["scopes"] if not wanted]
    if others:
        more = f" and {len(others) - MOST_NAMED:,} more" if len(others) > MOST_NAMED else ""
        print(f"still on: {', '.join(others[:MOST_NAMED])}{more}")


def scope_text(scope: dict[str, Any]) -> str:
    """Whose kill switch it is."""
    parts = [f"account {scope['account_id']}"] if scope["account_id"] else []
    if scope["instrument_id"]:
        parts.append(f"instrument {_instrument(scope)}")
    if scope.get("strategy_id"):
        parts.append(f"strategy {scope['strategy_id']}")
    return " with ".join(parts) or "everything"


def _instrument(scope: dict[str, Any]) -> str:
    return str(scope["symbol"] or scope["instrument_id"] or "")
