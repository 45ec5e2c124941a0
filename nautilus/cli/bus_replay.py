"""`nautilus bus replay`: records of a stream once more, from what the hub keeps of it."""

from __future__ import annotations

import click

from nautilus.cli.instance import instance_option, running_with_hub, timeout_option
from nautilus.cli.output import json_option


@click.command()
@click.argument("topic")
@click.argument("instrument")
@click.option("--first", type=click.IntRange(1), metavar="N", help="From this record on.  [default: --count back]")
@click.option("--last", type=click.IntRange(1), metavar="N", help="Up to this one.  [default: the newest]")
@click.option("--count", type=click.IntRange(1), default=10, show_default=True, metavar="N", help="So many, at most.")
@click.option("--epoch", type=click.IntRange(1), metavar="N", help="Of which life of the hub.  [default: this one]")
@click.option("--image", is_flag=True, help="What stands for the whole stream: the last quote, the book.")
@instance_option
@timeout_option()
@json_option
def replay(
    topic: str,
    instrument: str,
    first: int | None,
    last: int | None,
    count: int,
    epoch: int | None,
    image: bool,
    instance_name: str | None,
    timeout_seconds: float,
    as_json: bool,
) -> None:
    """Print records of TOPIC and INSTRUMENT once more, as the hub published them.

    With --json each record is an object of its own line.
    """
    import msgspec

    from nautilus.bus import TopicError, make_context, stream_id
    from nautilus.bus.asking import ReplayClient
    from nautilus.bus.base import layout_of, replay_endpoint
    from nautilus.bus.positions import ended_in
    from nautilus.bus.routing import is_on_star, topic_at
    from nautilus.cli.tap_topic import as_text, lines_of
    from nautilus.runtime.market import instruments_of
    from nautilus.runtime.neighbours import hub_of
    from nautilus.runtime.status import read_positions

    wanted = topic_at(topic)
    if not is_on_star(wanted):
        raise TopicError(topic, where="bus replay", expected="a topic of the star: marketdata.real_time.*")
    instance = running_with_hub(instance_name)
    plan = instance.plan()
    symbols = {each.instrument_id: each.symbol for each in instruments_of(plan)}
    number = next((key for key, symbol in symbols.items() if instrument in (symbol, str(key))), 0)
    if not number:
        raise click.UsageError(f"no instrument {instrument!r}; expected one of {', '.join(sorted(symbols.values()))}")
    stream = stream_id(layout_of(wanted).kind, number)
    hub = next((table for table in read_positions(plan).values() if table.get("hub.epoch")), {})
    known = ended_in(hub)
    newest = known.lasts.get(stream, 0) if epoch in (None, known.epoch) else 0
    if first and last and first > last:
        raise click.UsageError(f"--first {first} is after --last {last}")
    if first and newest and first > newest:
        raise click.UsageError(f"--first {first}: the newest record is {newest}")
    end = last or (newest if epoch in (None, known.epoch) else first or count)
    begin = first or max(end - count + 1, 1)
    end = min(end, begin + count - 1)
    context = make_context()
    try:
        star = plan.star_of(plan.hubs.index(hub_of(plan)))
        with ReplayClient(context, replay_endpoint(star), timeout_seconds=timeout_seconds) as client:
            found = (
                client.images([stream]) if image else client.replay(epoch or known.epoch, stream, begin, max(end, 1))
            )
            for part in found:
                for offset, line in enumerate(lines_of(part.topic, part.records, symbols, 0, part.publish_ns)):
                    if not image and not begin <= part.sequence + offset <= end:
                        continue
                    line = {"sequence": part.sequence if image else part.sequence + offset, **line}
                    print(msgspec.json.encode(line).decode() if as_json else as_text(line))
    finally:
        context.destroy(0)
