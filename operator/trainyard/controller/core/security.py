"""Who the containers of a pod run as, and what they may."""

from __future__ import annotations

from trainyard.controller.core.children import Manifest


class Security:
    """Who the containers run as. baseline: training as its image says. restricted: everything as one non-root user."""

    def __init__(self, restricted: bool, uid: int, *, owns_volume: bool) -> None:
        self._restricted = restricted
        self._uid = uid
        # A new volume is root's; a directory of the node is anybody's.
        self._group: Manifest = {"fsGroup": uid, "fsGroupChangePolicy": "OnRootMismatch"} if owns_volume else {}

    def pod(self) -> Manifest:
        if not self._restricted:
            return {}
        return {
            "runAsNonRoot": True,
            "runAsUser": self._uid,
            "runAsGroup": self._uid,
            "seccompProfile": {"type": "RuntimeDefault"},
        } | self._group

    def _confined(self) -> Manifest:
        return {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "seccompProfile": {"type": "RuntimeDefault"},
        }

    def agent(self) -> Manifest:
        """uid 0 with DAC_OVERRIDE alone: enough to read a 0600 file of any user, and admitted by Pod Security baseline."""
        confined = self._confined() | {"readOnlyRootFilesystem": True}
        if self._restricted:
            return confined
        return confined | {"runAsUser": 0, "capabilities": {"drop": ["ALL"], "add": ["DAC_OVERRIDE"]}}

    def bystander(self) -> Manifest:
        """For what only waits or does nothing."""
        return self._confined() | {"readOnlyRootFilesystem": True}

    def training(self) -> Manifest:
        return self._confined() if self._restricted else {}
