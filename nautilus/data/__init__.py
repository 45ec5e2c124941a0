"""Stored market data for people: Arrow tables from a catalog on this machine, a PostgreSQL server, or a hub over HTTP.

::

    from nautilus import data

    stored = data.open("catalog")                           # or "postgresql://user@host/database"
    stored.ticks("BTCUSDT", "2022-11-01", "2022-11-02")     # pyarrow.Table; .to_pandas() is yours
    stored.sql("SELECT instrument, avg(price) FROM trade GROUP BY 1")

    hub = data.connect("http://127.0.0.1:8800", token)      # the same questions, answered by a running hub
"""

from nautilus.data.remote import Remote, connect
from nautilus.data.stored import Stored, open
from nautilus.data.times import nanoseconds

__all__ = ["Remote", "Stored", "connect", "nanoseconds", "open"]
