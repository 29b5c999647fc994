"""`hotplate publish --dry-run` twice, for people into a folder and for programs into a bucket."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from click.testing import CliRunner
from moto import mock_aws

from hotplate.aws.clients import s3_client
from hotplate_tools.naming import logical_prefix
from hotplate_tools.publish.commands import publish

if TYPE_CHECKING:
    import pytest

REGION = "us-east-1"


def assert_dry_run_plans_and_writes_nothing(
    arguments: Sequence[str], name: str, registry: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both print the whole plan of a first publication under `name`, the same one, and write nothing.

    Args:
        arguments: Of `hotplate publish`: PATH and how to convert it.
        name: That the model is published under.
        registry: A folder that is not there yet.
        monkeypatch: For the credentials.
    """
    text = _run([*arguments, "--registry", str(registry)])
    assert not registry.exists()
    for variable in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_PROFILE"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    with mock_aws():
        client = s3_client(region=REGION)
        client.create_bucket(Bucket="registry")
        client.put_bucket_versioning(Bucket="registry", VersioningConfiguration={"Status": "Enabled"})
        plan = json.loads(_run([*arguments, "--bucket", "registry", "--region", REGION, "--json"]))
        versions = client.list_object_versions(Bucket="registry")
        assert ("Versions" in versions, "DeleteMarkers" in versions) == (False, False)
        assert "Uploads" not in client.list_multipart_uploads(Bucket="registry")
    version, sha256 = plan["version"], plan["manifest_sha256"]
    assert (plan["name"], plan["dry_run"], plan["wrote"]) == (name, True, False)
    assert (plan["alias"]["from"], plan["alias"]["to"]) == (None, version)
    assert set(plan["parameters"].values()) == {version, sha256}
    assert {"golden.jsonl", "model.onnx"} <= {blob["path"] for blob in plan["blobs"]}
    assert text.startswith(f"{name} {version}\n  manifest  sha256 {sha256}\n")
    for blob in plan["blobs"]:
        assert f"  blob      {blob['path']}, {blob['size']:,} bytes: would put\n" in text
    assert f"  alias     would move: live: nothing → {version}\n" in text
    assert f"  {logical_prefix(name)}ModelVersion={version}\n" in text


def _run(arguments: Sequence[str]) -> str:
    environ = {"HOTPLATE_BUCKET": None, "HOTPLATE_SIGNING_KEY": None}
    result = CliRunner().invoke(publish, [*arguments, "--dry-run"], env=environ)
    assert result.exit_code == 0, result.output
    return result.stdout
