"""A second instance of an engine and header rules, by configuration, on a real platform."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar
from urllib.request import urlopen

import pytest

from tests.kit.platform import demo


class Second(BaseHTTPRequestHandler):
    """Another risk engine, as far as the gateway can tell."""

    protocol_version = "HTTP/1.1"
    desks: ClassVar[set[str]] = set()

    def do_GET(self) -> None:
        if self.path == "/risk/state":
            self.desks.add(self.headers.get("x-desk", ""))
        body = json.dumps({"status": "healthy", "second": True}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *words: object) -> None:
        pass


@pytest.mark.long
def test_requests_are_shared_out_among_the_instances_and_carry_the_fields_of_the_rules() -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Second)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    settings = (
        "platform.processes=compact",
        f'gateway.instances={{"risk": ["127.0.0.1:{server.server_port}#eu"]}}',
        'gateway.headers={"risk": {"add_request": {"X-Desk": "7"}, "remove_answer": ["Server"]}}',
    )
    try:
        with demo(settings=settings) as platform:
            base = f"http://127.0.0.1:{platform.ports['gateway']}/api/v1"
            seen: set[bool] = set()

            def both() -> bool:
                with urlopen(f"{base}/engines/risk/risk/state") as answer:
                    second = json.load(answer).get("second", False)
                    assert not (second and answer.headers["server"])
                    seen.add(second)
                return seen == {False, True}

            platform.wait(both, "answers of both instances")
            assert Second.desks == {"7"}

            def watched() -> bool:
                report = json.loads((platform.instance.shared / "gateway.health").read_bytes())
                return {each["name"]: each["region"] for each in report["engines"]["risk"]["instances"]} == {
                    "risk": "", "risk-2": "eu",
                }  # fmt: skip

            platform.wait(watched, "both instances in the report of the health monitor")
    finally:
        server.shutdown()
        server.server_close()
