"""The barrier on algo-1: open once every host has staged. What was heard survives a restart: hosts inside do not ask again."""

from __future__ import annotations

import json

from trainyard.agent.adapters import files
from trainyard.agent.app.settings import Settings
from trainyard.api.plan import Plan


class Barrier:
    def __init__(self, settings: Settings, plan: Plan) -> None:
        self._path = settings.barrier
        self._expected = [host.name for host in plan.hosts]
        self._staged = set(files.read_json(self._path).get("staged", [])) & set(self._expected)

    def arrived(self, host: str) -> None:
        if host in self._expected and host not in self._staged:
            self._staged.add(host)
            files.write_whole(self._path, json.dumps({"staged": sorted(self._staged)}))

    @property
    def missing(self) -> list[str]:
        return [host for host in self._expected if host not in self._staged]
