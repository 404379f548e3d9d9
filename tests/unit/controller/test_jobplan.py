"""What of a job, its channels, output and role reaches the agent."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tests.support import objects as o
from trainyard.api.plan import ChannelPlan
from trainyard.api.reasons import Reason
from trainyard.controller.core.decision import Act
from trainyard.controller.core.jobplan import job_plan
from trainyard.controller.core.policies import decide
from trainyard.controller.core.references import Resolved, Unresolved
from trainyard.controller.core.snapshot import Options
from trainyard.controller.core.status import reduce


def planned(channel: dict[str, Any], **annotations: str) -> ChannelPlan:
    source = {"s3URI": "s3://data/train"} | channel.pop("source", {})
    job = o.job(inputDataConfig=[{"channelName": "train", "dataSource": {"s3DataSource": source}} | channel])
    assert job.spec is not None, job.problem
    named = {f"trainyard.dev/{name.replace('_', '-')}": value for name, value in annotations.items()}
    job = replace(job, annotations=named)
    resolved = o.snapshot(job).resolution
    assert isinstance(resolved, Resolved)
    return job_plan(job, resolved, Options(agent_image="agent:1")).channels[0]


def test_a_channel_that_says_nothing_has_sagemakers_defaults() -> None:
    assert planned({}) == ChannelPlan(name="train", s3_uri="s3://data/train")


def test_what_a_manifest_channel_says_is_handed_on() -> None:
    found = planned({"source": {"s3DataType": "ManifestFile", "s3DataDistributionType": "ShardedByS3Key"}})
    assert (found.data_type, found.sharded, found.sharding, found.manifest_paths) == (
        "ManifestFile",
        True,
        "objects",
        "relative",
    )


def test_what_a_pipe_channel_says_is_handed_on() -> None:
    found = planned(
        {
            "source": {"s3DataType": "AugmentedManifestFile", "attributeNames": ["source-ref", "class"]},
            "inputMode": "Pipe",
            "compressionType": "Gzip",
            "recordWrapperType": "RecordIO",
            "shuffleConfig": {"seed": 7},
        }
    )
    assert (found.input_mode, found.compression, found.record_wrapper, found.shuffle_seed, found.attribute_names) == (
        "Pipe",
        "Gzip",
        "RecordIO",
        7,
        ["source-ref", "class"],
    )


def test_the_jobs_own_mode_holds_where_a_channel_has_none() -> None:
    algorithm = {"trainingImage": o.IMAGE, "trainingInputMode": "FastFile"}
    source = {"s3DataSource": {"s3URI": "s3://data/x"}}
    channels = [
        {"channelName": "a", "dataSource": source},
        {"channelName": "b", "dataSource": source, "inputMode": "File"},
    ]
    job = o.job(algorithmSpecification=algorithm, inputDataConfig=channels)
    resolved = o.snapshot(job).resolution
    assert isinstance(resolved, Resolved)
    found = job_plan(job, resolved, Options(agent_image="agent:1")).channels
    assert [channel.input_mode for channel in found] == ["FastFile", "File"]


def test_annotations_choose_how_channels_are_shared_and_laid_out() -> None:
    found = planned({"source": {"s3DataType": "ManifestFile"}}, sharding="bytes", manifest_paths="key")
    assert (found.sharding, found.manifest_paths) == ("bytes", "key")


def test_an_annotation_that_chooses_what_there_is_not_says_what_there_is() -> None:
    job = replace(o.job(), annotations={"trainyard.dev/sharding": "size"})
    found = o.snapshot(job).resolution
    assert isinstance(found, Unresolved)
    assert found.message == "annotation trainyard.dev/sharding is 'size'; write 'objects' or 'bytes', or remove it"


def test_what_becomes_of_the_output_is_handed_on_and_the_status_names_the_same_place() -> None:
    output = {"s3OutputPath": "s3://models/out/", "compressionType": "NONE", "kmsKeyID": "alias/models"}
    job = o.job(outputDataConfig=output)
    snapshot = o.snapshot(job)
    assert isinstance(snapshot.resolution, Resolved)
    plan = job_plan(job, snapshot.resolution, Options(agent_image="agent:1"))
    assert (plan.compression, plan.store.kms_key) == ("NONE", "alias/models")
    name = job.training_job_name
    assert plan.model_uri == f"s3://models/out/{name}/output/model/"
    assert plan.output_data_uri == f"s3://models/out/{name}/output/data/"
    assert plan.archive_uri("model") == f"s3://models/out/{name}/output/model.tar.gz"
    status = reduce(snapshot, decide(snapshot))
    assert status.model_artifacts is not None
    assert status.model_artifacts.s3_model_artifacts == plan.model_uri


def test_the_nodes_own_credentials_take_the_leave_of_role_and_operator() -> None:
    role = o.role(credentialsSecretRef=None, instanceMetadataCredentials=True)
    refused = decide(o.snapshot(o.job(), roles=(role,)))
    assert (refused.act, refused.reason) == (Act.REFUSE, Reason.INSTANCE_METADATA_FORBIDDEN)
    assert "allowInstanceMetadataCredentials" in refused.message
    for allowed, asked in ((True, True), (True, False), (False, False)):
        options = replace(o.OPTIONS, instance_metadata=allowed)
        role = o.role(credentialsSecretRef=None, instanceMetadataCredentials=asked)
        found = o.snapshot(o.job(), roles=(role,), options=options).resolution
        assert isinstance(found, Resolved)
        assert job_plan(o.job(), found, options).store.instance_metadata is asked
