"""Settings of the HTTP ports."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta


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
        At once, on all ports of a process.
    """

    hosts: tuple[str, ...] = ()
    body_kib: Annotated[int, Meta(ge=1, le=1 << 20)] = 1024
    body_seconds: Annotated[float, Meta(gt=0, le=3600)] = 10.0
    answer_seconds: Annotated[float, Meta(gt=0, le=3600)] = 10.0
    idle_seconds: Annotated[float, Meta(gt=0, le=3600)] = 75.0
    connections: Annotated[int, Meta(ge=1, le=65536)] = 512
