"""The latest value of each metric of each host, for the metrics endpoint; so many and no more, whoever comes first."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping

from trainyard.controller.adapters.cache import Key
from trainyard.controller.app.metrics import Series
from trainyard.controller.core.loglines import Sample
from trainyard.controller.core.reading import later

_log = logging.getLogger(__name__)


class Live:
    """`limit`: how many values are kept. Keys are those of jobs."""

    def __init__(self, limit: int) -> None:
        self._left = limit
        self._values: dict[Key, dict[tuple[str, str], Sample]] = {}
        self._dropped: dict[Key, set[tuple[str, str]]] = {}

    def take(self, key: Key, host: str, samples: Mapping[str, Sample]) -> None:
        values = self._values.setdefault(key, {})
        for metric, sample in samples.items():
            known = values.get((host, metric))
            if known is None and self._left <= 0:
                self._drop(key, host, metric)
                continue
            if known is None:
                self._left -= 1
                self._dropped.get(key, set()).discard((host, metric))
            values[host, metric] = later(known, sample)

    def _drop(self, key: Key, host: str, metric: str) -> None:
        if key not in self._dropped:
            extra = {"job": "/".join(key)}
            _log.warning(
                "not all metrics are on the endpoint, metricsFromLogs.maxSeries is reached: %s of %s is the first of this job",
                metric,
                host,
                extra=extra,
            )
        self._dropped.setdefault(key, set()).add((host, metric))

    def forget(self, key: Key) -> None:
        self._left += len(self._values.pop(key, {}))
        self._dropped.pop(key, None)

    def series(self) -> Iterator[Series]:
        for (namespace, job), values in self._values.items():
            for (host, metric), sample in values.items():
                yield Series(namespace, job, metric, host, sample.value)

    @property
    def dropped(self) -> int:
        return sum(map(len, self._dropped.values()))
