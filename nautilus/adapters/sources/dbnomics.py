"""DBnomics, the series of statistical offices and central banks: https://api.db.nomics.world/v22/apidocs.

What a question's symbol may be:

- ECONOMIC: ``BIS/cbpol/M.AR``, one series; ``BIS/cbpol/M..``, all that a mask of dimensions has.
- LISTING: ``BIS/cbpol``, the series of a data set; other words: data sets to search for.

Each series names itself ``provider/dataset/series``. ``NA`` is a value that is not there.
"""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import quote

from nautilus.adapters.sources.base import Source
from nautilus.adapters.sources.config import DbnomicsConfig
from nautilus.adapters.sources.dbnomics_bodies import Dataset, SearchBody, Series, SeriesBody
from nautilus.adapters.sources.errors import MalformedError, NotFoundError
from nautilus.adapters.sources.periods import period_named
from nautilus.adapters.sources.session import Asking
from nautilus.adapters.sources.times import local_ns, number
from nautilus.adapters.sources.units import scale_of, scaled
from nautilus.adapters.sources.validate import decode, missing, too_many_pages
from nautilus.model.datasets import DataKind, EconomicFact, Fact, GetData, ListingFact, Provenance

SEARCHED = 100
"""Data sets of a page of a search at most."""
UNITS = ("UNIT", "unit", "UNIT_MEASURE", "currency", "CURRENCY")
"""Dimensions that name the unit of a series; each provider has its own."""


class DbnomicsSource(Source):
    """Series of many providers, and what series there are."""

    name = "dbnomics"
    kinds = (DataKind.ECONOMIC, DataKind.LISTING)

    config: DbnomicsConfig

    async def _ask(self, question: GetData, asking: Asking) -> Iterable[Fact]:
        if question.kind is DataKind.ECONOMIC:
            found = await self._series(question.symbol, asking, "1")
            return [fact for place, item, at in found for fact in self._observations(item, place, at)]
        if "/" in question.symbol:
            return [
                self._listed(item, place, at) for place, item, at in await self._series(question.symbol, asking, "0")
            ]
        return await self._search(question, asking)

    async def _series(self, symbol: str, asking: Asking, observations: str) -> list[tuple[int, Series, Provenance]]:
        """All series of a place, with where each stood in its page, and of what page."""
        path = "/series/" + "/".join(quote(part, safe=".") for part in symbol.split("/"))
        found: list[tuple[int, Series, Provenance]] = []
        for _ in range(self.config.most_pages):
            query = {"observations": observations, "limit": str(self.config.page), "offset": str(len(found))}
            reply = await asking.get(path, query)
            page = decode(self.session, reply, SeriesBody).series
            found += [(place, item, reply.provenance) for place, item in enumerate(page.docs)]
            if not found:
                raise self.session.fault(NotFoundError, f"no {symbol}", reply.provenance.url, expected="a series")
            if not page.docs or len(found) >= page.num_found:
                return found
        raise too_many_pages(self.session, asking)

    def _observations(self, item: Series, place: int, provenance: Provenance) -> Iterable[EconomicFact]:
        path = f"$.series.docs[{place}]"
        for name, told in (("period", item.period), ("value", item.value), ("@frequency", item.frequency or None)):
            if told is None:
                raise missing(self.session, provenance.url, f"{path}.{name}")
        assert item.period is not None
        assert item.value is not None
        if len(item.period) != len(item.value):
            raise self.session.fault(
                MalformedError,
                f"{path}.value: {len(item.value)} values to {len(item.period)} periods",
                provenance.url,
                expected="as many",
                path=f"{path}.value",
            )
        power, unit = scale_of(next((item.dimensions[name] for name in UNITS if name in item.dimensions), ""))
        factor = item.dimensions.get("UNIT_MULT", "")
        power += int(factor) if factor.isdigit() else 0
        vintage_ns = self._indexed_ns(item, provenance, path)
        key = f"{item.provider_code}/{item.dataset_code}/{item.series_code}"
        for index, (period, value) in enumerate(zip(item.period, item.value, strict=True)):
            try:
                begin_ns, end_ns = period_named(period)
                plain = number(value)
            except ValueError as error:
                where = f"{path}.{'period' if str(error).startswith('period') else 'value'}[{index}]"
                raise self.session.fault(
                    MalformedError, f"{where}: {error}", provenance.url, expected="a period and a number", path=where
                ) from None
            yield EconomicFact(
                series=key,
                begin_ns=begin_ns,
                end_ns=end_ns,
                value=None if plain is None else scaled(plain, power),
                unit=unit,
                frequency=item.frequency,
                vintage_ns=vintage_ns,
                provenance=provenance,
            )

    def _indexed_ns(self, item: Series | Dataset, at: Provenance, path: str) -> int:
        """When it was taken over from its provider; 0: it does not say."""
        try:
            return local_ns(item.indexed_at) if item.indexed_at else 0
        except ValueError as error:
            path = f"{path}.indexed_at"
            raise self.session.fault(MalformedError, f"{path}: {error}", at.url, expected="a time", path=path) from None

    def _listed(self, item: Series, place: int, provenance: Provenance) -> ListingFact:
        key = f"{item.provider_code}/{item.dataset_code}/{item.series_code}"
        return ListingFact(
            key=key,
            name=item.series_name,
            category=f"{item.provider_code}/{item.dataset_code}",
            description=item.dataset_name,
            currency="",
            unit=next((item.dimensions[name] for name in UNITS if name in item.dimensions), ""),
            frequency=item.frequency,
            begin_ns=0,
            end_ns=0,
            updated_ns=self._indexed_ns(item, provenance, f"$.series.docs[{place}]"),
            links=(f"https://db.nomics.world/{quote(key)}",),
            provenance=provenance,
        )

    async def _search(self, question: GetData, asking: Asking) -> list[Fact]:
        found: list[Fact] = []
        for _ in range(self.config.most_pages):
            most = min(question.limit - len(found), SEARCHED) if question.limit else SEARCHED
            query = {"q": question.symbol, "limit": str(most), "offset": str(len(found))}
            reply = await asking.get("/search", query)
            page = decode(self.session, reply, SearchBody).results
            found += [self._found(item, place, reply.provenance) for place, item in enumerate(page.docs)]
            if not page.docs or len(found) >= min(question.limit or page.num_found, page.num_found):
                return found
        raise too_many_pages(self.session, asking)

    def _found(self, item: Dataset, place: int, at: Provenance) -> ListingFact:
        return ListingFact(
            key=f"{item.provider_code}/{item.code}",
            name=item.name,
            category=item.provider_code,
            description=item.description or f"{item.nb_series} series",
            currency="",
            unit="",
            frequency="",
            begin_ns=0,
            end_ns=0,
            updated_ns=self._indexed_ns(item, at, f"$.results.docs[{place}]"),
            links=(f"https://db.nomics.world/{quote(item.provider_code)}/{quote(item.code)}",),
            provenance=at,
        )
