"""`stage`'s part of a channel that a volume serves: nothing is copied, but its directory must be there before training begins."""

from __future__ import annotations

import logging

from trainyard.agent.adapters import beneath, files
from trainyard.agent.app.settings import Settings
from trainyard.agent.core import layout
from trainyard.api.plan import Plan

log = logging.getLogger(__name__)


def check(settings: Settings, plan: Plan) -> None:
    """Raises ClientFailure."""
    for channel in plan.mounted:
        fault = beneath.fault(settings.volumes / channel.volume, channel.path)
        if fault:
            raise layout.no_directory(channel, fault)
        # What the volume is mounted over.
        files.make_directory(settings.ml / "input/data" / channel.name)
        log.info("channel %s is %s, of claim %s", channel.name, channel.source, channel.claim)
