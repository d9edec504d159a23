"""What an application's statements cost it, counted inside of it.

histogram.py     durations
statements.py    what a text does, and to which tables, by PostgreSQL's grammar (harmless.py: which functions write)
meter.py         counts what an engine executes
metrics.py       the values that come of it
"""

from dbopt.client.meter.histogram import Histogram
from dbopt.client.meter.meter import Meter
from dbopt.client.meter.metrics import Metrics, Queries, Recent, Slow

__all__ = ["Histogram", "Meter", "Metrics", "Queries", "Recent", "Slow"]
