"""`nautilus tap`: what is said on topics of a running instance."""

from __future__ import annotations

import contextlib

import click

from nautilus.cli.instance import instance_option, running
from nautilus.cli.output import json_option


@click.command()
@click.argument("topic")
@click.option("--instrument", metavar="SYMBOL", help="Only this instrument.")
@click.option("--count", type=click.IntRange(0), default=0, metavar="N", help="End after so many; 0: no end.")
@click.option("--for", "for_seconds", type=click.FloatRange(0, min_open=True), metavar="SECONDS", help="Then end.")
@instance_option
@json_option
def tap(
    topic: str, instrument: str | None, count: int, for_seconds: float | None, instance_name: str | None, as_json: bool
) -> None:
    """Print what is said on TOPIC until Ctrl-C: marketdata.real_time.quote, trading.report, 'marketdata.*', '*'.

    With --json each message is an object of its own line.
    """
    import msgspec

    from nautilus.cli.tap_topic import as_text, tap_topic

    lines = tap_topic(running(instance_name), topic, instrument, count, for_seconds)
    with contextlib.suppress(KeyboardInterrupt):  # the way to end it
        for line in lines:
            print(msgspec.json.encode(line).decode() if as_json else as_text(line), flush=True)
