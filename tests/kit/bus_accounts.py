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
    """No process settled more than it sent, and what was delivered more than once was never counted as received."""
    complaints = []
    for process, table in counters.items():
        count = {name: table.get(f"mesh.{name}", 0) for name in ("sent", "acknowledged", "dead_lettered", "late")}
        settled = count["acknowledged"] + count["dead_lettered"] - count["late"]
        if settled > count["sent"]:
            complaints.append(f"{process} sent {count['sent']} messages, {settled} are settled")
    sent = sum(table.get("mesh.sent", 0) for table in counters.values())
    received = sum(table.get("mesh.received", 0) for table in counters.values())
    again = sum(table.get("mesh.retried", 0) for table in counters.values())
    if received > sent + again:
        complaints.append(f"{received} messages were received, {sent} sent and {again} sent again")
    return complaints
