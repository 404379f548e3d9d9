"""What can go wrong, in one tree.

AgentError           a failure that people will read; `message` carries FailureReason's prefix
  ClientFailure      names, permissions, data: something the user can mend      "ClientError: "
  PlatformFailure    ours, or the cluster's                                     "InternalServerError: "
StopSignal           not a failure: a stop order or a signal ended the work early
StoreFault           S3, or the way to it, said no: facts only, judged by core.verdict
PeerFault            another host's sidecar did not answer, or broke off
"""

from __future__ import annotations

from typing import ClassVar, Literal

from trainyard.api.reasons import Reason
from trainyard.api.report import StopReason

FaultKind = Literal[
    "answer", "nowhere", "dns", "refused", "connection", "timeout", "tls", "credentials", "damaged", "forbidden",
]  # fmt: skip
"""`nowhere`: the host name does not exist. `dns`: nobody could say whether it does."""
NOT_S3 = "NotS3"
"""The code of an answer that ought to be a document of S3's and is none, or not a whole one."""
NOT_ENCRYPTED = "NotEncrypted"
"""The code of an answer that does not say that an object was encrypted as it was to be."""


def readable(text: str) -> str:
    """`text` as a report may hold it: a key or a file name need not be UTF-8."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


class AgentError(Exception):
    """`reason` for machines, `text` for people: what happened to which object, and what to do."""

    prefix: ClassVar[str] = ""

    def __init__(self, reason: Reason, text: str) -> None:
        text = readable(text)
        super().__init__(text)
        self.reason = reason
        self.text = text

    @property
    def message(self) -> str:
        return f"{self.prefix}{self.text}"


class ClientFailure(AgentError):  # noqa: N818 - named for the prefix
    prefix = "ClientError: "


class PlatformFailure(AgentError):  # noqa: N818 - named for the prefix
    prefix = "InternalServerError: "


class StopSignal(Exception):  # noqa: N818 - not an error
    """Raised through the work when a stop order, the time limit or SIGTERM is seen."""

    def __init__(self, reason: StopReason, text: str = "") -> None:
        super().__init__(text or reason.value)
        self.reason = reason
        self.text = text


class StoreFault(Exception):  # noqa: N818 - facts, not yet an error
    """One failed request. `status` is 0 and `code` empty when no answer came."""

    def __init__(self, kind: FaultKind, detail: str, *, status: int = 0, code: str = "") -> None:
        super().__init__(f"{code or kind}: {detail}")
        self.kind = kind
        self.detail = detail
        self.status = status
        self.code = code

    @property
    def missing(self) -> bool:
        """The key does not exist (its bucket does). S3 says so with a code."""
        return self.status == 404 and self.code in {"NoSuchKey", "NotFound"}

    @property
    def moved(self) -> bool:
        """The object that was listed is gone, or another one has its key."""
        return self.missing or self.status == 412

    @property
    def foreign(self) -> bool:
        """An answer that S3 did not write: of a proxy whose server is away, or of a web server."""
        return self.code == NOT_S3 or (self.status == 404 and not self.code)


class PeerFault(Exception):  # noqa: N818 - facts, not yet an error
    """Another host's sidecar could not be reached, refused, or broke off in the middle."""

    def __init__(self, host: str, detail: str) -> None:
        super().__init__(f"{host}: {detail}")
        self.host = host
        self.detail = detail


def starved(error: BaseException) -> bool:
    """Is it that memory ran out? Of a thread's stack Python says so in words alone."""
    return isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and "start new thread" in str(error))


def unexpected(error: BaseException) -> PlatformFailure:
    """The message for an error nobody foresaw: its type and text; the traceback belongs into the log."""
    detail = f"{type(error).__name__}: {error}".strip().rstrip(":")
    return PlatformFailure(
        Reason.INTERNAL_ERROR, f"The agent met an error it does not know ({detail}); see its container's log."
    )
