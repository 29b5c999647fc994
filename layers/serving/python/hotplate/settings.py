"""What the deployment tells a model's function: its only reader of the environment.

| variable | meaning | default |
|---|---|---|
| `HOTPLATE_MODEL` | model name | required |
| `HOTPLATE_BUCKET` | bucket of the registry | required |
| `HOTPLATE_DATA_BUCKET` | bucket of callers' uploads; without it no input is taken by reference | none |
| `HOTPLATE_VERSION` | version this function serves | required |
| `HOTPLATE_MANIFEST_SHA256` | digest its manifest must have, 64 hex digits | required |
| `HOTPLATE_SIGNING_KEYS` | public keys that are trusted, base64, comma between | required |
| `HOTPLATE_UNSIGNED` | instead of keys, `allowed-for-development`: serve without a signature | not set |
| `HOTPLATE_CACHE_DIR` | folder of verified files for other processes, or `off` | `off`; see below |
| `HOTPLATE_INIT_MODE` | `first-invoke` loads the model when it is first asked; see below | `init` |
| `HOTPLATE_FETCH_TIMEOUT_S` | seconds that fetching the model may take in all | 8; see below |
| `HOTPLATE_ANSWER_WITHIN_S` | seconds that a model may take for one request, before it is stopped | 28 |
| `HOTPLATE_PIPELINE` | `fused`: members of a pipeline run here; `split`: in functions of theirs | `fused` |
| `HOTPLATE_MEMBERS` | of a split pipeline: `model=function:alias` of each member, comma between | none |
| `HOTPLATE_STEP_TIMEOUT_S` | of a split pipeline: seconds that one member may take | 12 |
| `HOTPLATE_FUNCTIONS` | of the relay: `model=function:alias` of each model, comma between | required |
| `HOTPLATE_ISOLATED` | models each of whose tenants has environments of its own, blanks between | none |
| `HOTPLATE_RELAY_TIMEOUT_S` | of the relay: seconds that a model's function may take | 28 |
| `HOTPLATE_FALLBACKS` | of the relay: `model=sagemaker` or `model=other`, comma between | none |
| `HOTPLATE_GPU_PROXY` | of the relay: `model=function` of the model on SageMaker | none |
| `AWS_ENDPOINT_URL_LAMBDA`, `AWS_ENDPOINT_URL` | another Lambda than AWS's | none |
| `AWS_ENDPOINT_URL_S3`, `AWS_ENDPOINT_URL` | another S3 than AWS's | none |
| `AWS_REGION` | set by Lambda | us-east-1 |
| `AWS_LAMBDA_FUNCTION_MEMORY_SIZE` | set by Lambda, in MB | 1769 |
| `AWS_LAMBDA_INITIALIZATION_TYPE` | set by Lambda: whether a caller waits for init | `on-demand` |
| `AWS_LAMBDA_MAX_CONCURRENCY` | set by Lambda where several processes share an environment | not set |

Where several processes share an environment the cache is `<tmp>/hotplate`: they share its memory too.
One process alone has no use for a cache, and writing it would cost its cold start.

`HOTPLATE_INIT_MODE` is a plan's `init_mode`. Only `first-invoke` changes what the function does; the other
words name what the deployment has set up at Lambda, which tells it by `AWS_LAMBDA_INITIALIZATION_TYPE`.

Fetching may take 8 s in an init phase that ends after ten, 25 s with the first request, which the gateway
waits 29 s for, and 60 s where nobody waits.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple, Self

from hotplate.errors import SettingsError
from hotplate.limits import MAX_MEMORY_MB, MAX_VCPUS, MEMORY_MB_PER_VCPU

__all__ = [
    "INIT_MODES",
    "PUBLIC_KEY_BYTES",
    "UNSIGNED_ALLOWED",
    "PipelineSettings",
    "RelaySettings",
    "Settings",
    "answer_within_s",
    "is_isolated",
    "is_snapshot",
]

UNSIGNED_ALLOWED = "allowed-for-development"
PUBLIC_KEY_BYTES = 32
INIT_MODES = ("init", "first-invoke", "snap-start", "provisioned", "managed-instances")

_ON_DEMAND, _LATE = "on-demand", "first-invoke"
_SHA256 = re.compile(r"[0-9a-f]{64}")


class Settings(NamedTuple):
    """One function's deployment.

    Attributes:
        model, version, manifest_sha256: What is served, pinned by digest.
        data_bucket: Where callers' uploads are; None: no input is taken by reference.
        bucket, region, s3_endpoint: Where it lies; `s3_endpoint` is None for AWS itself.
        memory_mb: Memory of the function in MB.
        cache_dir: Where verified files are kept for other processes, or None.
        fetch_timeout_s: Bound on fetching the model, in seconds. The default leaves room for the
            rest within what Lambda or the gateway waits, so that a slow S3 is answered by us and not by a
            time-out.
        signing_keys: Raw Ed25519 public keys, one of which must have signed the manifest; empty only
            where `HOTPLATE_UNSIGNED` allows unsigned ones in so many words.
        init_type: `on-demand`, `provisioned-concurrency`, `snap-start`, `lambda-managed-instances`.
        init_mode: One of `INIT_MODES`.
        processes: How many processes like this one share the environment.
        jobs_function: Takes requests that nobody waits for; None: all are answered at once.
        capture_share: Share of the requests that are kept with their answers, 0 to 1.
        is_isolated: Whether each tenant has environments of its own.
    """

    model: str
    version: str
    manifest_sha256: str
    bucket: str
    region: str
    s3_endpoint: str | None
    memory_mb: int
    cache_dir: Path | None
    fetch_timeout_s: float
    signing_keys: tuple[bytes, ...]
    init_type: str = "on-demand"
    init_mode: str = "init"
    processes: int = 1
    data_bucket: str | None = None
    jobs_function: str | None = None
    capture_share: float = 0.0
    is_isolated: bool = False

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Self:
        """Return the settings in `environ`.

        Raises:
            SettingsError: Naming the variable that is missing or wrong.
        """
        digest = _required(environ, "HOTPLATE_MANIFEST_SHA256")
        if not _SHA256.fullmatch(digest):
            raise SettingsError("HOTPLATE_MANIFEST_SHA256 is not 64 lower-case hex digits")
        answer_within_s(environ)  # here to be refused; the endpoint asks itself
        processes = int(_number(environ, "AWS_LAMBDA_MAX_CONCURRENCY", 1))
        init_type, init_mode = _init_type(environ), _init_mode(environ)
        return cls(
            model=_required(environ, "HOTPLATE_MODEL"),
            version=_required(environ, "HOTPLATE_VERSION"),
            manifest_sha256=digest,
            bucket=_required(environ, "HOTPLATE_BUCKET"),
            region=environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION") or "us-east-1",
            s3_endpoint=environ.get("AWS_ENDPOINT_URL_S3") or environ.get("AWS_ENDPOINT_URL") or None,
            memory_mb=int(_number(environ, "AWS_LAMBDA_FUNCTION_MEMORY_SIZE", MEMORY_MB_PER_VCPU)),
            cache_dir=_cache_dir(environ, processes),
            fetch_timeout_s=_number(environ, "HOTPLATE_FETCH_TIMEOUT_S", _patience_s(init_type, init_mode)),
            signing_keys=_signing_keys(environ),
            init_type=init_type,
            init_mode=init_mode,
            processes=processes,
            data_bucket=environ.get("HOTPLATE_DATA_BUCKET") or None,
            jobs_function=environ.get("HOTPLATE_JOBS_FUNCTION") or None,
            capture_share=capture_share(environ),
            is_isolated=is_isolated(environ),
        )

    @property
    def is_on_demand(self) -> bool:
        """Whether somebody waits for init to end."""
        return self.init_type == _ON_DEMAND

    @property
    def loads_late(self) -> bool:
        """Whether the model is loaded with the first request; where nobody waits for init, never."""
        return self.is_on_demand and self.init_mode == _LATE

    @property
    def threads(self) -> int:
        """Threads of one operator: this process's share of the vCPUs, at least 1."""
        return max(1, self.vcpus // self.processes)

    @property
    def vcpus(self) -> int:
        """Whole vCPUs that the memory buys, at least 1; never the host's count, which is not ours."""
        return min(MAX_VCPUS, max(1, round(min(self.memory_mb, MAX_MEMORY_MB) / MEMORY_MB_PER_VCPU)))


class PipelineSettings(NamedTuple):
    """Where the members of a pipeline run.

    Attributes:
        is_split: Whether each runs in its own function, not here.
        functions: Name and alias of its function by member.
        endpoint: Lambda's; None for AWS itself.
        timeout_s: That one member may take.
    """

    is_split: bool
    functions: Mapping[str, str]
    endpoint: str | None
    timeout_s: float

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Self:
        """Return the settings in `environ`.

        Raises:
            SettingsError: Naming the variable that is missing or wrong.
        """
        mode = environ.get("HOTPLATE_PIPELINE") or "fused"
        if mode not in ("fused", "split"):
            raise SettingsError(f"HOTPLATE_PIPELINE is {mode[:40]!r}, neither 'fused' nor 'split'")
        return cls(
            is_split=mode == "split",
            functions=_functions(environ, "HOTPLATE_MEMBERS"),
            endpoint=_lambda_endpoint(environ),
            timeout_s=_number(environ, "HOTPLATE_STEP_TIMEOUT_S", 12),
        )

    def function_of(self, member: str) -> str:
        """Return the function of a member.

        Raises:
            SettingsError: None is named.
        """
        if member not in self.functions:
            raise SettingsError(f"HOTPLATE_MEMBERS names no function of {member!r}")
        return self.functions[member]


class RelaySettings(NamedTuple):
    """Where the relay finds the models' functions.

    Attributes:
        functions: Name and alias of its function by model.
        region: Where they are.
        endpoint: Lambda's; None for AWS itself.
        timeout_s: That one answer may take; less than API Gateway waits.
        fallbacks: Who is asked instead, by model: `sagemaker`, or another model.
        gpu_proxy: The function before the model on SageMaker, by that model; empty where there is none.
        isolated: Models each of whose tenants has environments of its own.
    """

    functions: Mapping[str, str]
    region: str
    endpoint: str | None
    timeout_s: float
    fallbacks: Mapping[str, str] = MappingProxyType({})
    gpu_proxy: Mapping[str, str] = MappingProxyType({})
    isolated: frozenset[str] = frozenset()

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Self:
        """Return the settings in `environ`.

        Raises:
            SettingsError: Naming the variable that is missing or wrong.
        """
        _required(environ, "HOTPLATE_FUNCTIONS")
        return cls(
            functions=_functions(environ, "HOTPLATE_FUNCTIONS"),
            region=environ.get("AWS_REGION", "us-east-1"),
            endpoint=_lambda_endpoint(environ),
            timeout_s=_number(environ, "HOTPLATE_RELAY_TIMEOUT_S", 28),
            fallbacks=_functions(environ, "HOTPLATE_FALLBACKS", "MODEL, or MODEL=sagemaker"),
            gpu_proxy=_functions(environ, "HOTPLATE_GPU_PROXY"),
            isolated=_isolated(environ),
        )


def _cache_dir(environ: Mapping[str, str], processes: int) -> Path | None:
    folder = environ.get("HOTPLATE_CACHE_DIR") or ("off" if processes == 1 else "")
    if folder == "off":
        return None
    import tempfile  # costs a cold start 6 ms, and a process alone needs none

    return Path(folder) if folder else Path(tempfile.gettempdir()) / "hotplate"


def _functions(environ: Mapping[str, str], name: str, kind: str = "FUNCTION:ALIAS") -> dict[str, str]:
    text = environ.get(name, "")
    named = dict(part.strip().partition("=")[::2] for part in text.split(",") if part.strip())
    if not all(named) or not all(named.values()):
        raise SettingsError(f"{name} is {text[:80]!r}, not MODEL={kind}, comma between")
    return named


def _lambda_endpoint(environ: Mapping[str, str]) -> str | None:
    return environ.get("AWS_ENDPOINT_URL_LAMBDA") or environ.get("AWS_ENDPOINT_URL") or None


def answer_within_s(environ: Mapping[str, str]) -> float:
    """Return how long a model may take for one request; a second less than API Gateway waits.

    Raises:
        SettingsError: It is no positive number.
    """
    return _number(environ, "HOTPLATE_ANSWER_WITHIN_S", 28)


def is_isolated(environ: Mapping[str, str]) -> bool:
    """Return whether each tenant of this function's model has environments of its own."""
    return environ.get("HOTPLATE_MODEL") in _isolated(environ)


def _isolated(environ: Mapping[str, str]) -> frozenset[str]:
    return frozenset(environ.get("HOTPLATE_ISOLATED", "").split())


def is_snapshot(environ: Mapping[str, str]) -> bool:
    """Return whether Lambda will take a snapshot of this environment; also where settings are wrong."""
    return _init_type(environ) == "snap-start"


def capture_share(environ: Mapping[str, str]) -> float:
    """Return the share of the requests that are kept, 0 to 1.

    Raises:
        SettingsError: It is no such number.
    """
    text = environ.get("HOTPLATE_CAPTURE_SHARE") or "0"
    try:
        share = float(text)
    except ValueError as fault:
        raise SettingsError(f"HOTPLATE_CAPTURE_SHARE is {text[:40]!r}, not a number") from fault
    if not 0 <= share <= 1:
        raise SettingsError(f"HOTPLATE_CAPTURE_SHARE is {text[:40]!r}, not of 0 to 1")
    return share


def _init_type(environ: Mapping[str, str]) -> str:
    return environ.get("AWS_LAMBDA_INITIALIZATION_TYPE") or _ON_DEMAND


def _init_mode(environ: Mapping[str, str]) -> str:
    mode = environ.get("HOTPLATE_INIT_MODE") or INIT_MODES[0]
    if mode not in INIT_MODES:
        raise SettingsError(f"HOTPLATE_INIT_MODE is {mode[:40]!r}, none of {', '.join(INIT_MODES)}")
    return mode


def _patience_s(init_type: str, init_mode: str) -> float:
    if init_type != _ON_DEMAND:
        return 60
    return 25 if init_mode == _LATE else 8


def _signing_keys(environ: Mapping[str, str]) -> tuple[bytes, ...]:
    text, unsigned = environ.get("HOTPLATE_SIGNING_KEYS", ""), environ.get("HOTPLATE_UNSIGNED", "")
    if unsigned not in ("", UNSIGNED_ALLOWED):
        raise SettingsError(f"HOTPLATE_UNSIGNED is {unsigned[:40]!r}; it can only be {UNSIGNED_ALLOWED!r}")
    if text and unsigned:
        raise SettingsError("HOTPLATE_SIGNING_KEYS and HOTPLATE_UNSIGNED contradict each other: set one")
    if not text and not unsigned:
        raise SettingsError(
            "HOTPLATE_SIGNING_KEYS is not set; to serve without signatures, "
            f"say HOTPLATE_UNSIGNED={UNSIGNED_ALLOWED}"
        )
    return tuple(_public_key(part.strip()) for part in text.split(",")) if text else ()


def _public_key(text: str) -> bytes:
    try:
        key = binascii.a2b_base64(text, strict_mode=True)
    except (binascii.Error, ValueError) as fault:
        raise SettingsError(f"HOTPLATE_SIGNING_KEYS: {text[:60]!r} is not base64") from fault
    if len(key) != PUBLIC_KEY_BYTES:
        raise SettingsError(f"HOTPLATE_SIGNING_KEYS: a key of {len(key)} bytes, not {PUBLIC_KEY_BYTES}")
    return key


def _required(environ: Mapping[str, str], name: str) -> str:
    value = environ.get(name, "")
    if not value:
        raise SettingsError(f"{name} is not set")
    return value


def _number(environ: Mapping[str, str], name: str, default: float) -> float:
    text = environ.get(name) or str(default)
    try:
        value = float(text)
    except ValueError as fault:
        raise SettingsError(f"{name} is {text!r}, not a number") from fault
    if not 0 < value < 1e9:
        raise SettingsError(f"{name} is {text!r}, not a positive number")
    return value
