"""A Redis of the instance's own: started with it, started again when it is killed, gone with it."""

from __future__ import annotations

from pathlib import Path

import pytest

from nautilus.bus.redis_binary import find_redis
from nautilus.model.errors import ConfigError
from nautilus.runtime.redis_process import answers
from tests.kit.platform import demo

SETTINGS = ("bus.redis_star=start", "bus.redis_mesh=start")


@pytest.mark.long
def test_both_servers_run_with_the_instance_and_one_that_is_killed_is_started_again() -> None:
    with demo(settings=SETTINGS) as platform:
        directory = Path(platform.instance.directory)
        sockets = [directory / "redis-star", directory / "redis-mesh"]
        assert all(answers(str(path)) for path in sockets)
        platform.kill("redis-mesh")
        platform.wait(lambda: platform.restarts("redis-mesh") == 1 and platform.is_ready("redis-mesh"), "it is back")
        assert answers(str(sockets[1]))
    assert not any(path.exists() for path in sockets)


def test_a_binary_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="nowhere"):
        find_redis(str(tmp_path / "nowhere"))
    assert Path(find_redis()).is_file()
