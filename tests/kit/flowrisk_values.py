"""Values of flowrisk 0.3.0 (`BulkVPIN`) on recorded minute bars, as tests/golden/vpin_flowrisk.json.

In an environment of its own, as that package needs numpy below 2:

    pip install "flowrisk==0.3.0" "numpy<2"
    python -P tests/kit/flowrisk_values.py ../shared/data/vpin_minute > tests/golden/vpin_flowrisk.json
"""

from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path
from typing import Any

SETTINGS = (
    {"bucket_volume": 100_000.0, "window": 20, "decay": 0.8, "initial": 50},
    {"bucket_volume": 30_000.0, "window": 50, "decay": 0.95, "initial": 2},
)
EVERY = 200


def values(path: Path, chosen: dict[str, Any]) -> Any:
    """One value a bar."""
    import pandas as pd
    from flowrisk.toxicity.vpin import BulkVPIN, BulkVPINConfig

    config = BulkVPINConfig()
    config.BUCKET_MAX_VOLUME, config.N_BUCKET_OR_BUCKET_DECAY = chosen["bucket_volume"], chosen["window"]
    config.VOL_DECAY, config.N_TIME_BAR_FOR_INITIALIZATION = chosen["decay"], chosen["initial"]
    config.TIME_BAR_TIME_STAMP_COL_NAME = "date"
    config.TIME_BAR_PRICE_COL_NAME, config.TIME_BAR_VOLUME_COL_NAME = "4. close", "5. volume"
    return BulkVPIN(config).estimate(pd.read_csv(path))["vpin"].to_numpy()


def main() -> None:
    """Write the file."""
    import numpy as np

    warnings.filterwarnings("ignore")
    out = []
    for path in sorted(Path(sys.argv[1]).glob("*.csv")):
        for chosen in SETTINGS:
            found = values(path, chosen)
            fields: dict[str, Any] = {"file": path.name, "settings": chosen, "bars": len(found)}
            fields |= {"mean": found.mean(), "p95": float(np.percentile(found, 95)), "last": found[-1]}
            out.append({**fields, "every": EVERY, "values": found[::EVERY].tolist()})
    print(json.dumps({"package": "flowrisk 0.3.0", "made_by": "tests/kit/flowrisk_values.py", "sets": out}, indent=1))


if __name__ == "__main__":
    main()
