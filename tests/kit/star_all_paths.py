"""A star with all its paths: ZeroMQ over wires that can be cut, Redis and HTTP beside them; both ends in one thread."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path
from typing import Any

import zmq

from nautilus.bus import Publisher, Subscriber, make_context
from nautilus.bus.backlog import FrameBuffer
from nautilus.bus.base import HEARTBEAT, new_socket
from nautilus.bus.failover import PathChange
from nautilus.bus.http_star import HttpStar
from nautilus.bus.redis_star import StarMirror, StarReader
from nautilus.bus.replayer import Replayer
from nautilus.bus.star_paths import StarPaths
from nautilus.core.clock import now_ns
from nautilus.core.counters import Counters
from nautilus.model.enums import EngineState
from nautilus.model.topics import QUOTES, Topic
from nautilus.runtime.http.access import AccessRules
from nautilus.runtime.http.app import EngineApp
from nautilus.runtime.http.config import HttpConfig
from nautilus.runtime.http.server import HttpServer
from nautilus.runtime.http.sockets import bind_socket
from nautilus.runtime.http.star_frames import star_route
from nautilus.runtime.metrics import EngineView
from tests.kit.redis_server import RedisServer
from tests.kit.relay import Relay
from tests.kit.star_process import Source

SECOND = 1_000_000_000
TOKEN = "token-of-this-test"


async def _nobody(engine: str, message: object) -> Any:
    raise AssertionError("no operation is asked here")


class StarPort:
    """The port of the hub's engine, as a process with a hub has it."""

    def __init__(self, star: Any, token: str | None = TOKEN) -> None:
        self._counters, self._config = Counters(64), HttpConfig()
        view = EngineView("marketdata", "hub", self._counters, EngineState.RUNNING)
        rules = AccessRules(token, config=self._config)
        self._app = EngineApp(view, (), _nobody, rules, config=self._config, routes=[star_route(lambda: star)])
        self._server: HttpServer | None = None
        self.port = 0

    def start(self) -> None:
        """Listen, on the port that it had before."""
        listener = bind_socket("127.0.0.1", self.port, "marketdata")
        self._app.stopping = False
        self._server = HttpServer({"marketdata": (self._app, listener)}, self._counters, self._config)
        self._server.start()
        self.port = self._server.ports["marketdata"]

    def stop(self) -> None:
        """Listen no longer."""
        if self._server is not None:
            self._server.stop(0.1)
            self._server = None


class Star:
    """A publisher and a subscriber in one thread, with a wire between them and other paths beside it."""

    def __init__(
        self,
        directory: Path,
        stack: ExitStack,
        *,
        redis: bool = True,
        http: bool = False,
        frames: int = 65_536,
        topics: tuple[Topic, ...] = (QUOTES,),
        **options: Any,
    ) -> None:
        self.stack, self.directory, self._frames = stack, directory, frames
        self.server = RedisServer(directory / "r")
        if redis:
            stack.callback(self.server.kill)
            self.server.start()
        self.context = make_context()
        stack.callback(self.context.destroy, 0)
        self.mirror: StarMirror | None = None
        if redis:
            self.mirror = StarMirror(self.server.url, "marketdata", now_ns)
            stack.callback(self.mirror.close)
            self.mirror.start()
        self.beat = b""
        self.hub: Publisher
        self.replayer: Replayer
        self.begin(1)
        stack.callback(self.end_hub)
        self.port = StarPort(self)
        source = None
        if http:
            stack.callback(self.port.stop)
            self.port.start()
            source = HttpStar(lambda: [self.port.port], TOKEN, now_ns)
        self.wires = [Relay(directory / f"{name}.wire", directory / name) for name in ("star", "replay")]
        for wire in self.wires:
            stack.callback(wire.close)
        self.changes: list[PathChange] = []
        self.gaps: list[tuple[int, int, int]] = []
        endpoint = f"ipc://{directory}/star.wire"
        self.subscriber = Subscriber(
            self.context,
            endpoint,
            topics,
            clock=now_ns,
            on_gap=lambda topic, stream, first, last: self.gaps.append((stream & 0xFFFF, first, last)),
            replay=f"ipc://{directory}/replay.wire",
            **options,
        )
        stack.callback(self.subscriber.close)
        self.paths = StarPaths(
            self.context,
            endpoint,
            self.subscriber,
            "marketdata",
            now_ns,
            redis=StarReader(self.server.url, "marketdata", "risk", now_ns) if redis else None,
            http=source,
            on_path=self.changes.append,
        )
        stack.callback(self.paths.close)
        self.source = Source(3)
        self.had: dict[int, list[int]] = {1: [], 2: [], 3: []}

    def begin(self, epoch: int) -> None:
        """A life of the hub; the source goes on."""
        buffer = FrameBuffer(self._frames)
        endpoint = f"ipc://{self.directory}/star"
        self.hub = Publisher(self.context, endpoint, epoch=epoch, clock=now_ns, buffer=buffer, tap=self._tap)
        self.replayer = Replayer(
            self.context, f"ipc://{self.directory}/replay", epoch=epoch, clock=now_ns, frames=buffer
        )

    def end_hub(self) -> None:
        """End the hub's life."""
        self.replayer.close()
        self.hub.close()

    def _tap(self, frame: bytes) -> None:
        if frame[0] == HEARTBEAT:
            self.beat = frame
        if self.mirror is not None:
            self.mirror.offer(frame)

    def dial(self) -> Any:
        """A DEALER to the replayer, as the hub's process has one."""
        socket = new_socket(self.context, zmq.DEALER)
        socket.connect(self.replayer.endpoint)
        return socket

    def missing(self) -> list[tuple[int, int, int]]:
        """Gaps in what was handed out, in order and once, of each instrument."""
        found: list[tuple[int, int, int]] = []
        for instrument, had in self.had.items():
            assert had == sorted(set(had))
            found += [(instrument, x + 1, y - 1) for x, y in pairwise(had) if y != x + 1]
        return found

    def check_accounts(self) -> None:
        """Of each stream: all that was published is settled, and it is known what became of it."""
        for stream, state in self.subscriber.streams.items():
            last = self.hub.last_sequences()[stream]
            counted = state.delivered + state.conflated + state.snapshotted + state.lost + state.unknown
            assert (state.settled, counted) == (last, last - (state.joined - 1))

    def turn(self, publish: bool = True) -> None:
        self.hub.poll(now_ns())
        if publish:
            for instrument in self.had:
                self.hub.publish(self.source.quotes(instrument, 2))
        self.replayer.poll()
        items: list[Any] = [*self.subscriber.sockets, self.paths.socket, *self.paths.descriptors()]
        zmq.zmq_poll([(item, zmq.POLLIN) for item in items], 1)
        self.paths.turn()
        for _, records in self.subscriber.drain():
            if "update_id" in (records.dtype.names or ()):
                self.had[int(records["instrument_id"][0])] += records["update_id"].tolist()

    def cut(self) -> None:
        for wire in self.wires:
            wire.cut()

    def mend(self) -> None:
        for wire in self.wires:
            wire.mend()

    def until(self, so: Callable[[], object], publish: bool = True) -> None:
        end_ns = now_ns() + 300 * SECOND
        while not so():
            assert now_ns() < end_ns, (self.paths.failover.health(), self.changes)
            self.turn(publish)

    def until_path(self, path: str) -> None:
        self.until(lambda: self.paths.failover.path == path)

    def flow(self) -> None:
        before = self.subscriber.delivered
        self.until(lambda: self.subscriber.delivered > before + 300)

    def end(self) -> None:
        """Until the reader knows all that was published."""
        self.until(
            lambda: all(
                self.subscriber.positions().get(stream, (0, 0, 0))[2] == last
                for stream, last in self.hub.last_sequences().items()
            ),
            publish=False,
        )
