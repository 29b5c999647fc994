"""boto3 clients with explicit time-outs and retries. None is made on import.

Credentials, region and profile are found as boto3 always finds them. The serving functions do not
come here: they read S3 by `hotplate.aws.s3_reader`.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config
from botocore.exceptions import NoRegionError, ProfileNotFound

from hotplate.errors import SettingsError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

__all__ = ["aws_client", "endpoint_client", "kms_client", "s3_client", "signing_client"]

# Seconds, and attempts counting the first. Source: "standard" mode of the AWS SDKs and Tools
# Reference Guide, "Retry behavior"; a part of an upload is 16 MiB, hence the long read.
CONNECT_TIMEOUT_S = 5
READ_TIMEOUT_S = 60
ATTEMPTS = 5


def s3_client(*, region: str | None = None, endpoint: str | None = None) -> S3Client:
    """Return a client of Amazon S3, or of what speaks its protocol at `endpoint`.

    Args:
        region: None takes the environment's or the profile's, else boto3 finds the bucket's.
        endpoint: Base address; None takes `AWS_ENDPOINT_URL_S3`, then `AWS_ENDPOINT_URL`, then AWS.

    Raises:
        SettingsError: The configured profile is not there.
    """
    elsewhere = endpoint or os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    # A bucket's own host name resolves on AWS only; elsewhere the bucket goes into the path.
    style = Config(s3={"addressing_style": "path"}) if elsewhere else Config()
    return _s3(region, elsewhere, style)


def signing_client() -> S3Client:
    """Return a client of Amazon S3 that presigns addresses too; endpoint and region are the environment's.

    boto3's own presigned addresses name no region: S3 redirects them to it, which breaks the signature.
    And of a PUT they sign a checksum, which a plain PUT does not have.

    Raises:
        SettingsError: The configured profile is not there.
    """
    elsewhere = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    style = Config(
        signature_version="s3v4",  # without which S3 decrypts nothing by a key of KMS
        s3={"addressing_style": "path" if elsewhere else "virtual"},
        request_checksum_calculation="when_required",
    )
    return _s3(None, elsewhere, style)


def _s3(region: str | None, endpoint: str | None, style: Config) -> S3Client:
    try:
        return boto3.session.Session().client(
            "s3", region_name=region, endpoint_url=endpoint, config=_config().merge(style)
        )
    except ProfileNotFound as fault:
        raise SettingsError(f"{fault}: check AWS_PROFILE") from fault


def kms_client(*, region: str | None = None) -> Any:
    """Return a client of AWS KMS; `region` as for `s3_client`.

    Raises:
        SettingsError: The configured profile is not there, or no region is configured.
    """
    return aws_client("kms", region=region)


def aws_client(service: str, *, region: str | None = None) -> Any:
    """Return a client of another service, as `dynamodb`; `region` as for `s3_client`.

    Raises:
        SettingsError: The configured profile is not there, or no region is configured.
    """
    try:
        return boto3.session.Session().client(  # type: ignore[call-overload]
            service, region_name=region, config=_config()
        )
    except ProfileNotFound as fault:
        raise SettingsError(f"{fault}: check AWS_PROFILE") from fault
    except NoRegionError as fault:
        raise SettingsError(f"{service}: {fault} Give --region, or set AWS_REGION.") from fault


def endpoint_client(timeout_s: float) -> Any:
    """Return a client of SageMaker's runtime that asks once and waits `timeout_s`: its caller waits too.

    Raises:
        SettingsError: The configured profile is not there, or no region is configured.
    """
    patience = Config(read_timeout=timeout_s, retries={"mode": "standard", "total_max_attempts": 1})
    try:
        return boto3.session.Session().client("sagemaker-runtime", config=_config().merge(patience))
    except ProfileNotFound as fault:
        raise SettingsError(f"{fault}: check AWS_PROFILE") from fault
    except NoRegionError as fault:
        raise SettingsError(f"sagemaker-runtime: {fault} Set AWS_REGION.") from fault


def _config() -> Config:
    return Config(
        connect_timeout=CONNECT_TIMEOUT_S,
        read_timeout=READ_TIMEOUT_S,
        retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
        tcp_keepalive=True,
    )
