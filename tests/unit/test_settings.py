"""The environment, read once; what is wrong in it is named."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from hotplate.errors import SettingsError
from hotplate.settings import Settings, capture_share, is_snapshot
from tests.support.signing import SeedSigner

ENVIRON = {
    "HOTPLATE_MODEL": "digits",
    "HOTPLATE_BUCKET": "models",
    "HOTPLATE_VERSION": "1.2.3",
    "HOTPLATE_MANIFEST_SHA256": "a" * 64,
    "HOTPLATE_SIGNING_KEYS": SeedSigner().pinned,
}


def test_defaults() -> None:
    settings = Settings.from_environ(ENVIRON)
    assert settings == Settings(
        model="digits",
        version="1.2.3",
        manifest_sha256="a" * 64,
        bucket="models",
        region="us-east-1",
        s3_endpoint=None,
        memory_mb=1769,
        cache_dir=None,
        fetch_timeout_s=8,
        signing_keys=(SeedSigner().public_key,),
    )


@pytest.mark.parametrize("name", ENVIRON)
def test_missing_variable_is_named(name: str) -> None:
    environ = {key: value for key, value in ENVIRON.items() if key != name}
    with pytest.raises(SettingsError, match=name):
        Settings.from_environ(environ)


@pytest.mark.parametrize("digest", ["a" * 63, "A" * 64, "a" * 64 + "\n", "g" * 64])
def test_digest_that_is_none_is_refused(digest: str) -> None:
    with pytest.raises(SettingsError, match="64 lower-case hex digits"):
        Settings.from_environ(ENVIRON | {"HOTPLATE_MANIFEST_SHA256": digest})


@pytest.mark.parametrize("value", ["soon", "-1", "0", "nan", "inf"])
def test_number_that_is_none_is_refused(value: str) -> None:
    with pytest.raises(SettingsError, match="HOTPLATE_FETCH_TIMEOUT_S"):
        Settings.from_environ(ENVIRON | {"HOTPLATE_FETCH_TIMEOUT_S": value})


def test_cache_is_kept_where_several_processes_can_use_it() -> None:
    several = Settings.from_environ(ENVIRON | {"AWS_LAMBDA_MAX_CONCURRENCY": "4"})
    assert several.cache_dir == Path(tempfile.gettempdir()) / "hotplate"
    assert Settings.from_environ(ENVIRON | {"HOTPLATE_CACHE_DIR": "here"}).cache_dir == Path("here")


def test_cache_can_be_switched_off() -> None:
    assert Settings.from_environ(ENVIRON | {"HOTPLATE_CACHE_DIR": "off"}).cache_dir is None


@pytest.mark.parametrize(
    ("environ", "endpoint"),
    [
        ({"AWS_ENDPOINT_URL": "http://all"}, "http://all"),
        ({"AWS_ENDPOINT_URL": "http://all", "AWS_ENDPOINT_URL_S3": "http://s3"}, "http://s3"),
    ],
)
def test_endpoint_of_s3_goes_before_that_of_all(environ: dict[str, str], endpoint: str) -> None:
    assert Settings.from_environ(ENVIRON | environ).s3_endpoint == endpoint


@pytest.mark.parametrize(("memory", "vcpus"), [("128", 1), ("1769", 1), ("3538", 2), ("10240", 6)])
def test_vcpus_come_from_the_memory(memory: str, vcpus: int) -> None:
    assert Settings.from_environ(ENVIRON | {"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": memory}).vcpus == vcpus


def test_several_keys_are_trusted_so_that_they_can_be_rotated() -> None:
    keys = [SeedSigner(1), SeedSigner(2)]
    for comma in (",", ", "):
        environ = ENVIRON | {"HOTPLATE_SIGNING_KEYS": comma.join(key.pinned for key in keys)}
        assert Settings.from_environ(environ).signing_keys == tuple(key.public_key for key in keys)


def test_unsigned_is_allowed_only_in_so_many_words() -> None:
    environ = ENVIRON | {"HOTPLATE_SIGNING_KEYS": "", "HOTPLATE_UNSIGNED": "allowed-for-development"}
    assert Settings.from_environ(environ).signing_keys == ()


@pytest.mark.parametrize(
    "word", ["1", "true", "allowed", "ALLOWED-FOR-DEVELOPMENT", "allowed-for-development "]
)
def test_no_other_word_allows_unsigned(word: str) -> None:
    with pytest.raises(SettingsError, match="HOTPLATE_UNSIGNED"):
        Settings.from_environ(ENVIRON | {"HOTPLATE_SIGNING_KEYS": "", "HOTPLATE_UNSIGNED": word})


def test_keys_and_unsigned_contradict_each_other() -> None:
    with pytest.raises(SettingsError, match="contradict"):
        Settings.from_environ(ENVIRON | {"HOTPLATE_UNSIGNED": "allowed-for-development"})


@pytest.mark.parametrize(
    "keys", ["key", "AAAA", ",", SeedSigner().pinned + ",", SeedSigner().pinned + ";x", "é" * 43 + "="]
)
def test_signing_key_that_is_none_is_refused(keys: str) -> None:
    with pytest.raises(SettingsError, match="HOTPLATE_SIGNING_KEYS"):
        Settings.from_environ(ENVIRON | {"HOTPLATE_SIGNING_KEYS": keys})


@pytest.mark.parametrize(
    ("memory", "processes", "threads"), [("7076", "4", 1), ("7076", "2", 2), ("1769", "8", 1)]
)
def test_processes_of_one_environment_share_its_vcpus(memory: str, processes: str, threads: int) -> None:
    environ = {"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": memory, "AWS_LAMBDA_MAX_CONCURRENCY": processes}
    assert Settings.from_environ(ENVIRON | environ).threads == threads


@pytest.mark.parametrize(
    ("init_type", "init_mode", "late", "patience_s"),
    [
        ("on-demand", "init", False, 8),
        ("on-demand", "first-invoke", True, 25),
        ("provisioned-concurrency", "first-invoke", False, 60),
        ("snap-start", "snap-start", False, 60),
        ("lambda-managed-instances", "managed-instances", False, 60),
    ],
)
def test_model_loads_late_only_where_lambda_starts_on_demand(
    init_type: str, init_mode: str, late: bool, patience_s: float
) -> None:
    how = {"AWS_LAMBDA_INITIALIZATION_TYPE": init_type, "HOTPLATE_INIT_MODE": init_mode}
    settings = Settings.from_environ(ENVIRON | how)
    assert (settings.loads_late, settings.fetch_timeout_s) == (late, patience_s)
    assert is_snapshot(how) is (init_type == "snap-start")


def test_init_mode_that_is_none_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"HOTPLATE_INIT_MODE is 'lazy', none of init, first-invoke"):
        Settings.from_environ(ENVIRON | {"HOTPLATE_INIT_MODE": "lazy"})


@pytest.mark.parametrize(("text", "share"), [("", 0.0), ("0", 0.0), ("0.25", 0.25), ("1", 1.0)])
def test_share_of_requests_that_are_kept(text: str, share: float) -> None:
    assert capture_share({"HOTPLATE_CAPTURE_SHARE": text}) == share


@pytest.mark.parametrize("text", ["half", "1.5", "-0.1", "nan"])
def test_share_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(SettingsError, match="HOTPLATE_CAPTURE_SHARE"):
        capture_share({"HOTPLATE_CAPTURE_SHARE": text})
