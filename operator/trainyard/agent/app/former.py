"""What an earlier attempt of the same job has left, by its manifest: read a piece at a time, for it may be longer than memory."""

from __future__ import annotations

import logging
from collections.abc import Iterator

from trainyard.agent.app.patience import Patience, Refused
from trainyard.agent.app.store import Store
from trainyard.agent.core.manifest import Listing
from trainyard.api.plan import Plan
from trainyard.api.uris import split_s3_uri

log = logging.getLogger(__name__)
PIECE = 1024 * 1024


def files(store: Store, plan: Plan, uri: str, patience: Patience) -> Iterator[tuple[str, int]]:
    """Path and size of its files of the artifact `uri`; none if that cannot be told."""
    if plan.job.attempt == 1:
        return
    listing = Listing(plan.job, uri)
    try:
        for line in _lines(store, plan, patience):
            if (found := listing.file(line)) is not None:
                yield found
    except Refused as refused:
        if not refused.fault.missing:
            log.warning("what an earlier attempt has left is not known: %s", refused)
    except (ValueError, KeyError, TypeError) as error:
        log.info("%s is not read further: %s", plan.manifest_uri, error)


def _lines(store: Store, plan: Plan, patience: Patience) -> Iterator[str]:
    bucket, key = split_s3_uri(plan.manifest_uri)
    item = store.head(bucket, key, patience)
    rest = b""
    for first in range(0, item.size, PIECE):
        rest += store.read(bucket, item, first, min(PIECE, item.size - first), patience)
        *lines, rest = rest.split(b"\n")
        yield from (line.decode() for line in lines)
    yield rest.decode()
