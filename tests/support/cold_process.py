"""A function's cold start in a fresh process, as Lambda starts it: no threads, nothing imported."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.support.faulty_s3 import BUCKET, FaultyS3
from tests.support.signing import SeedSigner

if TYPE_CHECKING:
    from tests.support.published import Published

__all__ = ["PROGRAM", "cold_process"]

_ROOT = Path(__file__).parents[2]

# Asks the generic function once and prints what it answered.
PROGRAM = """
import json, sys, types
{before}
from hotplate.wiring import model_function
handler = model_function()
body = '{{"inputs":[{{"name":"x","datatype":"FP32","shape":[1,3],"data":[1,2,3]}}]}}'
event = {{"httpMethod": "POST", "path": "/v2/models/affine/infer", "headers": {{}}, "multiValueHeaders": {{}},
         "body": body, "isBase64Encoded": False}}
answer = handler(event, types.SimpleNamespace(
    aws_request_id="r", memory_limit_in_mb="1769", get_remaining_time_in_millis=lambda: 29_000))
print(json.dumps({{"answer": answer, "modules": sorted(sys.modules)}}))
"""


def cold_process(
    s3: FaultyS3, version: Published, *, before: str = "", program: str | None = None, **variables: str
) -> tuple[Any, list[dict[str, Any]]]:
    """Return what the program printed last, and the JSON lines that were printed before.

    Args:
        s3: Where the version lies.
        version: Its objects are put there if none are yet.
        before: Python statements that run before the function is imported.
        program: Another than `PROGRAM`; its last line is JSON.
        variables: Of the environment, over the usual ones.
    """
    if not s3.objects:
        s3.objects.update(version.reader.objects)
    environ = {
        "AWS_ACCESS_KEY_ID": "AK",
        "AWS_SECRET_ACCESS_KEY": "SK",
        "AWS_ENDPOINT_URL_S3": s3.endpoint,
        "HOTPLATE_BUCKET": BUCKET,
        "HOTPLATE_CACHE_DIR": "off",
        "HOTPLATE_MANIFEST_SHA256": version.settings.manifest_sha256,
        "HOTPLATE_MODEL": version.settings.model,
        "HOTPLATE_VERSION": version.settings.version,
        "HOTPLATE_SIGNING_KEYS": SeedSigner().pinned,
        **variables,
    }
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program or PROGRAM.format(before=before)],
        env=environ,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        cwd=_ROOT,
    )
    *logged, last = done.stdout.splitlines()
    return json.loads(last), [json.loads(line) for line in logged]
