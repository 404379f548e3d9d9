"""The role's credentials for training, as the endpoint of AWS's containers gives them. Loopback only, with a token of its own.

`main` is a helper process: what finds a service account's credentials is large, and the sidecar's first process small.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import sys
from dataclasses import asdict
from datetime import UTC, datetime

from trainyard.agent.adapters import clock
from trainyard.agent.adapters.credentials import CredentialFiles
from trainyard.agent.adapters.server import Reply, Request
from trainyard.agent.app.identity import Source, source
from trainyard.agent.app.settings import Settings
from trainyard.agent.core.addresses import admission
from trainyard.agent.core.verdict import Target, Who, judge
from trainyard.agent.errors import StoreFault
from trainyard.agent.ports import Credentials
from trainyard.api.names import credentials_token
from trainyard.api.plan import Plan

ASK_AGAIN = 20 * 60.0
"""Seconds after which keys from a Secret are said to expire: SDKs ask again some 15 minutes before, and so see a rotated Secret soon."""
ANSWER_SECONDS = 60.0
FRESH = 5 * 60.0
"""What is valid for less is asked for again."""


class Lending:
    def __init__(self, settings: Settings, plan: Plan) -> None:
        self._settings = settings
        self._lends = plan.training_credentials
        self._who = Who(
            plan.store.role,
            plan.store.credentials_secret,
            plan.store.endpoint_url or "AWS",
            plan.store.region,
            web_identity=plan.store.web_identity is not None,
            instance_metadata=plan.store.instance_metadata,
        )
        self._token = credentials_token(plan.job.uid, plan.job.attempt).encode()
        self._files = CredentialFiles(settings.credentials, plan.store.credentials_secret)
        self._identity: Source | None = None
        if plan.store.web_identity is not None:
            admits = admission(plan.store.denied_addresses, plan.store.allowed_addresses)
            self._identity = source(plan.store, settings.credentials, settings.identity, settings.timing, admits)
        self._asking = asyncio.Lock()
        self._kept: Credentials | None = None

    async def __call__(self, request: Request) -> Reply:
        # Whoever asks from elsewhere is not told that there is something to ask for.
        if not self._lends or not request.local:
            return Reply(404)
        if not hmac.compare_digest(request.headers.get("authorization", "").encode(), self._token):
            return _refusal(401, "AccessDenied", "the Authorization header is not AWS_CONTAINER_AUTHORIZATION_TOKEN")
        try:
            if self._identity is not None:
                found = await asyncio.to_thread(self._identity)
            else:
                found = self._files.in_files() or await self._ambient()
        except StoreFault as fault:
            return _refusal(503, "NoCredentials", judge(fault, Target("read", ""), self._who).text)
        expires = found.expires or clock.wall().timestamp() + ASK_AGAIN
        return Reply(
            body=json.dumps(
                {
                    "AccessKeyId": found.access_key,
                    "SecretAccessKey": found.secret_key,
                    "Token": found.token,
                    "Expiration": datetime.fromtimestamp(expires, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
                }
            )
        )

    async def _ambient(self) -> Credentials:
        async with self._asking:
            kept = self._kept
            if kept is None or (kept.expires or 0) - clock.wall().timestamp() < FRESH:
                kept = self._kept = await self._ask()
            return kept

    async def _ask(self) -> Credentials:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "trainyard.agent", "credentials", *self._settings.arguments(),
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                said, _ = await process.communicate()
        except TimeoutError:
            raise StoreFault("credentials", f"no answer within {ANSWER_SECONDS:.0f} s") from None
        finally:
            # Whoever waits holds up all that ask after him; a process that nobody waits for any more is not left.
            if process.returncode is None:
                process.kill()
                await process.wait()
        try:
            answer = json.loads(said)
        except ValueError:
            raise StoreFault("credentials", f"the helper ended with {process.returncode}") from None
        if "refused" in answer:
            raise StoreFault("credentials", answer["refused"])
        return Credentials(**answer)


def _refusal(status: int, code: str, message: str) -> Reply:
    return Reply(status, json.dumps({"code": code, "message": message}))


def main(settings: Settings) -> int:
    """Prints what the service account brings, as JSON."""
    plan = Plan.from_json(settings.plan.read_bytes())
    try:
        store = plan.store
        found = CredentialFiles(settings.credentials, store.credentials_secret, metadata=store.instance_metadata)
        answer = asdict(found())
    except StoreFault as fault:
        answer = {"refused": fault.detail}
    sys.stdout.write(json.dumps(answer))
    return 0
