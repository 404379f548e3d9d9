"""The agent's plan for one attempt, from the job, its references and nothing else."""

from __future__ import annotations

from trainyard.api.channels import Channel, S3DataSource
from trainyard.api.plan import ChannelPlan, CheckpointPlan, Host, JobIdentity, Plan, StorePlan, WebIdentityPlan
from trainyard.api.platform import ExecutionRoleSpec
from trainyard.api.trainingjob import TrainingJobSpec
from trainyard.controller.core import folders, limits, mounts, naming
from trainyard.controller.core.job import Job
from trainyard.controller.core.quantity import GIBIBYTE
from trainyard.controller.core.references import Resolved
from trainyard.controller.core.snapshot import Options

SESSION_NAME_CHARS = 64
LOOPBACK = "127.0.0.1"


def address(job: Job, host: str, count: int, options: Options) -> str:
    """Full name with the dot at its end: no search path is tried, so that nothing in the namespace can shadow it."""
    if count == 1:
        return LOOPBACK
    service = naming.service_name(job.name, job.uid, job.attempt)
    return f"{host}.{service}.{job.namespace}.svc.{options.cluster_domain}."


def _web_identity(job: Job, role: ExecutionRoleSpec) -> WebIdentityPlan | None:
    if (found := role.web_identity) is None:
        return None
    region = role.s3.region
    suffix = ".cn" if region.startswith("cn-") else ""
    return WebIdentityPlan(
        role_arn=found.role_arn,
        sts_endpoint_url=found.sts_endpoint_url or f"https://sts.{region}.amazonaws.com{suffix}",
        duration_seconds=found.duration_seconds,
        # Both are DNS names, whose characters a session's name may have.
        session_name=f"trainyard-{job.namespace}-{job.name}"[:SESSION_NAME_CHARS],
    )


def lends(spec: TrainingJobSpec, role: ExecutionRoleSpec) -> bool:
    """Does training get the role's credentials?"""
    return role.training_credentials == "role" and not spec.enable_network_isolation


def _channel(job: Job, spec: TrainingJobSpec, channel: Channel, source: S3DataSource) -> ChannelPlan:
    assert source.s3_data_type != "Converse"  # a rule has refused it
    choices = job.choices()
    return ChannelPlan(
        name=channel.channel_name,
        s3_uri=source.s3_uri,
        data_type=source.s3_data_type,
        distribution=source.s3_data_distribution_type,
        sharding=choices.sharding,
        manifest_paths=choices.manifest_paths,
        input_mode=spec.mode_of(channel),
        content_type=channel.content_type,
        compression=channel.compression_type,
        record_wrapper=channel.record_wrapper_type,
        shuffle_seed=channel.shuffle_config.seed if channel.shuffle_config is not None else None,
        attribute_names=source.attribute_names,
        instance_groups=source.instance_group_names,
    )


def job_plan(job: Job, resolved: Resolved, options: Options) -> Plan:
    """`job.spec` and the annotations must be readable: what was resolved is."""
    spec = job.spec
    assert spec is not None
    count = spec.resource_config.instance_count
    role, instance_type = resolved.role, spec.resource_config.instance_type
    assert instance_type is not None  # it was resolved
    return Plan(
        job=JobIdentity(
            namespace=job.namespace,
            name=job.name,
            uid=job.uid,
            training_job_name=job.training_job_name,
            arn=job.arn(role.s3.region),
            attempt=job.attempt,
        ),
        hosts=[
            Host(
                name=naming.host_name(rank),
                address=address(job, naming.host_name(rank), count, options),
                instance_type=instance_type,
            )
            for rank in range(count)
        ],
        hyper_parameters=spec.hyper_parameters,
        channels=[
            _channel(job, spec, channel, source)
            for channel in spec.input_data_config
            if (source := channel.data_source.s3_data_source) is not None
            and channel.channel_name not in resolved.volumes
        ],
        mounted=mounts.planned(spec, resolved),
        checkpoints=CheckpointPlan(
            s3_uri=kept.s3_uri,
            local_path=kept.local_path,
            interval_seconds=role.checkpoint_interval_seconds,
        )
        if (kept := spec.checkpoint_config) is not None
        else None,
        folders=folders.plans(spec, job.training_job_name, role.checkpoint_interval_seconds),
        config_files=folders.config_files(spec),
        s3_output_path=spec.output_data_config.s3_output_path,
        compression=spec.output_data_config.compression_type,
        store=StorePlan(
            role=resolved.role_name,
            endpoint_url=role.s3.endpoint_url,
            region=role.s3.region,
            addressing_style=role.s3.addressing_style,
            credentials_secret=role.credentials_secret_ref.name if role.credentials_secret_ref else None,
            web_identity=_web_identity(job, role),
            instance_metadata=role.instance_metadata_credentials,
            denied_addresses=list(options.denied_addresses),
            allowed_addresses=list(options.allowed_addresses),
            kms_key=spec.output_data_config.kms_key_id,
        ),
        training_credentials=lends(spec, role),
        max_runtime_seconds=limits.remaining_runtime(job),
        download_retry_seconds=role.download_retry_seconds,
        upload_hold_seconds=role.upload_hold_seconds,
        deletion_budget_seconds=options.deletion_budget,
        volume_bytes=spec.resource_config.volume_size_in_gb * GIBIBYTE,
    )
