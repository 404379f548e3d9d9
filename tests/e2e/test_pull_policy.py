"""An installation that forbids pulls."""

from __future__ import annotations

from tests.e2e.jobs import manifest
from tests.e2e.site import Desk, Site


def test_an_image_that_must_not_be_pulled_and_is_not_there_fails_at_once(site: Site, desk: Desk) -> None:
    image = "localhost/trainyard/no-such-image:1"
    site.install(trainingImagePullPolicy="Never")
    try:
        status = desk.fails_within(desk.submit(manifest("never", image, desk.bucket)), 30)
    finally:
        site.install()
    assert "ErrImageNeverPull" in status["failureReason"]
    assert image in status["failureReason"]
