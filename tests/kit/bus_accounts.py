"""The accounts of the bus of a running platform: what both ends count must agree, whatever was killed meanwhile."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from nautilus.bus.positions import lacking_between

Tables = Mapping[str, Mapping[str, int]]


def star_complaints(positions: Iterable[Mapping[str, int]], counters: Tables) -> list[str]:
    """What readers passed over in the hub's present epoch is among what they counted as lost.

    Parameters
    ----------
    positions, counters
        Tables of each process (`nautilus.runtime.status.Facts`). They are read while they change: what is complained of
        for a moment only is none.
    """
    found = list(positions)
    complaints = []
    if sum(bool(table.get("hub.epoch")) for table in found) != 1:
        complaints.append("the star has not one hub")
    missed, told = lacking_between(found).missed, sum(table.get("star.lost", 0) for table in counters.values())
    if missed > told:
        complaints.append(f"{missed} records were passed over, {told} are counted as lost")
    return complaints


def mesh_complaints(counters: Tables) -> list[str]:
    """No process has more acknowledged than it sent: an acknowledgement counts once, whatever came how often.

    What was received is not compared: who is killed may have sent what it did not count yet.
    """
    return [
        f"{process} sent {table.get('mesh.sent', 0)} messages, {table.get('mesh.acknowledged', 0)} are acknowledged"
        for process, table in counters.items()
        if table.get("mesh.acknowledged", 0) > table.get("mesh.sent", 0)
    ]
