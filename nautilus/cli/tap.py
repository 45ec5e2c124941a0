"""`nautilus tap`: what is said on topics of a running instance, and which messages reached nobody."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

import click

from nautilus.cli.instance import data_directory, instance_option, running, running_with_hub
from nautilus.cli.output import json_option

REASONS = ("deadline", "cut", "closed", "late", "path", "forbidden")


@click.command()
@click.argument("topics", nargs=-1, metavar="[TOPIC]")
@click.option("--instrument", metavar="SYMBOL", help="Only this instrument.")
@click.option("--count", type=click.IntRange(0), default=0, metavar="N", help="End after so many; 0: no end.")
@click.option("--for", "for_seconds", type=click.FloatRange(0, min_open=True), metavar="SECONDS", help="Then end.")
@click.option("--dead", is_flag=True, help="Dead letters instead: messages given up, late, or not allowed.")
@click.option("--follow", "-f", is_flag=True, help="With --dead: go on with later ones until Ctrl-C.")
@click.option("--peer", metavar="PROCESS", help="With --dead: only those for it, or late or forbidden from it.")
@click.option("--reason", type=click.Choice(REASONS), help="With --dead: only those.")
@click.option("--replay", "again", is_flag=True, help="With --dead ID...: send these again to their receivers.")
@instance_option
@json_option
def tap(
    topics: Sequence[str],
    instrument: str | None,
    count: int,
    for_seconds: float | None,
    dead: bool,
    follow: bool,
    peer: str | None,
    reason: str | None,
    again: bool,
    instance_name: str | None,
    as_json: bool,
) -> int | None:
    """Print what is said on TOPIC until Ctrl-C: marketdata.real_time.quote, trading.report, 'marketdata.*', '*'.

    With --dead print the messages that reached nobody, also of an instance that is down. With --json each message is an
    object of its own line.
    """
    import msgspec

    if dead:
        return _dead(topics, instance_name, as_json, follow=follow, peer=peer, reason=reason, again=again)
    if follow or again or peer or reason:
        raise click.UsageError("--follow, --peer, --reason and --replay are for --dead")
    if len(topics) != 1:
        raise click.UsageError("expected one TOPIC, or --dead")

    from nautilus.cli.tap_topic import as_text, tap_topic

    lines = tap_topic(running_with_hub(instance_name), topics[0], instrument, count, for_seconds)
    with contextlib.suppress(KeyboardInterrupt):  # the way to end it
        for line in lines:
            print(msgspec.json.encode(line).decode() if as_json else as_text(line), flush=True)
    return None


def _dead(
    names: Sequence[str],
    instance_name: str | None,
    as_json: bool,
    *,
    follow: bool,
    peer: str | None,
    reason: str | None,
    again: bool,
) -> int | None:
    import msgspec

    from nautilus.cli.tap_dead import as_text, dead_letters, replay, wanted_of

    if again:
        if not names:
            raise click.UsageError("--replay without a letter; expected ID..., as `nautilus tap --dead` prints them")
        found = replay(running(instance_name), names)
        for each in found:
            text = f"{each['id']}: " + (
                f"refused: {each['refused']}" if each["refused"] else f"sent to {each['sent_to']}"
            )
            print(msgspec.json.encode(each).decode() if as_json else text)
        return 1 if any(each["refused"] for each in found) else None
    if names:
        raise click.UsageError(f"{names[0]!r} beside --dead; expected it alone, or --replay")
    with contextlib.suppress(KeyboardInterrupt):
        for line in dead_letters(data_directory(instance_name), wanted_of(peer, reason), follow=follow):
            print(msgspec.json.encode(line).decode() if as_json else as_text(line), flush=True)
    return None
