"""Every time constant of the agent, in seconds, in one place, so that a test can shrink them."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields

from trainyard.api.names import (
    LIVENESS_PERIOD_SECONDS,
    LIVENESS_THRESHOLD,
    STOP_GRACE_SECONDS,
)


@dataclass(frozen=True)
class Timing:
    """The defaults fit the probe and the graces in trainyard.api.names."""

    poll: float = 0.3
    """Between looks at annotations, peers and the clock; also the barrier's."""
    probe_period: float = LIVENESS_PERIOD_SECONDS
    kill_lead: float = LIVENESS_PERIOD_SECONDS * (LIVENESS_THRESHOLD - 1)
    """From the first refused probe to SIGTERM: it is the first of those that the kubelet counts."""
    grace: float = STOP_GRACE_SECONDS
    """From SIGTERM to SIGKILL."""
    silence: float = LIVENESS_PERIOD_SECONDS * 5
    """Without a probe for so long, training has probably ended. Generous: the operator's word comes sooner as a rule."""
    long_silence: float = 60
    """Without a probe for so long, and no word from the operator, `hold` may go: it cannot be called back."""
    never_probed: float = 120
    """Staged for so long without one probe: training was over before the first was due."""
    limit_margin: float = 3
    """A training that ended by itself so long before its time limit has kept it."""
    failed_upload: float = 60
    """How long an upload may be blocked after training failed: it must not hide the failure."""
    peer_poll: float = 1.0
    peer_lost: float = 120
    """Without an answer from a host for so long, its files are given up."""
    peer_wait: float = 180
    """How long a host that is itself being ended waits for others to end."""
    checkpoint_hurry: float = 5
    """Between two looks at checkpoints once training has been told to end: its host may not be there for much longer."""
    fence_age: float = 1
    """For so long it is taken for true that no later attempt has marked the place, while checkpoints are written."""
    unreachable: float = 60
    """An endpoint that was never reached, and whose name does not exist or that is no S3 server, is given up after so long."""
    brief: float = 20
    """How long something is asked that can be done without."""
    renewal: float = 120
    """Credentials that have expired are given up after so long: the kubelet shows a renewed Secret within about 90 s."""
    blocked_told: float = 10
    """Staging says why it is blocked once a request has failed for so long."""
    pace: float = 30
    """Seconds of transfer after which it is said that it is slow."""
    backoff_first: float = 0.2
    backoff_most: float = 10
    connect: float = 5
    read: float = 60
    """Longest pause within an answer."""
    worker_restart: float = 1
    """First pause before a dead upload process is started again; doubles to thirty times that."""
    worker_stuck: float = 30
    """How long an upload process that was told to end may take to take back what it began; then another one may."""
    fifo_poll: float = 0.02
    """Between looks whether a FIFO's reader has left."""
    fifo_left_open: float = 5
    """A reader that has been given everything for so long gets the next FIFO, though it has not closed this one."""
    quiet: float = 1800
    """An upload process that says nothing for so long, neither progress nor refusal, is stuck."""

    @staticmethod
    def from_json(text: str) -> Timing:
        """Overrides as a JSON object; unknown names are an error."""
        values = json.loads(text) if text else {}
        unknown = set(values) - {field.name for field in fields(Timing)}
        if unknown:
            raise ValueError(f"unknown time constants: {', '.join(sorted(unknown))}")
        return Timing(**{name: float(value) for name, value in values.items()})

    def to_json(self) -> str:
        return json.dumps(asdict(self))
