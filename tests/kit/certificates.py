"""Certificates of an authority of one's own, made by the `openssl` of the machine."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest


class Certificate(NamedTuple):
    """Files of a certificate and of its key."""

    certificate: Path
    key: Path


def make_authority(place: Path, name: str = "authority") -> Certificate:
    """A new authority; the test is skipped where there is no openssl."""
    if shutil.which("openssl") is None:
        pytest.skip("no openssl on this machine")
    place.mkdir(parents=True, exist_ok=True)
    made = Certificate(place / f"{name}.pem", place / f"{name}.key")
    _openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
             "-subj", f"/CN={name}", "-keyout", made.key, "-out", made.certificate)  # fmt: skip
    return _private(made)


def make_certificate(authority: Certificate, name: str, address: str = "127.0.0.2") -> Certificate:
    """A certificate of an authority: of a server at an address, and of a client with that common name."""
    place = authority.certificate.parent
    made, request, more = Certificate(place / f"{name}.pem", place / f"{name}.key"), place / "request", place / "more"
    _openssl("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
             "-subj", f"/CN={name}", "-keyout", made.key, "-out", request)  # fmt: skip
    more.write_text(f"subjectAltName=IP:{address},DNS:localhost\n")
    _openssl("x509", "-req", "-in", request, "-CA", authority.certificate, "-CAkey", authority.key, "-CAcreateserial",
             "-days", "2", "-extfile", more, "-out", made.certificate)  # fmt: skip
    return _private(made)


def _openssl(*arguments: object) -> None:
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)


def _private(made: Certificate) -> Certificate:
    made.certificate.chmod(0o600)
    made.key.chmod(0o600)
    return made
