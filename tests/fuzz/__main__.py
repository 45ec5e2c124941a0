"""`python -m tests.fuzz NAME [--seconds N] [--seed N]`, or `python -m tests.fuzz --list`."""

from __future__ import annotations

import argparse
import sys

from tests.fuzz import drive

try:  # before what it is to watch
    import atheris
except ImportError:
    atheris = None

LED = tuple(f"nautilus.{package}" for package in ("runtime", "bus", "model", "policy", "gateway", "store"))
"""Where what is written in Python reads bytes of others: its edges lead the fuzzer too."""


def main() -> None:
    """Feed one target."""
    if atheris is not None:
        with atheris.instrument_imports(include=list(LED)):
            from tests.fuzz.targets import TARGETS
    else:
        from tests.fuzz.targets import TARGETS
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz")
    parser.add_argument("name", nargs="?", choices=sorted(TARGETS))
    parser.add_argument("--list", action="store_true", help="names of the targets")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--blind", action="store_true", help="without atheris")
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    if chosen.list or chosen.name is None:
        print(*TARGETS, sep="\n")
        return
    target = TARGETS[chosen.name]
    if atheris is not None and not chosen.blind:
        drive.led(target, chosen.name, chosen.seconds, atheris.Setup, atheris.Fuzz)
    else:
        drive.limited()
        fed = drive.blind(target, chosen.name, seconds=chosen.seconds, seed=chosen.seed)
        print(f"{chosen.name}: {fed} inputs, blindly", file=sys.stderr)


if __name__ == "__main__":
    main()
