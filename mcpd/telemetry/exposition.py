"""Snapshots as Prometheus reads them, by prometheus-client: the extra ``metrics``."""

from collections.abc import Iterator
from typing import Any

from mcpd.errors import ConfigError
from mcpd.telemetry.families import BY_NAME, Family
from mcpd.telemetry.meters import Series, Snapshot


def check_installed() -> None:
    """Whether metrics can be told.

    Raises:
        ConfigError: the extra is not installed.
    """
    try:
        import prometheus_client  # noqa: F401
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"Metrics need the extra metrics, which is not installed: there is no {error.name}.",
            fix="pip install 'mcpd-server[metrics]', or in a clone: pip install '.[metrics]'",
        ) from error


def expose(snapshot: Snapshot, accept: str) -> tuple[bytes, str]:
    """The text of a scrape and its media type.

    Args:
        accept: of the request: it chooses the format.
    """
    from prometheus_client.exposition import choose_encoder

    encode, content_type = choose_encoder(accept)
    return encode(_Registry(snapshot)), content_type


class _Registry:
    """As the encoders know it."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot

    def collect(self) -> Iterator[Any]:
        for name, series in sorted(self._snapshot.families.items()):
            if series:
                yield _family(BY_NAME[name], series)


def _family(family: Family, series: list[Series]) -> Any:
    from prometheus_client import core

    kinds = {
        "counter": core.CounterMetricFamily,
        "gauge": core.GaugeMetricFamily,
        "histogram": core.HistogramMetricFamily,
    }
    labels = [label.replace(".", "_") for label in family.labels]
    name = family.name.replace(".", "_")
    told = kinds[family.kind](name, family.help, labels=labels, unit=family.unit)
    for one in series:
        if family.kind == "histogram":
            told.add_metric(one.labels, _cumulative(family, one), one.value)
        else:
            told.add_metric(one.labels, one.value)
    return told


def _cumulative(family: Family, one: Series) -> list[tuple[str, float]]:
    buckets, total = [], 0
    for bound, count in zip((*family.buckets, None), one.buckets, strict=True):
        total += count
        buckets.append(("+Inf" if bound is None else repr(bound), float(total)))
    return buckets
