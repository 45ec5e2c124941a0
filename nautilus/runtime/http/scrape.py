"""The page that Prometheus reads: which format, and how often it is made anew."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4 as PLAIN
from prometheus_client.openmetrics.exposition import CONTENT_TYPE_LATEST as RICH

from nautilus.runtime.clock import NANOSECONDS, monotonic_ns
from nautilus.runtime.http.exposition import Exposition
from nautilus.runtime.metrics import EngineView

FRESH_NS = NANOSECONDS // 2
"""So long a page is shown again as it is; not one with sums of several processes, which would seem to go back."""
_OPENMETRICS = "application/openmetrics-text"


class MetricsPage:
    """An engine's `/metrics`, rendered at most twice a second, however often it is asked for.

    Parameters
    ----------
    clock
        Nanoseconds that only grow.
    """

    def __init__(self, view: EngineView, clock: Callable[[], int] = monotonic_ns) -> None:
        self._clock = clock
        self._sums = view.sums is not None
        self._exposition = Exposition(view)
        self._pages: dict[str, tuple[int, bytes]] = {}

    def render(self, accept: str) -> tuple[bytes, str]:
        """The page in the format that the reader likes best, and its content type; OpenMetrics where any will do."""
        content_type = _format_for(accept)
        rendered_ns, page = self._pages.get(content_type, (0, b""))
        now_ns = self._clock()
        if not page or self._sums or now_ns - rendered_ns > FRESH_NS:
            page = self._exposition.render(rich=content_type == RICH)
            self._pages[content_type] = now_ns, page
        return page, content_type


def _format_for(accept: str) -> str:
    """Content type for a reader, by the weights of its `Accept` header."""
    weights: dict[str, float] = {}
    for part in accept.lower().split(","):
        kind, *parameters = (word.strip() for word in part.split(";"))
        weight = next((text[2:] for text in parameters if text.startswith("q=")), "1")
        try:
            weights[kind] = max(weights.get(kind, 0.0), float(weight))
        except ValueError:
            weights.setdefault(kind, 0.0)
    any_kind = weights.get("*/*", 0.0)
    rich = weights.get(_OPENMETRICS, weights.get("application/*", any_kind))
    plain = weights.get("text/plain", weights.get("text/*", any_kind))
    # Who likes neither gets one all the same, but not what it ruled out.
    return PLAIN if plain > rich or weights.get(_OPENMETRICS) == 0 else RICH
