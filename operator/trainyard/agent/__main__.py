"""`python -m trainyard.agent ROLE`: stage and sidecar are containers; upload, mirror, archive, pipe and credentials are the sidecar's helpers."""

from __future__ import annotations

import logging
import os
import signal
import sys

from trainyard.agent.app.settings import from_arguments


def main() -> int:
    role, *arguments = sys.argv[1:] or [""]
    # The kernel drops a signal that the first process of a container has no handler for: keep it until there is one.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    settings, rest = from_arguments(arguments)
    os.umask(0o022)
    # Each role imports only what it needs: start-up is part of every job's time.
    match role:
        case "stage":
            from trainyard.agent.app.stage import main as run  # noqa: PLC0415
        case "sidecar":
            from trainyard.agent.app.sidecar import main as run  # noqa: PLC0415
        case "upload":
            from trainyard.agent.app.upload import main as run  # noqa: PLC0415
        case "mirror":
            from trainyard.agent.app.mirror import main as run  # noqa: PLC0415
        case "pipe":
            from trainyard.agent.app.pipe import main as run  # noqa: PLC0415
        case "archive":
            from trainyard.agent.app.share import main  # noqa: PLC0415

            return main(settings, *rest)
        case "credentials":
            from trainyard.agent.app.lending import main as run  # noqa: PLC0415
        case _:
            sys.stderr.write("usage: python -m trainyard.agent stage | sidecar\n")
            return 2
    return run(settings)


if __name__ == "__main__":
    sys.exit(main())
