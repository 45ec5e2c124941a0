"""Compile ahead what engines of analysis compute with: `python -m nautilus.runtime.warming`, as `make build` does.

numba keeps what it compiled beside the sources, or under the user's cache where that is not writable
(`NUMBA_CACHE_DIR`); a process then loads in milliseconds what compiling takes many seconds for.
"""

from __future__ import annotations

from nautilus.engines import CATALOGUE
from nautilus.model.errors import ConfigError


def main() -> None:
    """Call whatever any engine says that it needs."""
    engines = [entry.load() for entry in CATALOGUE.values()]
    for function in dict.fromkeys(each for engine in engines for each in (*engine.warms_here, *engine.warms)):
        try:
            function()
        except ConfigError as error:  # of a package that is left out: its answers say so
            print(f"{function.__module__}: {error}")


if __name__ == "__main__":
    main()
