"""Is a file still open for writing, in whatever container of the node? The kernel knows, and tells who asks for a lease."""

from __future__ import annotations

import errno
import fcntl


def being_written(descriptor: int) -> bool | None:
    """`descriptor` must be open for reading alone. None: nobody can tell, as the file is another user's and we have no
    CAP_LEASE, or as its file system knows no leases. A read lease is not given on a file that anyone has open for writing."""
    try:
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    except OSError as error:
        return True if error.errno == errno.EAGAIN else None
    # Given back at once: as long as we hold it, whoever opens the file for writing waits.
    fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    return False
