"""The instance: its directories, its locks, what it sweeps and what it refuses."""

import fcntl
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from nautilus.model.errors import ConfigError
from nautilus.runtime import instance as instance_module
from nautilus.runtime.files import FileLock, holder, private_directory, write_atomically
from nautilus.runtime.instance import (
    DataDirectoryError,
    Instance,
    InstanceLiveError,
    NotRunningError,
    command,
    directory_of,
    owner_of,
    read_outcome,
)
from nautilus.runtime.states import Outcome, PlatformState
from tests.kit.instances import Place, own_place, plan_in
from tests.kit.supervised import eventually

HOLD = "import sys; from nautilus.runtime.files import FileLock; from pathlib import Path; import signal; {before}; \
lock = FileLock.take(Path(sys.argv[1])); print('held', flush=True); signal.pause()"


@pytest.fixture
def place() -> Iterator[Place]:
    with own_place() as made:
        yield made


def _hold(path: Path, *, before: str = "pass") -> subprocess.Popen[bytes]:
    """Another process that holds the lock of a file."""
    process = subprocess.Popen([sys.executable, "-c", HOLD.format(before=before), str(path)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"held\n"
    return process


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.communicate()


def test_an_instance_makes_private_places_and_removes_all_but_its_data(place: Place) -> None:
    instance = Instance.create(place.name)
    assert instance.directory == place.base / "nautilus" / place.name
    assert instance.data == place.base / "share" / "nautilus" / place.name
    for path in (instance.directory, instance.directory.parent, instance.shared, instance.shared.parent, instance.data):
        assert path.stat().st_mode & 0o777 == 0o700
    for name in ("lock", "token"):
        assert (instance.directory / name).stat().st_mode & 0o777 == 0o600
    assert len(instance.token()) >= 32
    (instance.shared / "ring").touch()
    (instance.directory / "core.n").touch()
    (instance.data / "journal").mkdir()
    instance.close()
    assert not instance.directory.exists()
    assert not instance.shared.exists()
    assert (instance.data / "journal").exists()
    assert not (instance.data / "lock").exists()


def test_data_of_a_demonstration_goes_with_the_instance(place: Place) -> None:
    instance = Instance.create(place.name, fresh_data=True)
    assert instance.data == instance.directory / "data"
    assert (instance.data / "logs").is_dir()
    instance.close()
    assert not instance.directory.exists()


def test_named_data_last_even_in_a_demonstration(place: Place) -> None:
    instance = Instance.create(place.name, data=str(place.base / "mine"), fresh_data=True)
    instance.close()
    assert (place.base / "mine" / "logs").is_dir()


def test_a_running_instance_is_found_with_plan_and_state(place: Place) -> None:
    instance = Instance.create(place.name)
    try:
        plan = plan_in(instance)
        state = PlatformState(os.getpid(), 0, "running", 1, True, False, ())
        instance.write_plan(plan)
        instance.write_state(state)
        found = Instance.find(place.name)
        assert (found.pid, found.is_live, found.token()) == (os.getpid(), True, instance.token())
        assert (found.plan(), found.state(), found.data) == (plan, state, instance.data)
        found.close()  # of another process: without effect
        assert instance.directory.exists()
    finally:
        instance.close()
    assert not found.is_live


def test_what_is_not_running_is_not_found(place: Place) -> None:
    with pytest.raises(NotRunningError, match="is not running") as caught:
        Instance.find(place.name)
    assert caught.value.code == "bus.not_running"


def test_an_instance_that_has_only_begun_has_no_state_yet(place: Place) -> None:
    instance = Instance.create(place.name)
    try:
        found = Instance.find(place.name)
        with pytest.raises(NotRunningError, match=r"no plan\.json yet"):
            found.plan()
        instance.write_state(PlatformState(1, 0, "running", 1, True, False, ()))
        with pytest.raises(NotRunningError, match="of another"):
            found.state()
    finally:
        instance.close()


def test_a_live_instance_is_refused_and_left_alone(place: Place) -> None:
    instance = Instance.create(place.name)
    try:
        (instance.shared / "ring").touch()
        with pytest.raises(InstanceLiveError) as caught:
            Instance.create(place.name)
        assert caught.value.code == "config.instance_live"
        assert str(caught.value) == (
            f"instance '{place.name}' is up (pid {os.getpid()}); "
            f"expected `nautilus down --instance {place.name}` first, or another platform.instance"
        )
        assert (instance.shared / "ring").exists()
        assert instance.is_live
    finally:
        instance.close()


def test_an_instance_elsewhere_with_the_same_shared_memory_is_refused(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    instance = Instance.create(place.name)
    try:
        (place.base / "other").mkdir()
        monkeypatch.setenv("XDG_RUNTIME_DIR", str(place.base / "other"))
        with pytest.raises(InstanceLiveError, match="shared memory"):
            Instance.create(place.name)
        assert not (place.base / "other" / "nautilus").exists()
    finally:
        instance.close()


def test_data_in_use_by_another_instance_are_refused(place: Place) -> None:
    first = Instance.create(place.name)
    expected = rf"is in use \(pid {os.getpid()}\); expected another --data"
    try:
        with pytest.raises(InstanceLiveError, match=expected):
            Instance.create(f"{place.name}-b", data=str(first.data))
    finally:
        first.close()


def test_what_a_dead_instance_left_is_swept(place: Place) -> None:
    directory = place.base / "nautilus" / place.name
    for path in (directory, place.shared):
        private_directory(path.parent)
        private_directory(path)
    holding = _hold(directory / "lock")
    (directory / "core.n").touch()
    (directory / "state.json").write_text("{}")
    (directory / "data").mkdir()
    (place.shared / "ring.3").touch()
    with pytest.raises(InstanceLiveError):
        Instance.create(place.name)
    assert (place.shared / "ring.3").exists()
    _end(holding)
    instance = Instance.create(place.name)
    try:
        assert sorted(path.name for path in directory.iterdir()) == ["lock", "outcome", "token"]
        assert [path.name for path in place.shared.iterdir()] == ["lock"]
    finally:
        instance.close()


def test_processes_of_a_dead_instance_are_waited_for_and_then_killed(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(instance_module, "ORPHAN_SECONDS", 0.2)
    directory = place.base / "nautilus" / place.name
    private_directory(directory.parent)
    private_directory(directory)
    stuck = _hold(directory / "risk.lock", before="signal.signal(signal.SIGTERM, signal.SIG_IGN)")
    try:
        instance = Instance.create(place.name)
        assert stuck.wait(60) == -signal.SIGKILL
        instance.close()
    finally:
        _end(stuck)


def test_a_place_too_long_for_a_socket_is_refused(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    deep = place.base / ("d" * 80)
    deep.mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(deep))
    with pytest.raises(ConfigError, match=r"path of \d+ characters; expected at most 100 .*set XDG_RUNTIME_DIR"):
        Instance.create(place.name)
    assert list(deep.iterdir()) == []


@pytest.mark.parametrize("data", ["/etc/passwd", "/proc/absent", "/dev/null/below"])
def test_data_that_cannot_lie_there_are_refused_with_their_place(place: Place, data: str) -> None:
    with pytest.raises(DataDirectoryError, match=rf"{data}.* expected a directory of your own") as caught:
        Instance.create(place.name, data=data)
    assert caught.value.code == "config.data"
    assert not (place.base / "nautilus").exists()


def test_advice_names_the_instance_where_it_is_not_the_usual_one() -> None:
    assert command("down", "main") == "`nautilus down`"
    assert command("down", "second") == "`nautilus down --instance second`"


def test_a_pid_is_known_by_its_instance_and_process(place: Place) -> None:
    instance = Instance.create(place.name)
    process = _hold(instance.directory / "risk.lock")
    try:
        assert owner_of(os.getpid()) == (place.name, "")
        assert owner_of(process.pid) == (place.name, "risk")
        assert owner_of(1) == ("", "")
    finally:
        _end(process)
        instance.close()


def test_how_an_instance_stopped_can_be_read_when_it_is_gone(place: Place) -> None:
    for said in (Outcome(1, ("risk",)), Outcome(0)):
        instance = Instance.create(place.name)
        descriptor = Instance.find(place.name).open_outcome()
        if said.killed:
            instance.write_outcome(said)
        instance.close()
        assert read_outcome(descriptor) == said


def test_what_a_dead_instance_did_not_say_is_not_known(place: Place) -> None:
    instance = Instance.create(place.name)
    descriptor = instance.open_outcome()
    assert read_outcome(descriptor) is None
    instance.close()


def test_the_instances_of_a_service_are_where_its_user_finds_them_without_its_environment(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = place.base / "run"
    monkeypatch.setattr(instance_module, "SERVICE", service)
    monkeypatch.setenv("XDG_RUNTIME_DIR", "")
    assert directory_of("main") == Path(f"/tmp/nautilus-{os.geteuid()}/main")
    service.mkdir()
    assert directory_of("main") == service / "main"
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(place.base))
    assert directory_of("main") == place.base / "nautilus" / "main"


def test_without_a_runtime_directory_it_is_under_tmp(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(instance_module, "SERVICE", tmp_path / "absent")
    for value in ("", "relative", "/does/not/exist"):
        monkeypatch.setenv("XDG_RUNTIME_DIR", value)
        assert directory_of("main") == Path(f"/tmp/nautilus-{os.geteuid()}/main")


@pytest.mark.parametrize("name", ["", "Main", "../x", "a b", "x" * 33])
def test_a_name_that_is_none_is_refused(place: Place, name: str) -> None:
    with pytest.raises(ConfigError, match="expected a name like"):
        Instance.create(name)


def test_a_directory_that_is_open_to_others_is_refused(place: Place) -> None:
    (place.base / "nautilus").mkdir(mode=0o755)
    (place.base / "nautilus").chmod(0o755)
    with pytest.raises(ConfigError, match="open to others"):
        Instance.create(place.name)


def test_a_directory_that_is_a_link_is_refused(place: Place) -> None:
    (place.base / "elsewhere").mkdir(mode=0o700)
    (place.base / "nautilus").symlink_to(place.base / "elsewhere")
    with pytest.raises(ConfigError, match="not a directory of this user"):
        Instance.create(place.name)


def test_a_lock_is_held_by_one_and_ends_with_its_process(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    assert holder(path) is None
    other = _hold(path)
    try:
        assert holder(path) == other.pid
        assert FileLock.take(path) is None
    finally:
        _end(other)
    lock = FileLock.take(path)
    assert lock is not None
    assert holder(path) == os.getpid()
    lock.release()
    assert holder(path) is None


def test_a_lock_on_a_file_that_was_removed_meanwhile_is_taken_anew(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    first = FileLock.take(path)
    assert first is not None
    waiting = os.open(path, os.O_RDWR)
    first.release(remove=True)
    fcntl.flock(waiting, fcntl.LOCK_EX | fcntl.LOCK_NB)  # a lock on nothing
    second = FileLock.take(path)
    assert second is not None
    assert holder(path) == os.getpid()
    second.release()
    os.close(waiting)


def test_asking_who_holds_a_lock_does_not_keep_it_from_anybody(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    path.touch()
    script = "import sys; from pathlib import Path; from nautilus.runtime.files import holder\nprint(1, flush=True)\n"
    asking = subprocess.Popen(
        [sys.executable, "-c", script + "while True: holder(Path(sys.argv[1]))", str(path)], stdout=subprocess.PIPE
    )
    try:
        assert asking.stdout is not None
        asking.stdout.readline()
        for _ in range(100):
            lock = FileLock.take(path)
            assert lock is not None
            lock.release()
    finally:
        _end(asking)


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    write_atomically(path, b"old")
    with pytest.raises(TypeError):
        write_atomically(path, "not bytes")  # type: ignore[arg-type]
    assert path.read_bytes() == b"old"
    write_atomically(path, b"new", durable=True)
    assert path.read_bytes() == b"new"
    assert [entry.name for entry in tmp_path.iterdir()] == ["state.json"]


def test_a_reader_sees_old_or_new_while_a_file_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    write_atomically(path, b"a" * 10_000)
    script = (
        "import sys; from pathlib import Path; from nautilus.runtime.files import write_atomically\n"
        "for letter in b'abcdefgh' * 50: write_atomically(Path(sys.argv[1]), bytes([letter]) * 10_000)"
    )
    writing = subprocess.Popen([sys.executable, "-c", script, str(path)])
    try:
        seen = {b"a"}

        def read() -> bool:
            content = path.read_bytes()
            assert content == content[:1] * 10_000
            seen.add(content[:1])
            return writing.poll() is not None

        eventually(read)
        assert len(seen) > 1
    finally:
        _end(writing)
