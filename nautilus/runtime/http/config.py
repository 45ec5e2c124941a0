"""Settings of the HTTP ports."""

from __future__ import annotations

import re
from typing import Annotated

import msgspec
from msgspec import Meta

from nautilus.model.errors import ConfigError

_NAME = re.compile(r"[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]")


class HttpConfig(msgspec.Struct, frozen=True):
    """Every HTTP port of the platform.

    Parameters
    ----------
    hosts
        More names by which this machine may be asked, beside those that it gives itself.
    body_kib
        Largest body of a request.
    body_seconds
        Until a body has to be there.
    answer_seconds
        Until an engine has to have answered.
    idle_seconds
        An unused connection is closed after so long.
    connections
        At once, on each port; less where the process may not open so many files.
    http2
        Speak HTTP/2 with clients that ask for it: over TLS, and where they begin with it.
    """

    hosts: tuple[str, ...] = ()
    body_kib: Annotated[int, Meta(ge=1, le=1 << 20)] = 1024
    body_seconds: Annotated[float, Meta(gt=0, le=3600)] = 10.0
    answer_seconds: Annotated[float, Meta(gt=0, le=3600)] = 10.0
    idle_seconds: Annotated[float, Meta(gt=0, le=3600)] = 75.0
    connections: Annotated[int, Meta(ge=1, le=65536)] = 512
    http2: bool = True

    def __post_init__(self) -> None:
        for name in self.hosts:
            if not _NAME.fullmatch(name):
                # A port is no part of it: every port of the platform goes by the same names.
                raise ConfigError(
                    f"hosts: {name!r}",
                    where="http",
                    expected='a name without scheme and port, such as "prometheus.example" or "[fe80::1]"',
                )
