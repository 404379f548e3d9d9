"""An operator that dies at one of its writes: before the apiserver hears of it, or after it has answered."""

from __future__ import annotations

# Waiting between two attempts is not what is tried here.
IMPATIENT = """
from trainyard.controller.core import restart
restart.FIRST_DELAY_SECONDS = 0
"""
DIES = (
    IMPATIENT
    + """
import os, signal
from trainyard.controller.adapters.cluster import Cluster

sent = 0
request = Cluster._request

async def counted(self, method, path, resource, **more):
    global sent
    if method == "GET" or resource.plural == "leases":
        return await request(self, method, path, resource, **more)
    sent += 1
    mine = sent == {number}
    if mine and {before}:
        os.kill(os.getpid(), signal.SIGKILL)
    answer = await request(self, method, path, resource, **more)
    if mine:
        os.kill(os.getpid(), signal.SIGKILL)
    return answer

Cluster._request = counted
"""
)


def dies(number: int, *, before: bool) -> str:
    """A prelude: SIGKILL at the `number`-th write that is not for the Lease."""
    return DIES.format(number=number, before=before)
