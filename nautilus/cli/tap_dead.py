"""What `nautilus tap --dead` prints, and the sending again of chosen letters."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from nautilus.bus.dead_letters import StoredLetter
    from nautilus.runtime.instance import Instance

LOOK_SECONDS = 0.1
_NAME = re.compile(r"([A-Za-z0-9_.-]+)/([1-9][0-9]{0,18})")

Wanted = Callable[["StoredLetter"], bool]


def wanted_of(peer: str | None, reason: str | None) -> Wanted:
    """Which letters are to be shown."""
    return lambda letter: (peer is None or letter.peer == peer) and (reason is None or letter.reason == reason)


def dead_letters(data: Path, wanted: Wanted, *, follow: bool) -> Iterator[dict[str, Any]]:
    """The letters of all processes, those that are there in order of time; with `follow` later ones as they come."""
    from nautilus.bus.dead_letters import LetterReader
    from nautilus.runtime.clock import pause
    from nautilus.runtime.letters import DIRECTORY

    place = data / DIRECTORY
    readers: dict[str, LetterReader] = {}
    said: dict[str, int] = {}
    while True:
        for path in sorted(place.iterdir()) if place.is_dir() else ():
            readers.setdefault(path.name, LetterReader(path))
        found = [
            (letter.at_ns, letter.number, name, letter)
            for name, reader in readers.items()
            for letter in reader.read()
            if wanted(letter)
        ]
        for *_, name, letter in sorted(found, key=lambda each: each[:3]):
            yield as_fields(name, letter)
        for name, reader in readers.items():
            if reader.damaged > said.get(name, 0):
                said[name] = reader.damaged
                click.echo(
                    f"letters of {name}: {reader.damaged} segments are damaged; the rest of them is lost", err=True
                )
        if not follow:
            return
        pause(LOOK_SECONDS)


def as_fields(process: str, letter: StoredLetter) -> dict[str, Any]:
    """A letter for a program."""
    import base64

    import msgspec

    from nautilus.bus.dead_letters import kind_name
    from nautilus.model.enums import Priority
    from nautilus.runtime.letters import message_in

    message = message_in(letter)
    fields: dict[str, Any] = {
        "id": f"{process}/{letter.number}",
        "at_ns": letter.at_ns,
        "reason": letter.reason,
        "peer": letter.peer,
        "kind": kind_name(letter.kind),
        "message_id": letter.id,
        "priority": Priority(letter.priority).name if letter.priority in list(Priority) else letter.priority,
        "sender": letter.sender,
        "to": letter.to,
        "deadline_ns": letter.deadline_ns,
        "trace_id": letter.trace_id,
        "bytes": letter.left_out or len(letter.payload),
        "type": type(message).__name__ if message is not None else "",
    }
    if message is not None:
        fields["message"] = {
            name: value if isinstance(value, str) else msgspec.to_builtins(value)
            for name, value in ((name, getattr(message, name)) for name in message.__struct_fields__)
        }
    else:
        fields["payload"] = base64.b64encode(letter.payload).decode()
    return fields


def as_text(fields: dict[str, Any]) -> str:
    """A letter for a person."""
    import datetime

    moment = datetime.datetime.fromtimestamp(fields["at_ns"] / 1e9)
    head = f"{moment:%Y-%m-%d %H:%M:%S.%f} {fields['id']} {fields['reason']}"
    what = f"{fields['kind']} {fields['type'] or 'payload'} of {fields['sender']} to {fields['to']} at {fields['peer']}"
    trace = f" trace_id={fields['trace_id']}" if fields["trace_id"] else ""
    return f"{head} {what} {fields['priority']} {fields['bytes']} bytes{trace}"


def replay(instance: Instance, names: Sequence[str]) -> list[dict[str, Any]]:
    """Have the processes that keep these letters send them again; what became of each."""
    import msgspec

    from nautilus.bus.client import AnswerError, NoAnswerError
    from nautilus.model.enums import Priority
    from nautilus.runtime.attach import attach
    from nautilus.runtime.letters import LETTERS, decode_outcomes

    chosen: dict[str, list[int]] = {}
    for name in names:
        match = _NAME.fullmatch(name)
        if match is None:
            raise click.UsageError(f"{name!r} is no letter; expected PROCESS/NUMBER, as `nautilus tap --dead` has them")
        chosen.setdefault(match[1], []).append(int(match[2]))
    known = {spec.name for spec in instance.plan().processes}
    for process in chosen:
        if process not in known:
            raise click.UsageError(f"no process {process!r}; expected one of {', '.join(sorted(known))}")
    found = []
    with attach(instance, "letters") as client:
        for process, numbers in chosen.items():
            try:
                payload = client.ask(process, LETTERS, msgspec.msgpack.encode(numbers), Priority.NORMAL)
            except (AnswerError, NoAnswerError) as error:
                why = str(error)
                found += [{"id": f"{process}/{number}", "sent_to": "", "refused": why} for number in numbers]
                continue
            found += [
                {
                    "id": f"{process}/{each.number}",
                    "sent_to": "" if each.refused else each.peer,
                    "refused": each.refused,
                }
                for each in decode_outcomes(payload)
            ]
    return found
