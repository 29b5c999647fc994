"""What the deployment tells the proxy.

| variable | meaning |
|---|---|
| `HOTPLATE_ENDPOINT_MODEL`, `HOTPLATE_VERSION` | what the endpoint serves |
| `HOTPLATE_MANIFEST_SHA256`, `HOTPLATE_BUCKET` | as of a model's function |
| `HOTPLATE_ENDPOINT` | name of the endpoint on SageMaker |
| `HOTPLATE_TIER` | `sagemaker-async`: requests become jobs; `sagemaker-realtime`: they wait |
| `HOTPLATE_JOB_TABLE`, `HOTPLATE_DATA_BUCKET` | where jobs and their files are |
| `HOTPLATE_WEBHOOK_QUEUE_URL`, `HOTPLATE_KEY_TABLE` | who is told of ends; secrets |
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from hotplate.errors import SettingsError

__all__ = ["ProxySettings"]


@dataclass(frozen=True, slots=True)
class ProxySettings:
    """One proxy's deployment.

    Attributes:
        model, version: What the endpoint serves.
        endpoint: Its name.
        waits: Whether a caller waits for the answer.
        job_table, data_bucket, webhook_queue, key_table: As above.
    """

    model: str
    version: str
    endpoint: str
    waits: bool
    job_table: str
    data_bucket: str
    webhook_queue: str
    key_table: str

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Self:
        """Return the settings in `environ`.

        Raises:
            SettingsError: Naming the variable that is missing or wrong.
        """
        names = ["ENDPOINT_MODEL", "VERSION", "ENDPOINT", "TIER", "JOB_TABLE", "DATA_BUCKET"]
        names += ["WEBHOOK_QUEUE_URL", "KEY_TABLE"]
        found = {name: environ.get(f"HOTPLATE_{name}", "") for name in names}
        if missing := [name for name, value in found.items() if not value]:
            raise SettingsError(f"HOTPLATE_{missing[0]} is not set")
        tier = found["TIER"]
        if tier not in ("sagemaker-async", "sagemaker-realtime"):
            raise SettingsError(
                f"HOTPLATE_TIER is {tier[:40]!r}, neither 'sagemaker-async' nor 'sagemaker-realtime'"
            )
        return cls(
            found["ENDPOINT_MODEL"],
            found["VERSION"],
            found["ENDPOINT"],
            tier == "sagemaker-realtime",
            found["JOB_TABLE"],
            found["DATA_BUCKET"],
            found["WEBHOOK_QUEUE_URL"],
            found["KEY_TABLE"],
        )
