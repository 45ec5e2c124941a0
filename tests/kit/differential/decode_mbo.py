"""Market-by-order records of a DBN file as JSON lines. Runs in the peer's interpreter, which has the decoder.

    python -I decode_mbo.py FILE.dbn.zst > records.jsonl

A line is [action, side, price in 1e-9, size, order id].
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import databento_dbn as dbn


def main() -> None:
    """Print every record."""
    decoder = dbn.DBNDecoder(compression=dbn.Compression.ZSTD)
    decoder.write(Path(sys.argv[1]).read_bytes())
    for record in decoder.decode():
        if isinstance(record, dbn.MBOMsg):
            print(json.dumps([str(record.action), str(record.side), record.price, record.size, record.order_id]))


if __name__ == "__main__":
    main()
