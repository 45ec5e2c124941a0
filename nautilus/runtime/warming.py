"""Compile ahead what engines of analysis compute with: `python -m nautilus.runtime.warming`, as `make build` does.

numba keeps what it compiled beside the sources, or under the user's cache where that is not writable
(`NUMBA_CACHE_DIR`); a process then loads in milliseconds what compiling takes many seconds for.
"""

from __future__ import annotations

import importlib
import pkgutil
from pathlib import Path

import nautilus.maths


def main() -> None:
    """Import each module of `maths` that has compiled functions: their signatures are explicit."""
    for module in pkgutil.walk_packages(nautilus.maths.__path__, "nautilus.maths."):
        spec = module.module_finder.find_spec(module.name, None)
        source = Path(spec.origin).read_text("utf-8") if spec is not None and spec.origin else ""
        if "from numba import" in source:
            importlib.import_module(module.name)


if __name__ == "__main__":
    main()
