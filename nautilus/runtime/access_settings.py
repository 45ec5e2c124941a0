"""Settings of access: keys, signatures, sessions, TLS, the audit log; and whether the platform may start with them."""

from __future__ import annotations

import logging
import re
import ssl
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec
from msgspec import Meta

from nautilus.core.throttle import Throttle
from nautilus.model.errors import ConfigError
from nautilus.policy.keys import ANONYMOUS, INSTANCE, LEAST_RATE, PRINCIPAL, RATES, Principal, widened
from nautilus.runtime.access_keys import (
    DIRECTORY,
    LEASE_NS,
    LIST,
    SECRET,
    SIGNED,
    AccessKeys,
    Lease,
    LiveKeys,
    private_bytes,
)
from nautilus.runtime.clock import wall_ns
from nautilus.runtime.http.access import READER, AccessRules
from nautilus.runtime.http.config import HttpConfig
from nautilus.runtime.platform import PLAIN_HOST, OpenBindError, PlatformConfig, is_loopback

if TYPE_CHECKING:
    from nautilus.core.counters import Counters
    from nautilus.runtime.plan import Plan

_LOGGER = logging.getLogger("nautilus.runtime")

Scope = Literal["read", "trade", "admin"]


class TlsError(ConfigError):
    """Certificates with which no TLS can be spoken."""

    code = "config.tls"


class AccessConfig(msgspec.Struct, frozen=True):
    """Who may ask over HTTP, and how they show who they are (docs/access.md).

    Parameters
    ----------
    certificate, key
        Files (PEM, mode 600) of the certificate with its chain and of its key, for TLS at `platform.bind`; 127.0.0.1
        stays plain, for this machine's own processes. "": no TLS.
    client_authority
        File of the authority (PEM) whose clients' certificates are taken. "": clients show none.
    client_required
        With an authority: who has no certificate is refused, whatever else is shown.
    subjects
        Who the common name of a client's certificate stands for: {name: scopes}. One that is not named may do nothing.
    secret
        File (mode 600) of the secret from which everything else is derived. "": `access/secret` in the data directory,
        drawn when it is first needed.
    keys
        Directory of the list of API keys. "": `access` in the data directory.
    anonymous
        What may be done without showing anything: ``read``, ``none``, or ``auto``: `read` at the plain ports, which
        this machine alone reaches, `none` over TLS. `/livez` and `/readyz` are for everybody.
    window_ms
        How far from now the time stamp of a signed request may be, both ways.
    nonces
        Signed requests within a window that can be remembered, of all processes together, a power of two; more than
        three quarters of it are refused at times.
    rate, burst
        Requests a second, and at once, of each key that has no limit of its own. 0: not limited.
    session_seconds
        Life of a session token.
    audit
        Keep a log, each record chained to the one before, of every call that changes something.
    audit_segment_mib
        Size of a file of it.
    """

    certificate: str = ""
    key: str = ""
    client_authority: str = ""
    client_required: bool = True
    subjects: dict[str, tuple[Scope, ...]] = {}
    secret: str = ""
    keys: str = ""
    anonymous: Literal["auto", "read", "none"] = "auto"
    window_ms: Annotated[int, Meta(ge=1000, le=60_000)] = 5_000
    nonces: Annotated[int, Meta(ge=256, le=1 << 24)] = 1 << 18
    rate: Annotated[float, Meta(ge=0, le=1_000_000)] = 0.0
    burst: Annotated[int, Meta(ge=0, le=1_000_000)] = 0
    session_seconds: Annotated[int, Meta(ge=1, le=7 * 86_400)] = 3_600
    audit: bool = True
    audit_segment_mib: Annotated[int, Meta(ge=1, le=4096)] = 16

    def __post_init__(self) -> None:
        if self.nonces & (self.nonces - 1):
            raise ConfigError(f"nonces {self.nonces}", where="access", expected="a power of two")
        if 0 < self.rate < LEAST_RATE:
            raise ConfigError(f"rate {self.rate:g}", where="access", expected=f"0, or {RATES}")
        if bool(self.certificate) != bool(self.key):
            raise TlsError(
                "a certificate without its key" if self.certificate else "a key without its certificate",
                where="access",
                expected="access.certificate and access.key, or none of them",
            )
        if self.client_authority and not self.certificate:
            raise TlsError("client_authority without TLS", where="access", expected="access.certificate and access.key")
        for name, scopes in self.subjects.items():
            # The gateway tells engines who asks in a header.
            if not re.fullmatch(PRINCIPAL, name) or not scopes:
                raise ConfigError(
                    f"subjects {name!r}",
                    where="access",
                    expected="a common name of letters, digits and _.@=,- and blanks, 100 at most, and its scopes",
                )
            if name in (ANONYMOUS.name, INSTANCE.name):
                raise ConfigError(
                    f"subjects {name!r}",
                    where="access",
                    expected="a name that stands for nobody else in the audit log",
                )

    @property
    def tls(self) -> bool:
        """Whether TLS is spoken at `platform.bind`."""
        return bool(self.certificate)


def access_files(access: AccessConfig, data: str | Path) -> AccessKeys:
    """The secret and the list of keys of an instance whose data lie there."""
    directory = Path(access.keys) if access.keys else Path(data, DIRECTORY)
    return AccessKeys(directory, Path(access.secret) if access.secret else None)


def live_keys(access: AccessConfig, data: str | Path, throttle: str | Path) -> LiveKeys:
    """The keys that a process lets in; `throttle`: the file that all processes of the instance share."""
    files = access_files(access, data)

    def open_throttle() -> Throttle:
        window_ns = access.window_ms * 1_000_000
        until_ns = Lease(files.directory / SIGNED).until_ns()
        not_before_ns = until_ns + window_ns if until_ns else 0
        made = Throttle(throttle, nonces=access.nonces, window_ns=window_ns, not_before_ns=not_before_ns)
        late_ns = made.not_before_ns - wall_ns()
        if late_ns > 2 * window_ns + LEASE_NS:
            _LOGGER.warning(
                "signed requests are refused for %d s: some were let in at a time that is still to come",
                late_ns // 10**9,
            )
        return made

    burst = access.burst or max(1, round(access.rate))
    return LiveKeys(files, open_throttle, rate=access.rate, burst=burst)


def rules_of(plan: Plan, counters: Counters | None = None) -> AccessRules:
    """The rules of the ports of an instance."""
    access = plan.config("access", AccessConfig)
    return AccessRules(
        None if plan.demo else Path(plan.directory, "token").read_text().strip(),
        plan.bind,
        plan.config("http", HttpConfig),
        keys=live_keys(access, plan.data, Path(plan.shared, "throttle")),
        anonymous=anonymous_of(access),
        subjects=subjects_of(access),
        counters=counters,
    )


def subjects_of(access: AccessConfig) -> dict[str, Principal]:
    """Who clients' certificates stand for."""
    return {name: Principal(name, widened(scopes)) for name, scopes in access.subjects.items()}


def anonymous_of(access: AccessConfig) -> tuple[Principal, Principal]:
    """What is let in without anything to show: where this machine alone reaches the port, and over TLS."""
    plain = ANONYMOUS if access.anonymous == "none" else READER
    return plain, READER if access.anonymous == "read" else ANONYMOUS


def server_context(access: AccessConfig) -> ssl.SSLContext | None:
    """How the ports speak TLS; None: they do not. TlsError or FileModeError where the files do not serve.

    TLS 1.2 with forward secrecy and authenticated encryption alone, or 1.3; no compression, no renegotiation, no
    resumption by tickets that outlive the process. ALPN is the server's.
    """
    if not access.tls:
        return None
    for name, path in (("access.certificate", access.certificate), ("access.key", access.key)):
        private_bytes(Path(path), name, TlsError)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("ECDHE+AESGCM:ECDHE+CHACHA20:!aNULL:!eNULL")
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION | ssl.OP_CIPHER_SERVER_PREFERENCE
    try:
        # A key with a passphrase would wait for a person at the terminal: it is refused instead.
        context.load_cert_chain(access.certificate, access.key, password=_no_passphrase)
    except (ssl.SSLError, OSError, ValueError) as error:
        raise TlsError(
            f"certificate and key do not serve: {_reason(error)}",
            where=access.certificate,
            expected="PEM of a certificate with its chain, and of its key without a passphrase",
        ) from None
    if access.client_authority:
        _only_ours(Path(access.client_authority), "access.client_authority")
        try:
            context.load_verify_locations(access.client_authority)
        except (ssl.SSLError, OSError) as error:
            raise TlsError(
                f"no authority: {_reason(error)}", where=access.client_authority, expected="PEM of its certificate"
            ) from None
        context.verify_mode = ssl.CERT_REQUIRED if access.client_required else ssl.CERT_OPTIONAL
    return context


def checked_context(plan: Plan) -> ssl.SSLContext | None:
    """How the ports of an instance speak TLS at `Plan.bind`; raises what `check_access` finds."""
    access = plan.config("access", AccessConfig)
    platform = msgspec.structs.replace(plan.config("platform", PlatformConfig), bind=plan.bind)
    context = server_context(access)
    for problem in _check_rest(platform, access, plan.data):
        raise problem
    return context


def check_access(sections: Mapping[str, msgspec.Struct], data: str = "") -> Iterator[ConfigError]:
    """Everything for which the platform would not start, or would start open; `data`: where its data lie."""
    from nautilus.runtime.instance import data_of

    platform, access = sections.get("platform"), sections.get("access")
    if not isinstance(platform, PlatformConfig) or not isinstance(access, AccessConfig):
        return
    try:
        server_context(access)
    except ConfigError as error:
        yield error
    yield from _check_rest(platform, access, data or platform.data_directory or data_of(platform.instance))


def _check_rest(platform: PlatformConfig, access: AccessConfig, place: str | Path) -> Iterator[ConfigError]:
    """All but certificates."""
    usable, faults = _usable_keys(access, place)
    yield from faults
    if access.tls and platform.bind in (PLAIN_HOST, "localhost"):
        yield TlsError(
            f"access.certificate with platform.bind {platform.bind!r}, which stays plain",
            where="platform.bind",
            expected="the address at which TLS is to be spoken; 127.0.0.2 for this machine alone",
        )
    if is_loopback(platform.bind):
        return
    missing = []
    if not access.tls:
        missing.append("TLS (access.certificate and access.key)")
    if not usable and not (access.client_authority and access.subjects):
        missing.append("an API key (`nautilus keys api new NAME`), or access.client_authority with access.subjects")
    if missing:
        yield OpenBindError(
            f"bind {platform.bind!r} is open to other machines",
            where="platform",
            expected=f"{' and '.join(missing)}; or 127.0.0.1",
        )


def _usable_keys(access: AccessConfig, data: str | Path) -> tuple[int, list[ConfigError]]:
    """How many API keys are let in, and what is wrong with secret and list."""
    files = access_files(access, data)
    if not access.secret and not (files.directory / SECRET).exists() and not (files.directory / LIST).exists():
        return 0, []
    try:
        derived = files.derived()
        keys = files.read(derived)
    except ConfigError as error:
        return 0, [error]
    now_ns = wall_ns()
    return sum(not key.revoked_ns and not 0 < key.expires_ns <= now_ns for key in keys), []


def _only_ours(place: Path, what: str) -> None:
    """A file that others may read, but not write."""
    try:
        mode = place.stat().st_mode
    except OSError as error:
        raise TlsError(f"{what} cannot be read: {error.strerror}", where=str(place), expected="a file") from None
    if mode & 0o022 or not stat.S_ISREG(mode):
        raise TlsError(
            f"{what} can be written by others (mode {mode & 0o777:o})", where=str(place), expected="mode 644"
        )


def _no_passphrase() -> str:
    raise ValueError("the key has a passphrase")


def _reason(error: Exception) -> str:
    return getattr(error, "reason", None) or getattr(error, "strerror", None) or str(error)
