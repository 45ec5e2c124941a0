"""A network of a test's own, or a test that is skipped with the reason."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from perf.network import Cable, Network, own_network, two_hosts, why_no_cable, why_not


def network_or_skip() -> Iterator[Network]:
    """Body of a fixture."""
    reason = why_not()
    if reason:
        pytest.skip(reason)
    with own_network() as network:
        yield network


def cable_or_skip() -> Iterator[Cable]:
    """The same with two hosts."""
    reason = why_no_cable()
    if reason:
        pytest.skip(reason)
    with two_hosts() as cable:
        yield cable
