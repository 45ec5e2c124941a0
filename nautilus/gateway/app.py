"""The application at the gateway's port.

::

    port -> GatewayApp: /api/v1/engines/...           -> proxy, which asks the access rules itself
                        access rules -> probes, /docs -> plain
                                     -> /api/v1/hybrid -> FastAPI (`nautilus.gateway.management`)
"""

from __future__ import annotations

from typing import Any

from nautilus.gateway.describe import describe_gateway
from nautilus.gateway.endpoints import BASE
from nautilus.gateway.management import BASE_PATH, hybrid_router, scope_of
from nautilus.gateway.proxy import Proxy
from nautilus.gateway.services import Services
from nautilus.runtime.auditing import Recorder
from nautilus.runtime.errorlog import ErrorLog
from nautilus.runtime.http.access import AccessRules
from nautilus.runtime.http.app import EngineApp
from nautilus.runtime.http.config import HttpConfig
from nautilus.runtime.http.exchange import Exchange, stopping
from nautilus.runtime.metrics import EngineView


class GatewayApp(EngineApp):
    """Probes, proxy and management API of one worker.

    Parameters
    ----------
    view
        What the probes show.
    services
        What the management API shows and changes.
    rules
        Who may ask.
    proxy
        Takes the requests to engines; None: there are no paths of engines.
    config, errors, audit
        As of every port.
    """

    def __init__(
        self,
        view: EngineView,
        services: Services,
        rules: AccessRules,
        proxy: Proxy | None = None,
        *,
        config: HttpConfig | None = None,
        errors: ErrorLog | None = None,
        audit: Recorder | None = None,
    ) -> None:
        super().__init__(view, (), _nobody, rules, config=config, errors=errors, audit=audit)
        self.proxy = proxy
        if proxy is not None:
            proxy.lane.app = self
            self.lane = proxy.lane
        self._names = services.names
        self.api.include_router(hybrid_router(services))

    def __call__(self, exchange: Exchange) -> None:
        """Answer a request."""
        if self.proxy is None or not exchange.path.startswith(BASE):
            super().__call__(exchange)
        elif self.stopping:
            exchange.problem(stopping())
        else:
            self.proxy(exchange)

    def give_up(self) -> None:
        """What is under way is not waited for any longer; who is served by the proxy is told so."""
        super().give_up()
        if self.proxy is not None:
            self.proxy.give_up()

    def needed(self, method: str, path: str) -> str | None:
        """The scope that a request needs."""
        return scope_of(method, path) if path.startswith(f"{BASE_PATH}/") else super().needed(method, path)

    def document(self) -> dict[str, Any]:
        """The OpenAPI document: probes, management, and every engine's operations as the gateway passes them on."""
        if self._document is None:
            self._document = describe_gateway(
                self.api.routes, self._names if self.proxy else (), sessions=self.has_sessions
            )
        return self._document


def _nobody(*arguments: Any) -> Any:
    raise NotImplementedError("the gateway's port declares no operation of its own")
