"""Numbers as Prometheus reads them (text format 0.0.4), with those of this process as prometheus-client has them."""

from collections.abc import Iterable
from typing import Final

from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from ostiary.telemetry.families import FAMILIES, Kind
from ostiary.telemetry.meter import Numbers, cumulative

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"


class _Numbers(Collector):
    """One reading."""

    def __init__(self, numbers: Numbers) -> None:
        self._numbers = numbers

    def collect(self) -> Iterable[Metric]:
        """Every metric, those without a sample too."""
        for name, family in FAMILIES.items():
            series = self._numbers.get(name, {})
            labels = list(family.labels)
            match family.kind:
                case Kind.HISTOGRAM:
                    histogram = HistogramMetricFamily(name, family.help, labels=labels)
                    for values, numbers in series.items():
                        histogram.add_metric(list(values), cumulative(family, numbers), numbers[-1])
                    yield histogram
                case Kind.COUNTER | Kind.GAUGE:
                    made = CounterMetricFamily if family.kind is Kind.COUNTER else GaugeMetricFamily
                    simple = made(name, family.help, labels=labels)
                    for values, numbers in series.items():
                        simple.add_metric(list(values), numbers[0])
                    yield simple


def exposition(numbers: Numbers) -> bytes:
    """The page of one scrape."""
    registry = CollectorRegistry(auto_describe=False)
    for collector in (ProcessCollector(registry=None), PlatformCollector(registry=None), _Numbers(numbers)):
        registry.register(collector)
    return generate_latest(registry)
