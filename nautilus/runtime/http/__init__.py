"""HTTP of every engine: access rules, probes, declared operations, problems; one server thread a process.

::

    view = EngineView("risk", "risk", counters)
    app = EngineApp(view, RiskEngine.operations, ask, AccessRules(token))
    server = HttpServer({"risk": (app, bind_socket("127.0.0.1", 8200, "risk"))}, counters)
    server.start()
    ...
    server.stop()
"""

from nautilus.runtime.http.access import AccessRules, HttpConfig
from nautilus.runtime.http.app import EngineApp
from nautilus.runtime.http.exchange import Request, Response, Route
from nautilus.runtime.http.operations import Ask
from nautilus.runtime.http.problems import HttpError
from nautilus.runtime.http.server import HttpServer
from nautilus.runtime.http.sockets import PortError, bind_socket

__all__ = [
    "AccessRules",
    "Ask",
    "EngineApp",
    "HttpConfig",
    "HttpError",
    "HttpServer",
    "PortError",
    "Request",
    "Response",
    "Route",
    "bind_socket",
]
