"""What the sidecar has observed, on disk: a restarted one carries on where it was."""

from __future__ import annotations

import json
from dataclasses import asdict, replace

from trainyard.agent.adapters import clock, files
from trainyard.agent.app.settings import Settings
from trainyard.agent.core.lifecycle import Facts
from trainyard.api.report import StopOrder, TrainingEnd


def load(settings: Settings, now: float) -> Facts:
    """What a former process of this sidecar knew; only the silence before now says nothing."""
    kept = files.read_json(settings.facts)
    if not kept:
        return Facts(began=clock.began(), listening_since=now)
    if kept.get("stop"):
        kept["stop"] = StopOrder.from_dict(kept["stop"])
    if kept.get("ended"):
        kept["ended"] = TrainingEnd.from_dict(kept["ended"])
    return replace(Facts(**kept), listening_since=now)


def save(settings: Settings, facts: Facts) -> None:
    kept = asdict(facts)
    kept["stop"] = facts.stop.to_dict() if facts.stop else None
    kept["ended"] = facts.ended.to_dict() if facts.ended else None
    files.write_whole(settings.facts, json.dumps(kept))
