"""The processes of a history whose buses fall back to Redis: the same, with a mirror, a reader of it, a carrier.

Further settings: `redis` (URL), of the star or of the mesh. The order "path" is answered with the paths that are taken,
as JSON: {peer: path}.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from nautilus.bus.allowed import paths_of
from nautilus.bus.carriers import Carrier
from nautilus.bus.redis_carrier import RedisCarrier
from nautilus.bus.redis_star import StarMirror, StarReader
from nautilus.bus.star_paths import StarPaths
from nautilus.core.clock import now_ns
from nautilus.model.commands import CancelOrder, ReplaceOrder, SubmitOrder
from nautilus.model.message import Message
from nautilus.model.queries import GetPositions
from tests.kit.history import Log
from tests.kit.history_mesh_roles import MeshNode
from tests.kit.history_process import Clock
from tests.kit.history_star_roles import HEARTBEAT_NS, Hub, Reader
from tests.kit.order_messages import limit_order

HUB = "hub"
BARRED, FREE = b"never-in-redis", b"by-any-path"
"""Words in messages: what must not be found in Redis, and what may."""


class RedisHub(Hub):
    """Also copies its frames into Redis."""

    _mirror: StarMirror

    def mirror(self) -> Callable[[bytes], object]:
        self._mirror = StarMirror(self.settings["redis"], HUB, now_ns)
        self._mirror.start()
        return self._mirror.offer

    def close(self) -> None:
        super().close()
        self._mirror.close()


class RedisReader(Reader):
    """Is fed from Redis while no heartbeat comes over ZeroMQ."""

    def __init__(self, settings: Mapping[str, Any], log: Log, clock: Clock, epoch: int) -> None:
        super().__init__(settings, log, clock, epoch)
        self._paths = StarPaths(
            self._context,
            settings["endpoint"],
            self._subscriber,
            HUB,
            now_ns,
            redis=StarReader(settings["redis"], HUB, settings["name"], now_ns),
            heartbeat_ns=HEARTBEAT_NS,
        )

    def sockets(self) -> Iterable[Any]:
        return [*super().sockets(), self._paths.socket, *self._paths.descriptors()]

    def turn(self) -> None:
        self._paths.turn()
        super().turn()

    def obey(self, word: str, argument: str) -> str:
        return json.dumps({HUB: self._paths.failover.path}) if word == "path" else super().obey(word, argument)

    def close(self) -> None:
        self._paths.close()
        super().close()


class RedisNode(MeshNode):
    """Sends over Redis what may go there while ZeroMQ does not reach a peer; one message in four may not."""

    def fallbacks(self) -> Sequence[Carrier]:
        return (RedisCarrier(self.settings["redis"], self.settings["name"], now_ns),)

    def content(self) -> tuple[bytes, int]:
        message = self._random.choice(MESSAGES)
        return BARRED if isinstance(message, SubmitOrder | ReplaceOrder) else FREE, paths_of(message)

    def obey(self, word: str, argument: str) -> str:
        if word == "path":
            return json.dumps({peer: paths.path for peer, paths in self._mesh.paths.items()})
        return super().obey(word, argument)


def _messages() -> list[Message]:
    replace = ReplaceOrder(account_id=1, instrument_id=1, order_id=1, quantity=2, price_ticks=101)
    cancel = CancelOrder(account_id=1, instrument_id=1, order_id=1)
    return [limit_order(1), replace, cancel, cancel, GetPositions(), GetPositions(), GetPositions(), GetPositions()]


MESSAGES = _messages()
"""Of these the bus is asked which paths they may take: one in four enters a market, one in four takes away."""
