"""Feeds a target, within limits of memory and time: blindly, from a seed, or led by atheris."""

from __future__ import annotations

import contextlib
import mmap
import os
import resource
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from types import FrameType

from tests.fuzz.target import Target

REGRESSIONS = Path(__file__).parent / "regressions"
ADDRESS_BYTES = 16 << 30  # beyond what the process has before the first input; a kernel reserves two and a half GiB
SECONDS = 20.0  # on the processor, for one input: how long the machine gives to others meanwhile is no fault of it
STILL_SECONDS = 1_200  # by the clock, for one that waits for ever
LONGEST = 4_096


class HangError(Exception):
    """An input took more of the processor than it may, or never ended."""


def limited() -> None:
    """Bound this process: address space (not under a sanitizer, whose shadow takes terabytes), and time of an input."""
    if not sanitized():
        used = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * resource.getpagesize()
        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (used + ADDRESS_BYTES, hard))
    signal.signal(signal.SIGALRM, _too_long)
    signal.signal(signal.SIGPROF, _too_long)


def sanitized() -> bool:
    """Whether a sanitizer's runtime is in this process."""
    return "san" in os.environ.get("LD_PRELOAD", "")


def _too_long(number: int, frame: FrameType | None) -> None:
    what = f"{SECONDS:g} s on the processor" if number == signal.SIGPROF else f"{STILL_SECONDS} s"
    raise HangError(f"an input took longer than {what}")


@contextlib.contextmanager
def watched() -> Iterator[None]:
    """Time of one input on the processor.

    A loop in compiled code holds the signal up: then another timer, twice as late, ends the process (SIGVTALRM).
    """
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    signal.setitimer(signal.ITIMER_VIRTUAL, 2 * SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.setitimer(signal.ITIMER_PROF, 0)


def feed(target: Target, data: bytes) -> None:
    """One input. The exceptions that are answers are swallowed, any other one is a finding."""
    signal.alarm(STILL_SECONDS)
    try:
        with watched(), contextlib.suppress(*target.answers):
            target.run(data)
    finally:
        signal.alarm(0)


def regressions(name: str) -> list[bytes]:
    """Inputs that once failed."""
    return [path.read_bytes() for path in sorted((REGRESSIONS / name).glob("*"))]


def inputs(target: Target, name: str, seed: int) -> Iterator[bytes]:
    """Inputs that once failed, sound ones, then changes of these without end; the same seed gives the same."""
    random = Random(f"{name} {seed}")
    known = [*regressions(name), *target.seeds()]
    yield from known
    pool = [data for data in known if data] or [b"\0"]
    while True:
        yield changed(random, random.choice(pool), pool)


def changed(random: Random, data: bytes, pool: list[bytes]) -> bytes:
    """Bits flipped, bytes written over, put in, doubled or taken out, or a part of another input."""
    out = bytearray(data)
    for _ in range(random.choice((1, 1, 1, 2, 4, 16))):
        at = random.randrange(len(out) + 1)
        what = random.randrange(8)
        if what == 0 and at < len(out):
            out[at] ^= 1 << random.randrange(8)
        elif what == 1:
            out[at : at + 1] = random.randbytes(1)
        elif what == 2:
            wide = random.choice((0, 1, -1, 127, 1 << 15, 1 << 31, 1 << 40, (1 << 63) - 1, -(1 << 63)))
            size = random.choice((1, 2, 4, 8))
            number = (wide & (1 << 8 * size) - 1).to_bytes(size, random.choice(("little", "big")))
            out[at : at + size] = number
        elif what == 3:
            out[at:at] = random.randbytes(random.randrange(1, 24))
        elif what == 4:
            del out[at : at + random.randrange(1, 24)]
        elif what == 5:
            end = at + random.randrange(1, 200)
            out[at:at] = out[at:end]
        elif what == 6:
            other = random.choice(pool)
            begin = random.randrange(len(other))
            out[at : at + random.randrange(200)] = other[begin : begin + random.randrange(200)]
        elif at < len(out):
            out[at] = random.choice(b'0123456789.,:;"{}[]-+eE \n\\AFUDP')
    return bytes(out[:LONGEST])


def blind(target: Target, name: str, *, executions: int = 1 << 62, seconds: float = 1e9, seed: int = 0) -> int:
    """Feed so many inputs, or as many as time allows; the number of those that were fed. What fails is kept."""
    end, fed = time.monotonic() + seconds, 0
    for data in inputs(target, name, seed):
        if fed >= executions or time.monotonic() >= end:
            break
        try:
            feed(target, data)
        except BaseException:
            print(f"{name}: failed on the input {keep(name, data)}", file=sys.stderr)
            raise
        fed += 1
    return fed


def keep(name: str, data: bytes) -> Path:
    """Write an input that failed where it can be looked at; a person moves it to the regressions."""
    place = Path("build") / "fuzz-findings" / name
    place.mkdir(parents=True, exist_ok=True)
    path = place / f"{hash(data) & (1 << 64) - 1:016x}"
    path.write_bytes(data)
    return path


def led(target: Target, name: str, seconds: float, setup: Callable[..., object], fuzz: Callable[[], object]) -> None:
    """Let libFuzzer choose inputs by the edges that they reach; the corpus stays under build/.

    Its own limit of time goes by the clock, so it is the last resort alone. The input that runs is in the file
    ``running`` of the findings, for the case that it ends the process.
    """
    corpus = Path("build") / "fuzz-corpus" / name
    findings = Path("build") / "fuzz-findings" / name
    corpus.mkdir(parents=True, exist_ok=True)
    findings.mkdir(parents=True, exist_ok=True)
    for number, data in enumerate([*regressions(name), *target.seeds()]):
        (corpus / f"seed-{number}").write_bytes(data)

    running = findings / "running"
    running.write_bytes(bytes(LONGEST))
    descriptor = os.open(running, os.O_RDWR)
    note = mmap.mmap(descriptor, LONGEST)
    os.close(descriptor)

    def one(data: bytes) -> None:
        note[: len(data)] = data
        with watched(), contextlib.suppress(*target.answers):
            target.run(data)

    signal.signal(signal.SIGPROF, _too_long)

    arguments = [
        sys.argv[0], str(corpus), f"-max_total_time={max(1, int(seconds))}", f"-max_len={LONGEST}",
        f"-timeout={STILL_SECONDS}", "-rss_limit_mb=3072", "-malloc_limit_mb=1024", f"-artifact_prefix={findings}/",
        "-print_final_stats=1",
    ]  # fmt: skip
    setup(arguments, one)
    fuzz()
