"""What the logs of a job's hosts have given so far, and how two looks at the same metric become one value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from trainyard.api.status import MetricData
from trainyard.controller.core.loglines import Sample, moment


@dataclass(frozen=True)
class Reading:
    """`metrics` are the latest over all hosts; `read_until` is the time of the last line read, by pod.

    `final`: every log was read to its end. `gaps` say which lines may be missing, `unread` which logs could not be read (to
    the end); `numberless` are metrics without a value whose matches are no numbers.
    """

    metrics: tuple[MetricData, ...] = ()
    read_until: Mapping[str, datetime] = field(default_factory=dict)
    final: bool = False
    gaps: tuple[str, ...] = ()
    unread: tuple[str, ...] = ()
    numberless: tuple[str, ...] = ()


def later(known: Sample | None, found: Sample) -> Sample:
    """The one whose line was written later; on the same nanosecond the higher host's, and of one host the one read last."""
    return found if known is None or found.order >= known.order else known


def as_data(samples: Mapping[str, Sample]) -> tuple[MetricData, ...]:
    """As a status has them, by name."""
    return tuple(
        MetricData(metric_name=name, value=sample.value, timestamp=moment(sample.at))
        for name, sample in sorted(samples.items())
    )


def merged(recorded: Sequence[MetricData], read: Sequence[MetricData], names: Sequence[str]) -> list[MetricData]:
    """In the order of `names`. What was recorded stays until a newer line replaces it; the same line, read again, is itself."""
    result = {data.metric_name: data for data in recorded}
    for data in read:
        known = result.get(data.metric_name)
        if known is None or data.timestamp >= known.timestamp:
            result[data.metric_name] = data
    order = {name: number for number, name in enumerate(names)}
    return sorted(result.values(), key=lambda data: (order.get(data.metric_name, len(order)), data.metric_name))


def gap(host: str, known: int | None, first: int | None) -> str:
    """What may be missing between the last line that was read and the first of an answer that was to repeat it.

    The kubelet serves the log's newest file alone. An answer that begins at or before `known` overlaps; one that begins later,
    or is empty (`first` None), shows that the line of `known` is in a file that was rotated away. Nothing is known, and nothing
    is said, of a log that is read from its start. Times are compared as a status keeps them, in microseconds.
    """
    if known is None or (first is not None and moment(first) <= moment(known)):
        return ""
    return f"{host}: between {_shown(known)} and {_shown(first) if first is not None else 'the end'}"


def cut_off(host: str, known: int | None) -> str:
    """What may be missing of a log that went with its pod before it was read to its end."""
    return f"{host}: between {_shown(known) if known is not None else 'its start'} and the end"


def _shown(at: int) -> str:
    return moment(at).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
