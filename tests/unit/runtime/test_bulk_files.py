"""Large parts of a state: a process that is killed as it writes, a full disk, parts that cannot be written or read."""

import errno
import subprocess
import sys

import numpy as np
import pytest

from nautilus.engines.base import Engine
from nautilus.model.enums import EngineState
from nautilus.model.errors import InternalError, ModelError
from nautilus.runtime import engine_state
from nautilus.runtime.engine_state import BulkFiles, SavedState, StateFile
from nautilus.runtime.recovery import Recovery

LONG_NS = 10**12
PARTS = 3
WRITER = f"""
import sys
from pathlib import Path
import numpy as np
from nautilus.runtime.engine_state import BulkFiles
files = BulkFiles(Path(sys.argv[1]), "risk")
version = 0
while True:
    version += 1
    parts = {{str(number): (version, lambda: np.full(50_000, version)) for number in range({PARTS})}}
    files.save(parts, {LONG_NS})
    print(version, flush=True)
"""


def loaded(directory):
    found = {}
    BulkFiles(directory, "risk").load(found.__setitem__)
    return found


def of(value):
    return lambda: {"x": value}


def test_a_process_that_is_killed_as_it_writes_leaves_each_part_whole_and_nothing_beside_them(tmp_path):
    for lines in (1, 2, 5):
        writer = subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE)
        with writer:
            version = [int(writer.stdout.readline()) for _ in range(lines)][-1]
            writer.kill()  # in the middle of the next one
            later = [int(line) for line in writer.stdout]
        found = loaded(tmp_path)
        assert sorted(found) == [str(number) for number in range(PARTS)]
        last = max([version, *later])
        for part in found.values():
            assert len(set(part.tolist())) == 1
            assert last <= part[0] <= last + 1
        assert len(list((tmp_path / "risk.parts").iterdir())) == PARTS


def test_what_a_killed_process_had_half_written_is_taken_away(tmp_path):
    files = BulkFiles(tmp_path, "risk")
    files.save({"a": (1, of(1))}, LONG_NS)
    [whole] = (tmp_path / "risk.parts").iterdir()
    whole.with_name(f".{whole.name}.4711").write_bytes(b"half")
    assert loaded(tmp_path) == {"a": {"x": 1}}
    assert list((tmp_path / "risk.parts").iterdir()) == [whole]


def test_a_full_disk_leaves_what_was_written_before_and_the_next_save_writes_the_rest(tmp_path, monkeypatch):
    files = BulkFiles(tmp_path, "risk")
    files.save({"a": (1, of(1)), "b": (1, of(1))}, LONG_NS)
    write = engine_state.write_atomically

    def full(path, content, **options):
        if b"\xa1a" in content:
            raise OSError(errno.ENOSPC, "No space left on device")
        write(path, content, **options)

    monkeypatch.setattr(engine_state, "write_atomically", full)
    for _ in range(2):
        with pytest.raises(OSError, match="No space"):
            files.save({"a": (2, of(2)), "b": (2, of(2))}, LONG_NS)
    assert loaded(tmp_path) == {"a": {"x": 1}, "b": {"x": 2}}
    monkeypatch.undo()
    assert files.save({"a": (2, of(2)), "b": (2, of(2))}, LONG_NS)
    assert loaded(tmp_path) == {"a": {"x": 2}, "b": {"x": 2}}


def test_parts_that_change_all_the_time_keep_no_other_from_being_written(tmp_path):
    files = BulkFiles(tmp_path, "risk")
    for turn in range(1, 11):
        # There is time for one of them each time.
        files.save({str(number): (turn, of(turn)) for number in range(5)}, -1)
    assert {name: part["x"] for name, part in loaded(tmp_path).items()} == {str(each): 6 + each for each in range(5)}


class Keeper(Engine):
    name = "risk"

    def __init__(self):
        self.parts = {}

    def state(self):
        return {"kept": sorted(self.parts)}

    def bulk(self):
        return self.parts


class Context:
    def __init__(self, engine):
        self.engine, self.state, self.name = engine, EngineState.RUNNING, engine.name


def test_a_part_that_cannot_be_written_keeps_the_rest_of_a_state_from_nothing(tmp_path):
    engine = Keeper()
    engine.parts = {"bad": (1, lambda: object()), "good": (1, of(1))}
    recovery = Recovery(None, Context(engine), StateFile(tmp_path, "risk"))
    with pytest.raises(ModelError, match="plain values"):
        recovery.save(LONG_NS)
    assert StateFile(tmp_path, "risk").load() == SavedState(0, 0, {"kept": ["bad", "good"]})
    assert loaded(tmp_path) == {"good": {"x": 1}}


@pytest.mark.parametrize("cut", [0, 1, 7, -1, -100])
def test_a_part_that_was_cut_or_changed_is_said_to_be_damaged(tmp_path, cut):
    BulkFiles(tmp_path, "risk").save({"a": (1, lambda: {"x": np.arange(100)})}, LONG_NS)
    [place] = (tmp_path / "risk.parts").iterdir()
    place.write_bytes(place.read_bytes()[:cut])
    with pytest.raises(InternalError) as caught:
        loaded(tmp_path)
    assert str(place) in str(caught.value)
