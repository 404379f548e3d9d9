"""The operator's settings: read from the environment here and nowhere else, handed on as values."""

from __future__ import annotations

import socket
import uuid
from ipaddress import ip_network
from typing import Literal

from pydantic import AliasChoices, Field, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from trainyard.api.names import DELETION_BUDGET_SECONDS
from trainyard.controller.core.snapshot import Options


def _own_identity() -> str:
    """Of a process outside a cluster: unique, so that two on one machine are never taken for one."""
    return f"{socket.gethostname()}-{uuid.uuid4().hex[:8]}"


def _listed(text: str) -> tuple[str, ...]:
    return tuple(item.strip() for item in text.split(",") if item.strip())


class Settings(BaseSettings):
    """Every field is TRAINYARD_<NAME>; an empty value means the default. Times in seconds."""

    model_config = SettingsConfigDict(env_prefix="TRAINYARD_", env_ignore_empty=True, frozen=True, extra="ignore")

    agent_image: str
    image_pull_timeout_seconds: int = Field(default=600, ge=0)
    reference_timeout_seconds: int = Field(default=15, ge=0)
    training_image_pull_policy: Literal["", "Always", "IfNotPresent", "Never"] = ""
    agent_image_pull_policy: Literal["Always", "IfNotPresent", "Never"] = "IfNotPresent"
    default_security_mode: Literal["baseline", "restricted"] = "baseline"
    restricted_uid: int = Field(default=1000, ge=1)
    cluster_domain: str = "cluster.local"
    deletion_budget_seconds: int = Field(default=DELETION_BUDGET_SECONDS, ge=0)

    namespace: str = Field(default="default", validation_alias=AliasChoices("TRAINYARD_NAMESPACE", "POD_NAMESPACE"))
    identity: str = Field(
        default_factory=_own_identity, validation_alias=AliasChoices("TRAINYARD_IDENTITY", "POD_NAME")
    )
    watch_namespaces: str = ""
    s3_denied_addresses: str = ""
    s3_allowed_addresses: str = ""
    allow_instance_metadata_credentials: bool = False
    metrics_from_logs: bool = True
    metrics_from_logs_streams: int = Field(default=100, ge=1, le=1000)
    metrics_from_logs_series: int = Field(default=2000, ge=0, le=100_000)
    resync_seconds: int = Field(default=60, ge=5)
    workers: int = Field(default=8, ge=1, le=64)
    lease_name: str = "trainyard-controller"
    lease_duration_seconds: int = Field(default=15, ge=3)
    lease_renew_seconds: int = Field(default=10, ge=2)
    lease_retry_seconds: int = Field(default=2, ge=1)
    metrics_port: int = 8080
    health_port: int = 8081
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    log_format: Literal["json", "text"] = "json"

    @property
    def namespaces(self) -> tuple[str, ...]:
        """Empty: all."""
        return tuple(sorted(set(_listed(self.watch_namespaces))))

    @field_validator("s3_denied_addresses", "s3_allowed_addresses")
    @classmethod
    def _are_networks(cls, value: str) -> str:
        for network in _listed(value):
            ip_network(network)  # its error names what is wrong
        return value

    def options(self) -> Options:
        return Options(
            agent_image=self.agent_image,
            image_pull_timeout=self.image_pull_timeout_seconds,
            reference_timeout=self.reference_timeout_seconds,
            training_image_pull_policy=self.training_image_pull_policy,
            agent_image_pull_policy=self.agent_image_pull_policy,
            default_security_mode=self.default_security_mode,
            restricted_uid=self.restricted_uid,
            cluster_domain=self.cluster_domain,
            deletion_budget=self.deletion_budget_seconds,
            metrics_from_logs=self.metrics_from_logs,
            denied_addresses=_listed(self.s3_denied_addresses),
            allowed_addresses=_listed(self.s3_allowed_addresses),
            instance_metadata=self.allow_instance_metadata_credentials,
        )
