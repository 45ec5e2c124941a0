"""A process that asks FRED, as many times as it may: ``python -m tests.kit.source_process '{"url": ..., ...}'``.

It prints one line for each question: ``ok``, or the code of the error. With ``"wait": true`` it waits for a line of its
input before each question.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

from nautilus.adapters.sources import open_source
from nautilus.adapters.sources.config import FredConfig
from nautilus.adapters.sources.errors import SourceError
from nautilus.model.datasets import DataKind, GetData


async def ask(told: dict[str, Any]) -> None:
    """Ask, and say how it went."""
    config = FredConfig(base_url=f"{told['url']}/fred", key=told["key"], **told["config"])
    source = open_source("fred", config, directory=Path(told["directory"]))
    print("ready", flush=True)
    try:
        for _ in range(told["count"]):
            if told.get("wait") and not sys.stdin.readline():
                return
            try:
                await source.fetch(GetData(DataKind.LISTING, "children:125"))
                print("ok", flush=True)
            except SourceError as error:
                print(error.code, flush=True)
    finally:
        await source.close()


if __name__ == "__main__":
    asyncio.run(ask(json.loads(sys.argv[1])))
