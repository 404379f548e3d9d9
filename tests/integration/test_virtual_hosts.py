"""addressingStyle: virtual, from the data to the model, at a server whose buckets are host names."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.agent_rig import S3Server, find_versitygw, job
from trainyard.api.report import Result

# A bucket and a domain whose names make 127.0.0.1 together: no name server is needed.
BUCKET, DOMAIN = "127.0.0", "1"


def test_a_job_whose_bucket_is_part_of_the_host_name_gets_its_data_and_leaves_its_model(tmp_path: Path) -> None:
    binary = find_versitygw()
    if binary is None:
        pytest.skip("no versitygw: run `make setup`, or set TRAINYARD_VERSITYGW")
    (tmp_path / "s3").mkdir()
    server = S3Server(binary, tmp_path / "s3", domain=DOMAIN)
    try:
        with job(server, tmp_path, BUCKET, url=server.virtual_url) as one:
            one.change(store=one.plan.store.but(addressing_style="virtual"))
            one.put("d/a b", "d/ünï", "d/deep/x%2F")
            one.put("d/large", body=b"x" * 9_000_000)
            one.channel("d/")
            one.pod.start()
            one.pod.run_training({"weights": b"w"})
            train = one.pod.ml / "input/data/train"
            assert {str(path.relative_to(train)) for path in train.rglob("*") if path.is_file()} == {
                "a b",
                "ünï",
                "deep/x%2F",
                "large",
            }
            one.pod.training_ends()
            assert one.pod.end().result is Result.COMMITTED
            assert one.model()["weights"] == b"w"
    finally:
        server.close()
