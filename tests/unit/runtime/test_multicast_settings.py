"""Settings of multicast and compression: off unless said, refused where they are no place or it would be readable."""

from __future__ import annotations

import msgspec
import pytest

from nautilus.bus.multicast import MulticastPlace
from nautilus.model.errors import ConfigError
from nautilus.runtime.bus_settings import BusConfig

GROUP = "239.1.2.3:7010"


def test_nothing_is_compressed_or_sent_by_multicast_unless_it_is_said() -> None:
    bus = BusConfig()
    assert bus.compression == bus.multicast == ""
    assert bus.multicast_place is None


def test_a_place_of_multicast_has_all_that_the_settings_say() -> None:
    bus = BusConfig(multicast=GROUP, multicast_interface="10.1.0.0/16", multicast_ttl=2, multicast_plain=True)
    assert bus.multicast_place == MulticastPlace("239.1.2.3", 7010, "10.1.0.0/16", 2, 1500, True)
    here = BusConfig(multicast=GROUP, multicast_interface="127.0.0.1", multicast_ttl=0, plain_loopback=True)
    assert here.multicast_place is not None
    assert here.multicast_place.stays


@pytest.mark.parametrize(
    "given",
    [
        {"multicast": GROUP},
        {"multicast": GROUP, "plain_loopback": True},
        {"multicast": GROUP, "multicast_interface": "127.0.0.1", "multicast_ttl": 0},
        {"multicast": "10.0.0.1:7010", "multicast_plain": True},
        {"multicast": "239.1.2.3", "multicast_plain": True},
    ],
)
def test_other_settings_are_refused(given) -> None:
    with pytest.raises(ConfigError, match="multicast"):
        BusConfig(**given)


@pytest.mark.parametrize("given", [{"multicast_mtu": 100}, {"multicast_ttl": 256}, {"compression": "gzip"}])
def test_values_out_of_range_are_refused(given) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(given, BusConfig)
