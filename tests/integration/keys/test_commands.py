"""`hotplate keys` and `hotplate usage` against a stack in moto: tables, plans, what is shown and what not."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from click.testing import CliRunner

from hotplate.aws.webhook_secrets import WebhookSecrets
from hotplate.errors import StoreNotFoundError
from hotplate.tenants.keys import digest_of
from hotplate.tenants.usage import read_usage
from hotplate_tools.cli import cli
from hotplate_tools.failures import FailedError, RefusedError
from tests.support.callers import REGION, Tables, tables
from tests.support.deliveries import mixed_lines


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Iterator[Tables]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    with tables() as found:
        gateway = boto3.client("apigateway", REGION)
        api = gateway.create_rest_api(name="hotplate")["id"]
        root = gateway.get_resources(restApiId=api)["items"][0]["id"]
        gateway.put_method(restApiId=api, resourceId=root, httpMethod="GET", authorizationType="NONE")
        gateway.put_integration(restApiId=api, resourceId=root, httpMethod="GET", type="MOCK")
        gateway.create_deployment(restApiId=api, stageName="live")
        url = f"https://{api}.execute-api.{REGION}.amazonaws.com/live"
        outputs = {"ApiUrl": url, "KeyTableName": "KeyTable", "LedgerTableName": "LedgerTable"}
        template = {
            "Resources": {"Topic": {"Type": "AWS::SNS::Topic"}},
            "Outputs": {name: {"Value": value} for name, value in outputs.items()},
        }
        formation = boto3.client("cloudformation", REGION)
        formation.create_stack(StackName="hotplate", TemplateBody=json.dumps(template))
        yield found


def run(*arguments: str) -> Any:
    done = CliRunner().invoke(cli, [*arguments, "--json"], catch_exceptions=False, standalone_mode=False)
    return json.loads(done.stdout)


def plans() -> dict[str, list[str]]:
    """Return the names of the keys in each usage plan."""
    gateway = boto3.client("apigateway", REGION)
    return {
        plan["name"]: [key["name"] for key in gateway.get_usage_plan_keys(usagePlanId=plan["id"])["items"]]
        for plan in gateway.get_usage_plans()["items"]
    }


def test_key_is_shown_once_kept_as_its_digest_and_listed_without_it(made: Tables) -> None:
    shown = run("keys", "create", "acme", "--allow", "infer:digits", "--expires-days", "2", "--note", "ci")
    secret = shown["secret"]
    kept = made.keys.key(digest_of(secret))
    assert kept
    assert (kept.tenant, str(kept.scopes), kept.note, kept.id) == ("acme", "infer:digits", "ci", shown["id"])
    assert kept.expires
    assert abs(kept.expires - time.time() - 2 * 86400) < 60
    assert secret not in json.dumps(made.client.scan(TableName="KeyTable")["Items"])
    listed = run("keys", "list")
    assert secret not in json.dumps(listed)
    assert [key["id"] for key in listed["keys"]] == [shown["id"]]
    assert [each["tenant"] for each in listed["tenants"]] == ["acme"]


def test_webhook_secret_is_made_once_printed_again_and_replaced_when_asked(made: Tables) -> None:
    with pytest.raises(StoreNotFoundError, match="no tenant acme"):
        run("keys", "webhook-secret", "acme")
    run("keys", "create", "acme")
    first = run("keys", "webhook-secret", "acme")["secret"]
    assert run("keys", "webhook-secret", "acme") == {"tenant": "acme", "secret": first}
    second = run("keys", "webhook-secret", "acme", "--rotate")["secret"]
    assert WebhookSecrets(made.client, "KeyTable").of("acme") == [second, first]
    third = run("keys", "webhook-secret", "acme", "--rotate", "--overlap-hours", "0")["secret"]
    assert WebhookSecrets(made.client, "KeyTable").of("acme") == [third]
    assert run("keys", "webhook-secret", "-")["secret"] not in (first, second, third)
    assert [each["tenant"] for each in run("keys", "list")["tenants"]] == ["acme"]


def test_dry_run_makes_nothing(made: Tables) -> None:
    assert run("keys", "create", "acme", "--dry-run")["new_tenant"] is True
    assert (made.keys.all_keys(), made.keys.tenants(), plans()) == ([], [], {})


def test_revoked_key_stays_revoked(made: Tables) -> None:
    key = run("keys", "create", "acme")
    first = run("keys", "revoke", key["id"])
    assert first["state"] == "revoked"
    assert run("keys", "revoke", key["id"])["revoked"] == first["revoked"]
    with pytest.raises(RefusedError, match="is revoked"):
        run("keys", "rotate", key["id"])


def test_rotated_key_allows_the_same_and_the_old_one_ends(made: Tables) -> None:
    old = run("keys", "create", "acme", "--allow", "read:spam")
    new = run("keys", "rotate", old["id"], "--overlap-hours", "1")
    kept = {key.id: key for key in made.keys.all_keys()}
    assert (new["tenant"], new["allows"]) == ("acme", ["read:spam"])
    assert digest_of(new["secret"]) == kept[new["id"]].sha256
    revoked = kept[old["id"]].revoked
    assert revoked
    assert 3500 < revoked - time.time() < 3700
    run("keys", "rotate", new["id"], "--overlap-hours", "0")
    (rotated,) = [key for key in made.keys.all_keys() if key.id == new["id"]]
    assert rotated.refused(time.time() + 1) == "revoked"


def test_tenants_of_one_rate_share_a_plan_and_a_new_rate_moves_one(made: Tables) -> None:
    for tenant in ("acme", "globex"):
        run("keys", "create", tenant)
    assert plans() == {"hotplate 50/s burst 100": ["hotplate acme", "hotplate globex"]}
    limits = run("keys", "limits", "acme", "--rate", "2.5", "--burst", "5", "--quota", "9", "--budget", "1.5")
    assert limits == {"tenant": "acme", "rate": 2.5, "burst": 5, "quota": 9, "budget_usd": 1.5}
    assert plans() == {
        "hotplate 50/s burst 100": ["hotplate globex"],
        "hotplate 2.5/s burst 5": ["hotplate acme"],
    }
    kept = run("keys", "limits", "acme", "--quota", "0")
    assert kept == {"tenant": "acme", "rate": 2.5, "burst": 5, "quota": None, "budget_usd": 1.5}
    values = [
        key["value"] for key in boto3.client("apigateway", REGION).get_api_keys(includeValues=True)["items"]
    ]
    assert sorted(each.usage_key for each in made.keys.tenants()) == sorted(values)


@pytest.mark.parametrize("name", ["Acme", "a b", "", "a" * 64, "a#b"])
def test_name_that_is_none_is_refused(made: Tables, name: str) -> None:
    with pytest.raises(RefusedError, match="no name of a tenant"):
        run("keys", "create", name)


def test_stack_that_is_not_there_is_named(made: Tables) -> None:
    with pytest.raises(FailedError, match="stack other"):
        run("keys", "list", "--stack", "other")


def test_usage_is_told_as_table_csv_and_statement(made: Tables) -> None:
    lines = [line for line in mixed_lines(60) if line["tenant"] != "initech"]
    made.ledger.record(usage for line in lines if (usage := read_usage(json.dumps(line))))
    for tenant in ("acme", "globex"):
        run("keys", "limits", tenant)
    period = ("--from", "2026-11-01", "--to", "2026-12-31")
    rows = run("usage", *period)["rows"]
    assert sum(row["requests"] for row in rows) == len(lines)
    assert {row["tenant"] for row in rows} == {"acme", "globex", "-"}
    own = run("usage", "--tenant", "acme", "--model", "spam", *period)["rows"]
    assert {(row["tenant"], row["model"]) for row in own} == {("acme", "spam")}
    statement = run("usage", "--statement", "2026-11")
    november = [line for line in lines if line["tenant"] == "acme" and line["at"] < 1_796_083_200]
    (acme,) = [each for each in statement["tenants"] if each["tenant"] == "acme"]
    assert (acme["requests"], acme["usd"]) == (len(november), sum(x["nano_usd"] for x in november) / 1e9)
    text = CliRunner().invoke(cli, ["usage", "--csv", *period], catch_exceptions=False).stdout
    assert len(text.strip().splitlines()) == len(rows) + 1
    assert text.startswith("tenant,day,model,version,requests,")


@pytest.mark.parametrize("option", [("--statement", "2026-13"), ("--from", "soon")])
def test_period_that_is_none_is_a_wrong_command_line(made: Tables, option: tuple[str, str]) -> None:
    done = CliRunner().invoke(cli, ["usage", *option])
    assert done.exit_code == 2
