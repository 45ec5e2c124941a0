"""Files of keys: made, read, refused; the list of those let in."""

from __future__ import annotations

import os
import random
import stat
import threading
from pathlib import Path

import msgspec
import pytest

from nautilus.bus.keys import (
    ALLOWED,
    AllowedKey,
    KeyFileError,
    UnknownKeyError,
    allow,
    key_place,
    make_keys,
    new_keys,
    new_process,
    read_allowed,
    read_keys,
    revoke,
)


def test_a_new_pair_is_a_file_of_this_user_alone_and_reads_back(tmp_path) -> None:
    made = make_keys(tmp_path / "a.key", "a", 7)
    assert read_keys(tmp_path / "a.key") == made
    assert stat.S_IMODE((tmp_path / "a.key").stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["a.key"]


def test_a_pair_never_takes_the_place_of_another(tmp_path) -> None:
    made = make_keys(tmp_path / "a.key")
    with pytest.raises(KeyFileError, match="there is a pair already"):
        make_keys(tmp_path / "a.key")
    assert read_keys(tmp_path / "a.key") == made


def test_a_missing_file_is_named_with_what_was_expected(tmp_path) -> None:
    with pytest.raises(KeyFileError, match=r"absent\.key: not there; expected a file of `nautilus keys new`"):
        read_keys(tmp_path / "absent.key")


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o666])
def test_a_pair_that_others_may_read_is_refused(tmp_path, mode) -> None:
    make_keys(tmp_path / "a.key")
    (tmp_path / "a.key").chmod(mode)
    with pytest.raises(KeyFileError, match=f"open to others \\(mode {mode:o}.*expected mode 600"):
        read_keys(tmp_path / "a.key")


def test_a_list_that_others_may_write_is_refused(tmp_path) -> None:
    new_process(tmp_path, "a", (), 1)
    (tmp_path / ALLOWED).chmod(0o622)
    with pytest.raises(KeyFileError, match="others may write it"):
        read_allowed(tmp_path)


def test_what_is_no_file_is_refused(tmp_path) -> None:
    os.mkfifo(tmp_path / "a.key", 0o600)
    (tmp_path / "b.key").mkdir(0o700)
    for name in "ab":
        with pytest.raises(KeyFileError):
            read_keys(tmp_path / f"{name}.key")


def test_halves_of_two_pairs_are_refused(tmp_path) -> None:
    one, other = new_keys(), new_keys()
    place = tmp_path / "a.key"
    place.touch(0o600)
    place.write_bytes(msgspec.json.encode({"public": one.public, "secret": other.secret}))
    with pytest.raises(KeyFileError, match="not of one pair"):
        read_keys(place)


def test_whatever_bytes_a_file_holds_the_error_names_it(tmp_path) -> None:
    chance = random.Random(5)
    place, listed = key_place(tmp_path, "a"), tmp_path / ALLOWED
    make_keys(place, "a")
    new_process(tmp_path, "b", ("read:*",), 1)
    for file, read in ((place, lambda: read_keys(place)), (listed, lambda: read_allowed(tmp_path))):
        good = file.read_bytes()
        for _ in range(400):
            bad = bytearray(good)
            for _ in range(chance.randint(1, 4)):
                action, where = chance.randrange(3), chance.randrange(len(bad))
                if action == 0:
                    bad[where] = chance.randrange(256)
                elif action == 1:
                    del bad[where:]
                    bad += b"\0"
                else:
                    bad[where:where] = chance.randbytes(chance.randint(1, 9))
            file.write_bytes(bad)
            found = None
            try:
                read()
            except KeyFileError as error:
                found = error
            assert found is None or str(file) in str(found)
        file.write_bytes(b"[" * 100_000)
        with pytest.raises(KeyFileError, match=file.name):
            read()
        file.write_bytes(good)


def test_a_key_is_let_in_until_it_is_revoked_and_known_after_that(tmp_path) -> None:
    made = new_process(tmp_path, "risk", ("publish:risk.*",), 5)
    assert read_keys(key_place(tmp_path, "risk")).public == made.public
    assert read_allowed(tmp_path).by_name == {"risk": made}
    gone = revoke(tmp_path, "risk", 9)
    assert gone.revoked_ns == 9
    assert not key_place(tmp_path, "risk").exists()
    found = read_allowed(tmp_path)
    assert found.by_name == {}
    assert found.by_public[made.public] == gone
    again = new_process(tmp_path, "risk", (), 10)
    assert read_allowed(tmp_path).by_name["risk"] == again
    with pytest.raises(UnknownKeyError, match=r"no key of 'x'.*expected one of risk"):
        revoke(tmp_path, "x", 1)


def test_a_pair_of_another_host_is_not_removed_with_its_name(tmp_path) -> None:
    allow(tmp_path, AllowedKey("a", new_keys().public))
    mine = make_keys(key_place(tmp_path, "a"))
    revoke(tmp_path, "a", 3)
    assert read_keys(key_place(tmp_path, "a")) == mine


@pytest.mark.parametrize(
    ("key", "match"),
    [
        (AllowedKey("Bad Name", new_keys().public), "name 'Bad Name'"),
        (AllowedKey("../a", new_keys().public), "name"),
        (AllowedKey("a", "short"), "public key 'short' of a"),
        (AllowedKey("a", new_keys().public, ("fly:away",)), "grant 'fly:away' of a"),
    ],
)
def test_what_is_no_key_is_not_added(tmp_path, key, match) -> None:
    with pytest.raises(KeyFileError, match=match):
        allow(tmp_path, key)
    assert read_allowed(tmp_path).keys == ()


def test_a_name_and_a_key_are_there_once(tmp_path) -> None:
    made = new_process(tmp_path, "a", (), 1)
    with pytest.raises(KeyFileError, match="a has a key"):
        new_process(tmp_path, "a", (), 1)
    with pytest.raises(KeyFileError, match="is that of a"):
        allow(tmp_path, AllowedKey("b", made.public))


def test_two_that_change_the_list_at_once_lose_nothing(tmp_path) -> None:
    def add(first: int) -> None:
        for number in range(first, first + 10):
            allow(tmp_path, AllowedKey(f"n{number}", new_keys().public))

    threads = [threading.Thread(target=add, args=(first,)) for first in (0, 10, 20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(read_allowed(tmp_path).by_name) == sorted(f"n{number}" for number in range(30))


def test_a_directory_that_cannot_be_made_is_named(tmp_path) -> None:
    Path(tmp_path, "file").touch()
    with pytest.raises(KeyFileError, match="file/keys"):
        new_process(tmp_path / "file" / "keys", "a", (), 1)
