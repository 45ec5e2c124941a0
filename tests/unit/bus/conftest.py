"""What tests of the mesh share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.kit.bus import Node


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Callable[..., Node]]:
    with ExitStack() as stack:

        def make(name: str, *arguments: Any, **options: Any) -> Node:
            made = Node(tmp_path, name, *arguments, **options)
            stack.callback(made.close)
            return made

        yield make
