"""How the gateway is seen from outside: what it counts, and how that is told.

`families` names every metric, `meter` holds the numbers of one process, `snapshot` carries them to another one,
`exposition` writes them as Prometheus reads them. `ports` measures what the gate waits for.
"""

from ostiary.telemetry import families
from ostiary.telemetry.exposition import CONTENT_TYPE, exposition
from ostiary.telemetry.families import FAMILIES, Family, Kind
from ostiary.telemetry.meter import Meter, Numbers, merge
from ostiary.telemetry.snapshot import Snapshots, SnapshotWriter

__all__ = [
    "CONTENT_TYPE",
    "FAMILIES",
    "Family",
    "Kind",
    "Meter",
    "Numbers",
    "SnapshotWriter",
    "Snapshots",
    "exposition",
    "families",
    "merge",
]
