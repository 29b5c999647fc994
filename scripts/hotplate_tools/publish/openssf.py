"""A folder signed as OpenSSF Model Signing has it, so that others verify it with their own tools.

The bundle `model.sig` covers every file of the folder; `model_signing verify key` accepts it. The
signing is done by the `model-signing` package in an environment of its own. It takes elliptic-curve
keys (NIST P-256, P-384, P-521), not the Ed25519 keys that sign manifests: this is a second key.

Source: OpenSSF Model Signing Specification, v1.0.
"""

from __future__ import annotations

import os
import stat
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from hotplate_tools.environments import ensure
from hotplate_tools.failures import FailedError, RefusedError

if TYPE_CHECKING:
    from hotplate_tools.console import Console

__all__ = ["BUNDLE", "EllipticKey", "read_elliptic_key", "sign_folder"]

BUNDLE = "model.sig"

_CURVES = (ec.SECP256R1, ec.SECP384R1, ec.SECP521R1)
_ADVICE = "openssl ecparam -name prime256v1 -genkey -noout -out key.pem; chmod 600 key.pem"


@dataclass(frozen=True, slots=True)
class EllipticKey:
    """A private key file that was looked at.

    Attributes:
        path: Where.
        public_pem: Its public key.
    """

    path: Path
    public_pem: bytes


def read_elliptic_key(path: Path) -> EllipticKey:
    """Return the key in `path`.

    Raises:
        RefusedError: Others may read the file, it is encrypted, or it holds no key that the tool takes.
    """
    try:
        with path.open("rb") as file:
            mode, raw = os.fstat(file.fileno()).st_mode, file.read(16 * 1024)
    except OSError as fault:
        raise RefusedError(f"the key {path} cannot be read: {fault.strerror}") from fault
    if stat.S_IMODE(mode) & 0o077:
        raise RefusedError(
            f"others than its owner may use the key {path} (mode {stat.S_IMODE(mode):04o})",
            advice=f"chmod 600 {path}; and make a new key if others could have read it.",
        )
    try:
        key = serialization.load_pem_private_key(raw, None)
    except TypeError as fault:
        # The tool takes a passphrase on its command line only, where every user of the machine reads it.
        raise RefusedError(f"the key {path} is encrypted, and cannot be for this") from fault
    except (ValueError, UnsupportedAlgorithm) as fault:
        raise RefusedError(f"{path} is no private key in PEM", advice=_ADVICE) from fault
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, _CURVES):
        raise RefusedError(
            f"{path} holds no elliptic-curve key of P-256, P-384 or P-521: model signing takes no other, "
            "also not the Ed25519 key that signs manifests",
            advice=_ADVICE,
        )
    public = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return EllipticKey(path.resolve(), public)


def sign_folder(folder: Path, key: EllipticKey, console: Console) -> None:
    """Write `model.sig` into `folder`, and have the tool verify it.

    Raises:
        FailedError: The tool cannot be installed, or failed.
    """
    tool = ensure("model-signing", console) / "model_signing"
    bundle = str(folder / BUNDLE)
    with console.step("Signing for OpenSSF"), tempfile.TemporaryDirectory() as private:
        public = Path(private) / "public.pem"
        public.write_bytes(key.public_pem)
        _run([str(tool), "sign", "key", str(folder), "--signature", bundle, "--private_key", str(key.path)])
        _run([str(tool), "verify", "key", str(folder), "--signature", bundle, "--public_key", str(public)])


def _run(command: list[str]) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=environment)
    if done.returncode:
        last = "\n".join((done.stderr or done.stdout).strip().splitlines()[-4:])
        raise FailedError(f"model_signing {command[1]} failed:\n{last}")
