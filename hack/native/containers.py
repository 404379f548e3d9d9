"""The container runtime from outside: what images and leftovers it holds."""

from pathlib import Path

from hack import shell
from hack.native.layout import Layout


class Runtime:
    def __init__(self, layout: Layout) -> None:
        self._ctr = ("ctr", "--address", str(layout.socket), "--namespace", "k8s.io")

    def ready(self) -> bool:
        return shell.succeeds(*self._ctr, "images", "ls", "-q", timeout=5)

    def images(self) -> set[str]:
        return set(shell.output(*self._ctr, "images", "ls", "-q").split())

    def load(self, archive: Path) -> None:
        shell.run(*self._ctr, "images", "import", "--no-unpack=false", archive)

    def kill(self, container: str, signal: str) -> None:
        """To all processes of a container; SIGKILL is what the kernel would send for want of memory."""
        shell.run(*self._ctr, "tasks", "kill", "--all", "--signal", signal, container)

    def purge(self) -> bool:
        """Forget containers whose processes are gone; True when there were any."""
        found = shell.output(*self._ctr, "containers", "ls", "-q").split()
        if found:
            shell.succeeds(*self._ctr, "containers", "rm", *found, timeout=60)
        return bool(found)
