"""Whether a component answers."""

import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable

from hack.console import Problem
from hack.native.process import Daemon, Supervisor

POLL = 0.1
# Asked on addresses of this machine only; who answers is known from its pid file.
_TRUSTING = ssl.create_default_context()
_TRUSTING.check_hostname, _TRUSTING.verify_mode = False, ssl.CERT_NONE
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=_TRUSTING))


def answers(url: str) -> bool:
    try:
        with _DIRECT.open(url, timeout=2) as response:
            return bool(response.status == 200)
    except (OSError, urllib.error.URLError):
        return False


def wait(supervisor: Supervisor, daemon: Daemon, ready: Callable[[], bool], seconds: float = 60) -> None:
    """Until it is ready; a component that ends or stays silent is a Problem that shows its last words."""
    deadline = time.monotonic() + seconds
    while not ready():
        ended = supervisor.identity(daemon.name) is None
        if ended or time.monotonic() > deadline:
            log = supervisor.log(daemon.name)
            tail = "\n".join(log.read_text(errors="replace").splitlines()[-12:])
            raise Problem(f"{daemon.name} {'ended' if ended else 'does not answer'}; the end of {log}:\n{tail}")
        time.sleep(POLL)
