"""Ports in use, free ones, and who has them."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

import pytest

from nautilus.model.errors import ConfigError
from nautilus.runtime.http.sockets import PortError, bind_socket, holder_of

HOLDER = """
import socket, sys
listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1"])
def test_free_port_is_listened_on_at_once(host):
    try:
        listener = bind_socket(host, 0)
    except PortError as error:
        if "not of this machine" in str(error):
            pytest.skip(f"{host} is not there")
        raise
    with listener:
        port = listener.getsockname()[1]
        socket.create_connection((host, port), timeout=60).close()


def test_port_in_use_names_engine_port_and_holder():
    with subprocess.Popen([sys.executable, "-c", HOLDER], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        try:
            port = int(holder.stdout.readline())
            with pytest.raises(PortError) as caught:
                bind_socket("127.0.0.1", port, "risk")
            assert holder_of(port).startswith(f"process {holder.pid} (")
        finally:
            holder.kill()
    error = caught.value
    assert isinstance(error, ConfigError)
    assert error.code == "config.port"
    assert error.what.startswith(f"port {port} of engine risk is taken by process {holder.pid} (")
    assert error.where == f"127.0.0.1:{port}"
    assert "free" in error.expected


def test_two_listeners_cannot_share_a_port_before_they_serve():
    with bind_socket("127.0.0.1", 0) as first:
        port = first.getsockname()[1]
        with pytest.raises(PortError, match=f"taken by process {os.getpid()} "):
            bind_socket("127.0.0.1", port)
    bind_socket("127.0.0.1", port).close()


def test_port_whose_last_user_has_just_left_can_be_had_again():
    with bind_socket("127.0.0.1", 0) as first:
        port = first.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)):
            first.setblocking(True)
            accepted, _ = first.accept()
            accepted.close()  # the side that closes first keeps the address in TIME_WAIT
    bind_socket("127.0.0.1", port).close()


@pytest.mark.parametrize(
    ("host", "port", "word"),
    [("203.0.113.1", 0, "not of this machine"), ("127.0.0.1", 70000, "70000")],
)
def test_address_that_cannot_be_had_is_one_clear_error(host, port, word):
    with pytest.raises(PortError, match=word):
        bind_socket(host, port, "risk")


def test_holder_of_a_port_that_nobody_has_is_nobody():
    with bind_socket("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
    assert holder_of(port) == ""
