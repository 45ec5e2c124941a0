"""With what the platform starts, and with what it does not: one clear error for each, also of `config validate`."""

from __future__ import annotations

import json
import ssl

import pytest

from nautilus.cli.main import main
from nautilus.cli.settings import checks, sections
from nautilus.core.throttle import ACCEPTED, LATE
from nautilus.policy.keys import Derived
from nautilus.runtime.access_keys import AccessKeyError, AccessKeys, FileModeError, Lease, LiveKeys, WeakSecretError
from nautilus.runtime.access_settings import AccessConfig, TlsError, live_keys, server_context
from nautilus.runtime.config import Flag, examine
from tests.kit.access import NOW_NS, SECOND
from tests.kit.certificates import make_authority, make_certificate


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    authority = make_authority(tmp_path_factory.mktemp("certificates"))
    return authority, make_certificate(authority, "server"), make_certificate(authority, "other")


@pytest.fixture
def data(tmp_path):
    (tmp_path / "data").mkdir()
    return tmp_path / "data"


def codes(data, **settings):
    """Codes of what is wrong; settings as section__key."""
    flags = [Flag(*name.split("__"), value, "test") for name, value in settings.items()]
    flags.append(Flag("platform", "data_directory", str(data), "test"))
    _, problems = examine(sections(), flags=flags, environment={}, checks=checks())
    assert all(str(problem).count("\n") == 0 for problem in problems)
    return [problem.code for problem in problems]


def tls(pair, **more):
    return {"access__certificate": str(pair.certificate), "access__key": str(pair.key), **more}


def test_nothing_is_needed_on_this_machine(data):
    assert codes(data) == []
    assert codes(data, platform__bind="127.0.0.2") == []
    assert not (data / "access").exists()


def test_an_open_address_takes_tls_and_a_key_that_may_be_used(data, certificates):
    _, server, _ = certificates
    open_to = {"platform__bind": "0.0.0.0"}
    assert codes(data, **open_to) == ["config.bind"]
    assert codes(data, **open_to, **tls(server)) == ["config.bind"]
    key, _ = AccessKeys(data / "access").new("desk", ("trade",), NOW_NS)
    assert codes(data, **open_to) == ["config.bind"]
    assert codes(data, **open_to, **tls(server)) == []
    AccessKeys(data / "access").revoke(key.id, NOW_NS)
    assert codes(data, **open_to, **tls(server)) == ["config.bind"]


def test_clients_certificates_may_stand_for_keys(data, certificates):
    authority, server, _ = certificates
    settings = tls(server, platform__bind="::", access__client_authority=str(authority.certificate))
    assert codes(data, **settings) == ["config.bind"]
    assert codes(data, **settings, access__subjects={"desk": ["trade"]}) == []
    assert codes(data, **settings, access__subjects={"desk\r\nx": ["trade"]}) == ["config"]


@pytest.mark.parametrize("name", ["anonymous", "instance"])
def test_no_certificate_stands_for_who_has_none(data, certificates, name):
    authority, server, _ = certificates
    settings = tls(server, platform__bind="127.0.0.2", access__client_authority=str(authority.certificate))
    assert codes(data, **settings, access__subjects={name: ["trade"]}) == ["config"]
    assert codes(data, **settings, access__subjects={f"{name}-1": ["trade"]}) == []


@pytest.mark.parametrize("which", ["certificate", "key"])
@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620])
def test_a_file_that_others_may_read_or_write_is_refused(data, certificates, which, mode):
    _, server, _ = certificates
    place = getattr(server, which)
    place.chmod(mode)
    try:
        assert codes(data, **tls(server)) == ["config.file_mode", "config.tls"]
    finally:
        place.chmod(0o600)


def test_what_is_no_pair_is_refused(data, certificates, tmp_path):
    _, server, other = certificates
    assert codes(data, **tls(server._replace(key=other.key)), platform__bind="127.0.0.2") == ["config.tls"]
    assert codes(data, **tls(server._replace(key=tmp_path / "none")), platform__bind="127.0.0.2") == ["config.tls"]
    empty = tmp_path / "empty"
    empty.touch(0o600)
    assert codes(data, **tls(server._replace(certificate=empty)), platform__bind="127.0.0.2") == ["config.tls"]
    assert codes(data, access__certificate=str(server.certificate)) == ["config"]
    assert codes(data, access__client_authority=str(server.certificate)) == ["config"]


def test_tls_where_plain_text_is_spoken_is_refused(data, certificates):
    _, server, _ = certificates
    assert codes(data, **tls(server)) == ["config.tls"]
    assert codes(data, **tls(server), platform__bind="127.0.0.2") == []


@pytest.mark.parametrize("secret", [b"short", b"changeme" * 5, b"a" * 64, b"0123456789" * 5])
def test_a_secret_that_can_be_guessed_is_refused_and_not_told(data, tmp_path, secret, capsys):
    place = tmp_path / "secret"
    place.write_bytes(secret)
    place.chmod(0o600)
    assert codes(data, access__secret=str(place)) == ["config.secret"]
    assert main(["config", "validate", "--json", "--set", f"access.secret={place}"]) == 4
    printed = capsys.readouterr()
    assert json.loads(printed.out)["problems"][0]["code"] == "config.secret"
    assert secret.decode() not in printed.out + printed.err


def test_a_secret_that_others_may_read_is_refused(data, tmp_path):
    place = tmp_path / "secret"
    place.write_text("Zk3vQ9xN1bL7tR5wY2mH8cJ4fD6gS0pAeUiOqWzXlKj")
    place.chmod(0o644)
    assert codes(data, access__secret=str(place)) == ["config.file_mode"]


def test_the_context_speaks_no_old_tls_and_asks_for_a_certificate(certificates):
    authority, server, _ = certificates
    access = AccessConfig(certificate=str(server.certificate), key=str(server.key))
    context = server_context(access)
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2
    assert context.verify_mode == ssl.CERT_NONE
    names = [cipher["name"] for cipher in context.get_ciphers()]
    assert all(name.startswith("TLS_") or ("ECDHE" in name and ("GCM" in name or "CHACHA" in name)) for name in names)
    mutual = AccessConfig(
        certificate=str(server.certificate), key=str(server.key), client_authority=str(authority.certificate)
    )
    assert server_context(mutual).verify_mode == ssl.CERT_REQUIRED
    assert server_context(AccessConfig()) is None
    with pytest.raises(TlsError, match="without its key"):
        AccessConfig(certificate="x")


def test_a_list_of_keys_is_read_again_as_it_changes_and_lets_nobody_in_where_it_is_damaged(data, caplog):
    keys = live_keys(AccessConfig(nonces=256), data, data / "throttle")
    assert keys.ring(NOW_NS).by_id == {}
    assert keys.throttle is None
    files = AccessKeys(data / "access")
    made, secret = files.new("desk", ("trade",), NOW_NS)
    known = keys.ring(NOW_NS + SECOND).by_id[made.id]
    assert known.is_secret(secret.encode())
    assert keys.throttle is not None
    files.new("other", ("read",), NOW_NS, rate=2.0)
    assert len(keys.ring(NOW_NS + 2 * SECOND).by_id) == 2
    files.revoke("desk", NOW_NS)
    assert len(keys.ring(NOW_NS + 3 * SECOND).by_id) == 1
    content = files.place.read_bytes()
    files.place.write_bytes(content.replace(b'"trade"', b'"admin"'))
    assert keys.ring(NOW_NS + 4 * SECOND).by_id == {}
    assert "was changed" in keys.failed
    assert "no API key is let in" in caplog.text
    files.place.chmod(0o644)
    assert keys.ring(NOW_NS + 5 * SECOND).by_id == {}
    assert "open to others" in keys.failed
    files.place.write_bytes(content)
    files.place.chmod(0o600)
    assert len(keys.ring(NOW_NS + 6 * SECOND).by_id) == 1
    assert keys.failed == ""


def test_keys_let_in_again_once_the_secret_beside_the_list_is_mended(data):
    keys = live_keys(AccessConfig(nonces=256), data, data / "throttle")
    made, _ = AccessKeys(data / "access").new("desk", ("trade",), NOW_NS)
    secret = data / "access" / "secret"
    secret.chmod(0o644)
    assert keys.ring(NOW_NS).by_id == {}
    assert "open to others" in keys.failed
    secret.chmod(0o600)
    assert list(keys.ring(NOW_NS + SECOND).by_id) == [made.id]
    assert keys.failed == ""


def test_keys_are_made_once_for_each_name(data):
    files = AccessKeys(data / "access")
    made, secret = files.new("desk", ("read",), NOW_NS, expires_ns=NOW_NS + SECOND)
    with pytest.raises(AccessKeyError, match="desk has a key"):
        files.new("desk", ("read",), NOW_NS)
    again, _ = files.new("desk", ("read",), NOW_NS + SECOND)
    assert again.id != made.id
    assert secret.encode() not in files.place.read_bytes()
    for place in (files.place, data / "access" / "secret"):
        assert place.stat().st_mode & 0o777 == 0o600
    with pytest.raises(WeakSecretError):
        files.new("weak", ("read",), NOW_NS, secret="x" * 40)
    (data / "access" / "secret").chmod(0o640)
    with pytest.raises(FileModeError):
        files.new("third", ("read",), NOW_NS)


def test_another_secret_makes_a_list_of_no_use(data, tmp_path):
    AccessKeys(data / "access").new("desk", ("read",), NOW_NS)
    other = tmp_path / "other"
    other.write_text("Hb6nT2yV9rM4kW7xC1zL5gF8dJ3sQ0aPeUiOwXlZvBq")
    other.chmod(0o600)
    files = AccessKeys(data / "access", other)
    derived = files.derived()
    assert isinstance(derived, Derived)
    with pytest.raises(AccessKeyError, match="was changed"):
        files.read(derived)


def test_an_instance_that_begins_again_takes_no_time_stamp_that_the_one_before_may_have_had(data):
    access = AccessConfig(nonces=256)
    first = live_keys(access, data, data / "throttle")
    AccessKeys(data / "access").new("desk", ("trade",), NOW_NS)
    first.ring(NOW_NS)
    assert first.throttle.claim(1, b"nonce-01", NOW_NS + 4 * SECOND, NOW_NS) == ACCEPTED
    first.hold(NOW_NS)
    until_ns = Lease(data / "access" / "signed").until_ns()
    assert NOW_NS < until_ns <= NOW_NS + SECOND
    (data / "throttle").unlink()  # as a restart sweeps it
    second = live_keys(access, data, data / "throttle")
    second.ring(NOW_NS)
    assert second.throttle.not_before_ns == until_ns + 5 * SECOND
    assert second.throttle.claim(1, b"nonce-01", NOW_NS + 4 * SECOND, NOW_NS) == LATE
    later_ns = until_ns + 5 * SECOND + 1
    assert second.throttle.claim(1, b"nonce-02", later_ns, later_ns) == ACCEPTED
    assert isinstance(second, LiveKeys)


def begun(data, now_ns):
    """The keys of an instance that begins."""
    (data / "throttle").unlink(missing_ok=True)  # as a restart sweeps it
    keys = live_keys(AccessConfig(nonces=256), data, data / "throttle")
    keys.ring(now_ns)
    return keys


def test_a_clock_that_was_set_back_brings_no_end_of_signed_requests_back(data):
    AccessKeys(data / "access").new("desk", ("trade",), NOW_NS)
    first = begun(data, NOW_NS)
    first.hold(NOW_NS)
    assert first.throttle.claim(1, b"nonce-01", NOW_NS, NOW_NS) == ACCEPTED
    back_ns = NOW_NS - 30 * SECOND
    second = begun(data, back_ns)
    second.hold(back_ns)
    assert second.throttle.claim(1, b"nonce-02", back_ns, back_ns) == LATE
    assert begun(data, NOW_NS).throttle.claim(1, b"nonce-01", NOW_NS, NOW_NS) == LATE


def test_no_process_brings_the_end_of_another_back(data):
    AccessKeys(data / "access").new("desk", ("trade",), NOW_NS)
    begun(data, NOW_NS).hold(NOW_NS)
    other = live_keys(AccessConfig(nonces=256), data, data / "throttle")
    other.ring(NOW_NS)
    other.hold(NOW_NS - 30 * SECOND)
    assert Lease(data / "access" / "signed").until_ns() == NOW_NS + SECOND


def test_an_end_that_was_removed_comes_back_with_the_next_signed_request(data):
    AccessKeys(data / "access").new("desk", ("trade",), NOW_NS)
    keys = begun(data, NOW_NS)
    place = data / "access" / "signed"
    place.unlink()
    keys.hold(NOW_NS)
    assert Lease(place).until_ns() == NOW_NS + SECOND
    assert place.stat().st_mode & 0o777 == 0o600
    assert {found.name for found in place.parent.iterdir()} == {"secret", "keys.json", ".lock", "signed"}


def test_an_end_that_cannot_be_said_lets_no_later_request_in_either(data):
    AccessKeys(data / "access").new("desk", ("trade",), NOW_NS)
    keys = begun(data, NOW_NS)
    (data / "access" / "signed").unlink()
    (data / "access").rename(data / "elsewhere")
    for _ in range(2):
        with pytest.raises(FileNotFoundError):
            keys.hold(NOW_NS)


@pytest.mark.parametrize("rate", [1e-300, 0.0001, 1 / 3601])
def test_a_rate_that_no_key_can_have_is_refused(data, rate):
    assert codes(data, access__rate=rate) == ["config"]
    assert codes(data, access__rate=1 / 3600) == codes(data, access__rate=0.0) == []
