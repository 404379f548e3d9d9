"""Where the apiserver is and who we are to it. Plain data, for the operator's own client and for kopf's."""

from __future__ import annotations

import ssl
from dataclasses import dataclass


@dataclass(frozen=True)
class Connection:
    """Paths are files; `token` is the one of this moment, as in-cluster tokens are renewed every hour."""

    server: str
    ca_path: str | None = None
    certificate_path: str | None = None
    key_path: str | None = None
    insecure: bool = False
    token: str | None = None
    proxy: str | None = None

    def tls(self) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=self.ca_path)
        if self.insecure:
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        if self.certificate_path:
            context.load_cert_chain(self.certificate_path, self.key_path)
        return context
