"""The agents in the pods, as the operator speaks with them."""

from __future__ import annotations

import aiohttp

_REPORT_BYTES = 1 << 16


class Sidecars:
    """The agents in the pods. Best effort: whoever does not answer is asked again later, or told by annotation."""

    def __init__(self, port: int, timeout: float = 2.0) -> None:
        self._port = port
        self._timeout = aiohttp.ClientTimeout(total=timeout)
        self._session: aiohttp.ClientSession | None = None

    async def open(self) -> None:
        # No proxy from the environment: pod addresses are the cluster's own.
        self._session = aiohttp.ClientSession(
            timeout=self._timeout, connector=aiohttp.TCPConnector(limit=32), trust_env=False
        )

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def call(self, method: str, ip: str, path: str, token: str, body: str | None = None) -> str | None:
        """The answer's text, None for any failure."""
        assert self._session is not None
        host = f"[{ip}]" if ":" in ip else ip
        headers = {"Authorization": f"Bearer {token}"} | (
            {"Content-Type": "application/json"} if body is not None else {}
        )
        try:
            async with self._session.request(
                method, f"http://{host}:{self._port}{path}", data=body, headers=headers, allow_redirects=False
            ) as answer:
                content = b""
                async for chunk in answer.content.iter_chunked(1 << 14):
                    content += chunk
                    if len(content) > _REPORT_BYTES:
                        return None
                return content.decode("utf-8", "replace") if answer.status < 300 else None
        except (aiohttp.ClientError, TimeoutError, OSError, UnicodeError):
            return None
