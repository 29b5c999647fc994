"""What the container is told beside what a function is told."""

from __future__ import annotations

import pytest

from functions.sagemaker.settings import MAX_INSTANCE_PIXELS, ContainerSettings
from hotplate.errors import SettingsError
from hotplate.limits import MAX_IMAGE_PIXELS

TOLD = {
    "HOTPLATE_MODEL": "affine",
    "HOTPLATE_BUCKET": "models",
    "HOTPLATE_VERSION": "1",
    "HOTPLATE_MANIFEST_SHA256": "0" * 64,
    "HOTPLATE_UNSIGNED": "allowed-for-development",
}


def test_instance_opens_more_pixels_than_a_function_and_as_many_as_it_is_told() -> None:
    assert ContainerSettings.from_environ(TOLD).max_pixels == MAX_INSTANCE_PIXELS > MAX_IMAGE_PIXELS
    told = {**TOLD, "HOTPLATE_MAX_IMAGE_PIXELS": "500000000"}
    assert ContainerSettings.from_environ(told).max_pixels == 500_000_000


@pytest.mark.parametrize("text", ["many", "0", "-1", "1e11", "nan"])
def test_pixels_that_are_no_number_are_refused(text: str) -> None:
    with pytest.raises(SettingsError, match="HOTPLATE_MAX_IMAGE_PIXELS"):
        ContainerSettings.from_environ({**TOLD, "HOTPLATE_MAX_IMAGE_PIXELS": text})
