"""Logs: one schema for all, files of bounded size, and a reader that merges, filters and follows them."""

import errno
import logging
import os
import threading
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest
import structlog

from nautilus.model.errors import VenueError
from nautilus.runtime.logreader import Filter, follow, read, text_of
from nautilus.runtime.logs import LogFile, configure, get_logger, iso_time
from nautilus.runtime.platform import LoggingConfig


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    logging.captureWarnings(False)
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


@pytest.fixture
def counted() -> Callable[[], int]:
    """A clock that counts seconds from 2026."""
    moments = iter(range(1_767_225_600_000_000_001, 2**63, 1_000_000_000))
    return lambda: next(moments)


def _lost(lines: int) -> bytes:
    return b"%d lost\n" % lines


def _lines(data: Path, process: str = "risk") -> list[dict[str, object]]:
    text = (data / "logs" / f"{process}.jsonl").read_text()
    assert text.endswith("\n")
    return [msgspec.json.decode(line) for line in text.splitlines()]


def test_every_line_has_time_level_event_and_process_first(tmp_path: Path, counted: Callable[[], int]) -> None:
    configure("risk", tmp_path, clock=counted)
    get_logger(engine="risk").warning("limit reached", trace_id="7f", limit=5)
    text = (tmp_path / "logs" / "risk.jsonl").read_text()
    assert text == (
        '{"time":"2026-01-01T00:00:00.000000001Z","level":"warning","event":"limit reached","process":"risk",'
        '"engine":"risk","trace_id":"7f","limit":5}\n'
    )


def test_libraries_and_warnings_take_the_same_way(tmp_path: Path) -> None:
    configure("risk", tmp_path)
    logging.getLogger("nautilus.runtime").error("%s: %s", "on_trade", "boom")
    logging.getLogger("fastapi").info("a request")
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("careful", stacklevel=1)
    error, warning = _lines(tmp_path)
    assert (error["event"], error["level"], error["logger"]) == ("on_trade: boom", "error", "nautilus.runtime")
    assert (warning["level"], warning["logger"]) == ("warning", "py.warnings")


def test_what_is_below_the_level_is_not_written(tmp_path: Path) -> None:
    configure("risk", tmp_path, LoggingConfig(level="warning"))
    get_logger().info("a")
    get_logger().debug("b")
    logging.getLogger("library").info("c")
    get_logger().warning("d")
    assert [line["event"] for line in _lines(tmp_path)] == ["d"]


def test_an_exception_is_one_line_with_its_code_and_traceback(tmp_path: Path) -> None:
    class FormatError(VenueError):
        code = "venue.format"

    configure("risk", tmp_path)
    for log in (get_logger(), logging.getLogger("library")):
        try:
            raise FormatError("bad row", where="x.csv:3")
        except VenueError:
            log.exception("failed")
    for line in _lines(tmp_path):
        assert (line["event"], line["level"], line["code"]) == ("failed", "error", "venue.format")
        assert line["error"] == "FormatError: x.csv:3: bad row"
        assert "raise FormatError" in str(line["traceback"])


def test_fields_of_a_record_and_none_of_its_length_are_taken_over(tmp_path: Path) -> None:
    configure("risk", tmp_path)
    try:
        raise ValueError("x" * 900_000)
    except ValueError as error:
        fields = {"engine": "risk", "trace_id": "7f", "code": "internal", "count": 3}
        logging.getLogger("nautilus").error("failed", exc_info=error, extra={"fields": fields})
    (line,) = _lines(tmp_path)
    assert (line["engine"], line["trace_id"], line["code"], line["count"]) == ("risk", "7f", "internal", 3)
    assert "raise ValueError" in str(line["traceback"])
    assert len(str(line)) < 5_000


def test_lines_that_a_full_disk_did_not_take_are_counted_and_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, write, room = configure("risk", tmp_path), os.write, [0]

    def full(descriptor: int, line: bytes) -> int:
        if room[0] >= len(line):
            return write(descriptor, line)
        if not room[0]:
            raise OSError(errno.ENOSPC, "no space")
        return write(descriptor, line[: room[0]])

    get_logger().info("before")
    monkeypatch.setattr(os, "write", full)
    get_logger().info("lost")
    room[0] = 20  # a part of a line
    get_logger().info("lost too")
    assert file.dropped == 2
    room[0] = 1 << 20
    get_logger().info("after")
    told, after = _lines(tmp_path)[1:]
    assert (told["level"], told["lost"], after["event"], file.dropped) == ("error", 2, "after", 0)


def test_a_value_without_a_form_in_json_loses_no_line(tmp_path: Path) -> None:
    configure("risk", tmp_path)
    get_logger().info("odd", thing=object(), big=1 << 90, keys={(1, 2): 3}, path=Path("x"))
    (line,) = _lines(tmp_path)
    assert line["event"] == "odd"
    assert "object at" in str(line["thing"])


def test_a_full_file_gives_way_and_only_some_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "risk.jsonl"
    log = LogFile(path, file_bytes=100, files=2, lost=_lost)
    for number in range(50):
        log.write(b"%04d5678\n" % number)
    log.close()
    log.write(b"after the end\n")
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["risk.jsonl", "risk.jsonl.1", "risk.jsonl.2"]
    contents = [(tmp_path / name).read_bytes() for name in ("risk.jsonl.2", "risk.jsonl.1", "risk.jsonl")]
    assert all(len(content) <= 100 for content in contents)
    numbers = [int(line[:4]) for line in b"".join(contents).splitlines()]
    assert numbers == list(range(numbers[0], 50))


def test_without_old_files_a_full_one_is_begun_anew(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "risk.jsonl", file_bytes=20, files=0, lost=_lost)
    for _ in range(5):
        log.write(b"123456789\n")
    log.close()
    assert [entry.name for entry in tmp_path.iterdir()] == ["risk.jsonl"]
    assert (tmp_path / "risk.jsonl").stat().st_size == 10


def test_a_log_goes_on_where_the_last_process_ended(tmp_path: Path) -> None:
    for event in ("first life", "second life"):
        configure("risk", tmp_path).path.chmod(0o600)
        get_logger().info(event)
    assert [line["event"] for line in _lines(tmp_path)] == ["first life", "second life"]


def test_lines_of_several_threads_never_mix(tmp_path: Path) -> None:
    configure("risk", tmp_path, LoggingConfig(file_mib=1))

    def work(number: int) -> None:
        for count in range(200):
            get_logger().info("x" * 100, thread=number, count=count)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    lines = _lines(tmp_path)
    assert len(lines) == 800
    for number in range(4):
        assert [line["count"] for line in lines if line["thread"] == number] == list(range(200))


def _write(directory: Path, process: str, *lines: tuple[int, str, dict[str, object]]) -> None:
    directory.mkdir(exist_ok=True)
    with open(directory / f"{process}.jsonl", "ab") as file:
        for second, event, fields in lines:
            line = {"time": iso_time(second * 10**9), "level": "info", "event": event, "process": process, **fields}
            file.write(msgspec.json.encode(line) + b"\n")


def test_files_of_all_processes_are_merged_by_time(tmp_path: Path) -> None:
    _write(tmp_path, "core", (1, "a", {}), (4, "d", {}))
    _write(tmp_path, "risk", (2, "b", {}))
    (tmp_path / "risk.jsonl").rename(tmp_path / "risk.jsonl.1")
    _write(tmp_path, "risk", (3, "c", {}), (5, "e", {}))
    assert [line["event"] for line in read(tmp_path)] == ["a", "b", "c", "d", "e"]
    assert [line["event"] for line in read(tmp_path, last=2)] == ["d", "e"]
    assert list(read(tmp_path / "absent")) == []


def test_a_line_that_cannot_be_read_is_shown_and_one_that_is_not_finished_is_not(tmp_path: Path) -> None:
    _write(tmp_path, "core", (1, "a", {}))
    with open(tmp_path / "core.jsonl", "ab") as file:
        file.write(b'{"time": 5}\nnot json\n{"time":"20')
    lines = list(read(tmp_path))
    assert [line["event"] for line in lines] == ["a", '{"time": 5}', "not json"]
    assert {line.get("code") for line in lines[1:]} == {"log.unreadable"}


@pytest.mark.parametrize(
    ("wanted", "events"),
    [
        (Filter(), ["a", "b", "c", "d"]),
        (Filter(processes=("risk",)), ["c", "d"]),
        (Filter(engines=("portfolio",)), ["d"]),
        (Filter(level="warning"), ["b", "c"]),
        (Filter(code="venue"), ["c"]),
        (Filter(code="venue.form"), []),
        (Filter(trace_id="7"), ["b", "d"]),
        (Filter(since_ns=2 * 10**9), ["b", "c", "d"]),
        (Filter(processes=("risk", "core"), trace_id="7", level="warning"), ["b"]),
    ],
)
def test_lines_are_chosen_by_what_they_say(tmp_path: Path, wanted: Filter, events: list[str]) -> None:
    _write(tmp_path, "core", (1, "a", {}), (2, "b", {"level": "warning", "trace_id": 7}))
    _write(
        tmp_path,
        "risk",
        (3, "c", {"level": "error", "code": "venue.format"}),
        (4, "d", {"engine": "portfolio", "trace_id": "7"}),
    )
    assert [line["event"] for line in read(tmp_path, wanted)] == events


def test_followed_logs_go_on_across_new_and_full_files(tmp_path: Path) -> None:
    _write(tmp_path, "core", *((second, f"old {second}", {}) for second in range(1, 6)))
    steps = iter(
        [
            lambda: None,
            lambda: _write(tmp_path, "core", (6, "new", {})),
            lambda: _write(tmp_path, "risk", (7, "another process", {})),
            lambda: (
                _write(tmp_path, "core", (8, "last of the full file", {})),
                (tmp_path / "core.jsonl").rename(tmp_path / "core.jsonl.1"),
                _write(tmp_path, "core", (9, "first of the next", {})),
            ),
        ]
    )

    def until() -> bool:
        step = next(steps, None)
        if step is not None:
            step()
        return step is None

    seen = [line["event"] for line in follow(tmp_path, last=2, until=until)]
    assert seen == ["old 4", "old 5", "new", "another process", "last of the full file", "first of the next"]


def test_a_half_written_line_is_followed_once_it_is_whole(tmp_path: Path) -> None:
    _write(tmp_path, "core", (1, "a", {}))
    whole = (tmp_path / "core.jsonl").read_bytes().replace(b'"a"', b'"b"')
    seen: list[object] = []
    parts = iter([None, whole[:20], whole[20:]])

    def until() -> bool:
        assert seen == []
        with open(tmp_path / "core.jsonl", "ab") as file:
            file.write(next(parts) or b"")
        return False

    seen.append(next(follow(tmp_path, last=0, until=until))["event"])
    assert seen == ["b"]


def test_a_line_reads_well_for_a_person() -> None:
    line = {
        "time": iso_time(1_767_225_600_123_456_789),
        "level": "error",
        "event": "failed",
        "process": "rim",
        "engine": "trading",
        "code": "bus",
        "what": "two words",
        "n": 3,
        "traceback": "Traceback\n  x\n",
    }
    assert text_of(line) == (
        '2026-01-01T00:00:00.123Z error   rim/trading  failed code=bus what="two words" n=3\nTraceback\n  x'
    )
