# ruff: noqa: N818 - named for what happened, as a caller reads them: `except Conflict`
"""What can go wrong between the operator and the apiserver, in the operator's words.

ClusterError
├── Unreachable      no answer, or none in time: the outcome of a write is unknown, look before repeating it
├── Throttled        429 or 5xx: later
├── NotFound         404
├── Conflict         409: somebody else was faster, or another object has that name
├── Expired          410: the list is too old to be continued
└── Refused          400, 401, 403, 422: this request will not be accepted as it is; `message` is the apiserver's
"""

from __future__ import annotations


class ClusterError(Exception):
    """`message` may be shown to users; `status` is the HTTP status, 0 without an answer."""

    def __init__(self, message: str, status: int = 0, reason: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.reason = reason


class Unreachable(ClusterError):
    pass


class Throttled(ClusterError):
    pass


class NotFound(ClusterError):
    pass


class Conflict(ClusterError):
    pass


class Expired(ClusterError):
    pass


class Refused(ClusterError):
    pass


def from_answer(status: int, reason: str, message: str) -> ClusterError:
    """The error that an HTTP answer of 400 or above stands for."""
    if status == 404:
        return NotFound(message, status, reason)
    if status == 409:
        return Conflict(message, status, reason)
    if status == 410:
        return Expired(message, status, reason)
    if status == 429 or status >= 500:
        return Throttled(message, status, reason)
    return Refused(message, status, reason)
