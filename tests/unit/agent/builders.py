"""Small makers of plans for the agent's unit tests."""

from __future__ import annotations

from typing import Any

from trainyard.api.plan import ChannelPlan, Host, JobIdentity, Plan, StorePlan


def job(**fields: Any) -> JobIdentity:
    values = {"namespace": "ns", "name": "job", "uid": "u1", "training_job_name": "Job", "arn": "arn", "attempt": 2}
    return JobIdentity(**(values | fields))


def plan(hosts: int = 1, **fields: Any) -> Plan:
    values: dict[str, Any] = {
        "job": job(),
        "hosts": [
            Host(name=f"algo-{n}", address=f"algo-{n}.s", instance_type="ml.m5.xlarge") for n in range(1, hosts + 1)
        ],
        "s3_output_path": "s3://out/prefix/",
        "store": StorePlan(role="arn:role"),
    }
    return Plan(**values | fields)


def channel(**fields: Any) -> ChannelPlan:
    return ChannelPlan(**{"name": "train", "s3_uri": "s3://b/p/train"} | fields)
