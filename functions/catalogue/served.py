"""What this stack serves: the pins that the template gives, and the manifests that they pin.

`HOTPLATE_SERVED` has one `name version sha256 memory` a model, comma between: the parameters that the
models' own functions are deployed with; of the model on SageMaker its tier is in the place of the memory. Of
two entries of one name that of a function counts, as it is asked before the endpoint. So what is told is
what is served, not what else lies in the registry. A manifest is believed only if its digest is the pinned
one, and is then kept for good; that one is missing or wrong is believed for `FAULT_AGE_S`.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hotplate.aws.faults import s3_faults
from hotplate.errors import ManifestError, SettingsError, StoreNotFoundError
from hotplate.limits import MAX_MANIFEST_BYTES
from hotplate.manifest.layout import manifest_key
from hotplate.manifest.schema import decode

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

    from hotplate.manifest.schema import Manifest

__all__ = ["FAULT_AGE_S", "Pin", "Registry", "Served", "read_pins"]

# How long a manifest that is not there is believed not to be, in seconds.
FAULT_AGE_S = 30.0
# Tiers that are no function.
ENDPOINTS = ("sagemaker-async", "sagemaker-realtime")
# Manifests read at once. Ours: the first listing of fifty models then takes a few round trips.
_THREADS = 8


@dataclass(frozen=True, slots=True)
class Pin:
    """What one model was deployed with: `memory_mb` of its function in MB, 0 on SageMaker; and where."""

    name: str
    version: str
    manifest_sha256: str
    memory_mb: int
    tier: str = "lambda-zip"

    @property
    def is_on_lambda(self) -> bool:
        """Whether a function of its own serves it, which has more paths than an endpoint's."""
        return self.tier.startswith("lambda")


@dataclass(frozen=True, slots=True)
class Served:
    """A model of this stack.

    Attributes:
        pin: As deployed.
        manifest: As published; None if its function could not start.
        published: When the manifest was written, in seconds since 1970.
        reason: Why there is no manifest, in words.
    """

    pin: Pin
    manifest: Manifest | None = None
    published: int = 0
    reason: str = ""


def read_pins(text: str) -> dict[str, Pin]:
    """Return the pins in `HOTPLATE_SERVED` by model name, sorted.

    Raises:
        SettingsError: An entry is none.
    """
    pins: dict[str, Pin] = {}
    for entry in filter(None, text.split(",")):
        words = entry.split()
        if len(words) != 4 or not (words[3].isdecimal() or words[3] in ENDPOINTS):
            raise SettingsError(
                f"HOTPLATE_SERVED: {entry[:80]!r} is not `name version sha256 memory`, "
                f"nor has one of {', '.join(ENDPOINTS)} for the memory"
            )
        where = (0, words[3]) if words[3] in ENDPOINTS else (int(words[3]), "lambda-zip")
        found = Pin(words[0], words[1], words[2], *where)
        known = pins.get(found.name)
        if known is None or (found.is_on_lambda and not known.is_on_lambda):
            pins[found.name] = found
    return dict(sorted(pins.items()))


class Registry:
    """The manifests of the models that are pinned, in one bucket."""

    def __init__(self, client: S3Client, bucket: str, pins: Mapping[str, Pin]) -> None:
        self._client = client
        self._bucket = bucket
        self._known: dict[str, tuple[float, Served]] = {}
        self.pins = pins

    def served(self, names: Sequence[str] | None = None) -> list[Served]:
        """Return the models of these names, or all, in the order of the pins.

        Raises:
            StoreError: The registry cannot be read.
        """
        pins = [pin for name, pin in self.pins.items() if names is None or name in names]
        unknown = [pin for pin in pins if not self._is_known(pin)]
        with ThreadPoolExecutor(_THREADS) as threads:
            bodies = list(threads.map(self._fetch, unknown))
        # One after another: msgspec 0.22 crashes the process where threads decode a type for the first time.
        for pin, (raw, published) in zip(unknown, bodies, strict=True):
            self._known[pin.name] = (time.monotonic(), _believed(pin, raw, published))
        return [self._known[pin.name][1] for pin in pins]

    def _is_known(self, pin: Pin) -> bool:
        read_at, known = self._known.get(pin.name, (0.0, None))
        return known is not None and bool(known.manifest or time.monotonic() - read_at < FAULT_AGE_S)

    def _fetch(self, pin: Pin) -> tuple[bytes | None, int]:
        """Return the manifest's bytes, None if there is none, and when they were written."""
        key = manifest_key(pin.name, pin.version)
        try:
            with s3_faults(self._bucket, key):
                answer = self._client.get_object(Bucket=self._bucket, Key=key)
                with answer["Body"] as stream:
                    raw = stream.read(MAX_MANIFEST_BYTES + 1)
        except StoreNotFoundError:
            return None, 0
        return raw, int(answer["LastModified"].timestamp())


def _believed(pin: Pin, raw: bytes | None, published: int) -> Served:
    if raw is None:
        return Served(pin, reason=f"version {pin.version} is not published")
    if hashlib.sha256(raw).hexdigest() != pin.manifest_sha256:
        return Served(pin, reason="the manifest in the registry is not the one that is pinned")
    try:
        return Served(pin, decode(raw), published)
    except ManifestError:
        return Served(pin, reason="the manifest that is pinned cannot be read by this hotplate")
