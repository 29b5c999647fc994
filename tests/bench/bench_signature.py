"""What verifying a signature adds to a cold start: fresh processes, medians and ratios.

Run it: `python -m tests.bench.bench_signature`. It prints times of one run on one machine.

1. Verifiers: import plus one verification, after what a cold start has imported anyway. KMS is moto's on
   loopback and another kind of key (moto has no Ed25519), so what it shows is boto3 and the call's own
   cost; a real one adds TLS, the network and the service.
2. The manifest phase of a whole cold start, signed and unsigned in turn, from an S3 on loopback that answers
   at once, and one that takes some time.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from typing import Any

import boto3
from moto.server import ThreadedMotoServer

from tests.support.faulty_s3 import BUCKET, Fault, faulty_s3
from tests.support.published import Published, published
from tests.support.signing import SeedSigner

ROUNDS = 15
# How long the slower S3 takes to its first byte, in seconds. Ours: a guess at a small object in one region.
DELAY_S = 0.03

PREAMBLE = """
import base64, hashlib, http.client, ssl, sys, time
import hotplate.wiring, functions.digits.app
key, message, signature = (bytes.fromhex(each) for each in sys.argv[1:])
started = time.perf_counter()
"""
VERIFIERS = {
    "PyNaCl, nacl.bindings": "from nacl.bindings import crypto_sign_open as verify\n"
    "verify(signature + message, key)",
    "PyNaCl, nacl.signing": "from nacl.signing import VerifyKey\nVerifyKey(key).verify(message, signature)",
    "cryptography": "from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey\n"
    "Ed25519PublicKey.from_public_bytes(key).verify(signature, message)",
}
LOAD = "import functions.digits.app"


def main() -> None:
    """Print both tables."""
    version = published(name="digits")
    message = b"hotplate manifest signature 1\n" + bytes(32)
    arguments = [each.hex() for each in (SeedSigner().public_key, message, SeedSigner().sign(message))]
    times = {name: _verify_ms(code, arguments) for name, code in VERIFIERS.items()}
    times["KMS, by boto3, loopback"] = _kms_ms(message)
    least = min(times.values())
    for name, ms in times.items():
        print(f"{name:<24}{ms:>7.1f} ms  {ms / least:4.1f}x")  # noqa: T201
    for delay_s in (0.0, DELAY_S):
        # In turn, so that a machine which is busy for a while is busy for both.
        runs = [
            [_cold_ms(version, signed=signed, delay_s=delay_s) for signed in (False, True)]
            for _ in range(ROUNDS)
        ]
        for name, pick in (("least", min), ("median", statistics.median)):
            unsigned, signed = (pick([run[which]["manifest"] for run in runs]) for which in (0, 1))
            whole = pick([sum(run[0].values()) for run in runs])
            print(  # noqa: T201
                f"S3 {delay_s * 1000:>3.0f} ms, manifest, {name:<7} unsigned {unsigned:>6.1f} ms, signed "
                f"{signed:>6.1f} ms: {signed - unsigned:+.1f} ms, "
                f"{(signed - unsigned) / whole:.1%} of the whole"
            )


def _verify_ms(code: str, arguments: list[str]) -> float:
    program = PREAMBLE + code + "\nprint((time.perf_counter() - started) * 1000)"
    environ = {"HOTPLATE_UNSIGNED": "allowed-for-development"}  # so that nothing is loaded beforehand
    runs = [
        subprocess.run(
            [sys.executable, "-c", program, *arguments],
            env={**environ, "PYTHONPATH": ":".join(sys.path)},
            capture_output=True,
            text=True,
            check=True,
        )
        for _ in range(ROUNDS)
    ]
    # The least: what is above it is the machine's other work.
    return min(float(run.stdout.splitlines()[-1]) for run in runs)


def _kms_ms(message: bytes) -> float:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        endpoint = f"http://{host}:{port}"
        session = boto3.Session(aws_access_key_id="AK", aws_secret_access_key="SK", region_name="us-east-1")
        kms: Any = session.client("kms", endpoint_url=endpoint)
        key = kms.create_key(KeySpec="ECC_NIST_P256", KeyUsage="SIGN_VERIFY")["KeyMetadata"]["Arn"]
        signature = kms.sign(KeyId=key, Message=message, SigningAlgorithm="ECDSA_SHA_256")["Signature"]
        code = (
            "import boto3\n"
            f"kms = boto3.client('kms', region_name='us-east-1', endpoint_url={endpoint!r}, "
            "aws_access_key_id='AK', aws_secret_access_key='SK')\n"
            f"kms.verify(KeyId={key!r}, Message=message, Signature=signature, "
            "SigningAlgorithm='ECDSA_SHA_256')"
        )
        return _verify_ms(code, ["00", message.hex(), signature.hex()])
    finally:
        server.stop()


def _cold_ms(version: Published, *, signed: bool, delay_s: float) -> dict[str, float]:
    trust = {"HOTPLATE_SIGNING_KEYS": SeedSigner().pinned}
    with faulty_s3() as s3:
        s3.objects.update(version.reader.objects)
        for key in s3.objects:
            s3.faults[key].append(Fault(delay_s=delay_s))
        done = subprocess.run(
            [sys.executable, "-c", LOAD],
            env={
                "PYTHONPATH": ":".join(sys.path),
                "AWS_ACCESS_KEY_ID": "AK",
                "AWS_SECRET_ACCESS_KEY": "SK",
                "AWS_ENDPOINT_URL_S3": s3.endpoint,
                "HOTPLATE_BUCKET": BUCKET,
                "HOTPLATE_CACHE_DIR": "off",
                "HOTPLATE_MANIFEST_SHA256": version.settings.manifest_sha256,
                "HOTPLATE_MODEL": "digits",
                "HOTPLATE_VERSION": version.settings.version,
                **(trust if signed else {"HOTPLATE_UNSIGNED": "allowed-for-development"}),
            },
            capture_output=True,
            text=True,
            check=True,
        )
    phases: dict[str, float] = json.loads(done.stdout.splitlines()[0])["phases_ms"]
    return phases


if __name__ == "__main__":
    main()
