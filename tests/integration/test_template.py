"""What the template promises: valid, least privilege, one log group and alias a function, routes by name."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, get_args

import pytest

from hotplate.manifest.layout import manifest_key, signature_key
from hotplate.manifest.schema import InitMode
from hotplate.settings import INIT_MODES
from hotplate_tools.console import Console
from hotplate_tools.local.deployed import SIGNING_KEYS, ServedModel, served_models
from hotplate_tools.local.lint import lint_template
from hotplate_tools.publish.model_yaml import read_spec
from hotplate_tools.publish.pipeline import describe
from hotplate_tools.training.stored import (
    is_built,
    is_pipeline,
    member_names,
    model_folder,
    models_of_task,
    source_folder,
)
from tests.support.signing import SeedSigner
from tests.support.template import DOCUMENT, FUNCTIONS, RESOURCES, ROLES, as_list, of_type, routes, statements

OPENAI_BASES = ("/v1", "/openai/v1")
# What is too large to be committed is built anew on each machine, so no default can pin it.
COMMITTED = [
    each
    for each in served_models(DOCUMENT)
    if is_built(each.name)
    and model_folder(each.name) == source_folder(each.name)
    and not is_pipeline(each.name)  # made of such
]


def pinned_keys(model: ServedModel) -> list[str]:
    """Return the keys that a function reads of the registry, as the template writes them."""
    keys = [key(model.name, "VERSION") for key in (manifest_key, signature_key)]
    return [f"${{ModelBucket.Arn}}/{key.replace('VERSION', f'${{{model.version}}}')}" for key in keys]


def members_of(model: ServedModel) -> list[ServedModel]:
    """Return the models that a pipeline is made of; none of any other model."""
    if not is_pipeline(model.name):
        return []
    names = member_names(read_spec(source_folder(model.name) / "model.yaml"))
    return sorted(
        (each for each in served_models(DOCUMENT) if each.name in names), key=lambda each: each.name
    )


def test_template_passes_awss_own_checks() -> None:
    lint_template(Console(as_json=True))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_function_has_a_log_group_with_retention_and_a_role_of_its_own(name: str) -> None:
    group = FUNCTIONS[name]["LoggingConfig"]["LogGroup"]["Ref"]
    assert RESOURCES[group]["Type"] == "AWS::Logs::LogGroup"
    assert RESOURCES[group]["Properties"] == {"RetentionInDays": {"Ref": "LogRetentionDays"}}
    role = FUNCTIONS[name]["Role"]["Fn::GetAtt"][0]
    assert [each["Role"]["Fn::GetAtt"][0] for each in FUNCTIONS.values()].count(role) == 1
    assert {"Fn::GetAtt": [group, "Arn"]} in [each["Resource"] for each in statements(ROLES[role])]


@pytest.mark.parametrize("name", [model.function for model in served_models(DOCUMENT)])
def test_function_of_a_model_publishes_a_version_for_every_change(name: str) -> None:
    assert DOCUMENT["Globals"]["Function"]["AutoPublishAlias"] == "live"
    assert FUNCTIONS[name]["AutoPublishAliasAllProperties"] is True


@pytest.mark.parametrize("name", FUNCTIONS)
def test_function_is_found_under_its_own_import_path(name: str) -> None:
    packages = RESOURCES[name]["Metadata"]["BuildProperties"]
    folder = FUNCTIONS[name]["CodeUri"].strip("/").replace("/", ".")
    assert packages == {"ParentPackageMode": "explicit", "ParentPackages": folder}
    assert FUNCTIONS[name]["Handler"] == f"{folder}.app.lambda_handler"


@pytest.mark.parametrize("model", served_models(DOCUMENT), ids=lambda model: model.name)
def test_new_parameters_of_a_model_publish_a_version(model: ServedModel) -> None:
    description = FUNCTIONS[model.function]["VersionDescription"]["Fn::Sub"]
    assert f"${{{model.version}}}" in description
    assert f"${{{model.manifest_sha256}}}" in description
    assert f"${{{SIGNING_KEYS}}}" in description
    assert f"${{{init_mode(model)}}}" in description
    assert RESOURCES[model.function]["UpdateReplacePolicy"] == "Retain"


ISOLATING = [each for each in served_models(DOCUMENT) if "TenancyConfig" in FUNCTIONS[each.function]]


def init_mode(model: ServedModel) -> str:
    return f"{model.function.removesuffix('Function')}InitMode"


@pytest.mark.parametrize("model", served_models(DOCUMENT), ids=lambda model: model.name)
@pytest.mark.parametrize(
    ("mode", "snapshots", "ready"),
    [
        ("init", "None", None),
        ("first-invoke", "None", None),
        ("snap-start", "PublishedVersions", None),
        ("provisioned", "None", 3),
    ],
)
def test_init_mode_sets_up_what_lambda_has_for_it(
    model: ServedModel, mode: str, snapshots: str, ready: int | None
) -> None:
    parameter, count = init_mode(model), init_mode(model).replace("InitMode", "ProvisionedConcurrency")
    if model in ISOLATING and (snapshots != "None" or ready):
        assert mode not in DOCUMENT["Parameters"][parameter]["AllowedValues"]
        return
    assert mode in DOCUMENT["Parameters"][parameter]["AllowedValues"]
    given = {parameter: mode, count: 3, "AWS::NoValue": None}
    function = FUNCTIONS[model.function]
    assert evaluate(function.get("SnapStart", {"ApplyOn": "None"})["ApplyOn"], given) == snapshots
    kept = evaluate(function.get("ProvisionedConcurrencyConfig"), given)
    assert (kept and evaluate(kept["ProvisionedConcurrentExecutions"], given)) == ready
    assert evaluate(function["Environment"]["Variables"]["HOTPLATE_INIT_MODE"], given) == mode


@pytest.mark.parametrize("model", served_models(DOCUMENT), ids=lambda model: model.name)
def test_init_modes_are_words_of_a_plan(model: ServedModel) -> None:
    modes = set(DOCUMENT["Parameters"][init_mode(model)]["AllowedValues"])
    assert modes <= set(INIT_MODES) == set(get_args(InitMode))
    # SAM refuses a capacity provider beside provisioned concurrency on one function; and no tenant has
    # environments that are made before it asks.
    others = {"snap-start", "provisioned"} if model in ISOLATING else set()
    assert set(INIT_MODES) - modes == {"managed-instances"} | others


@pytest.mark.parametrize("model", COMMITTED, ids=lambda model: model.name)
def test_defaults_pin_the_model_that_comes_with_the_project(model: ServedModel) -> None:
    described = describe(model_folder(model.name), model.name)
    defaults = {name: each["Default"] for name, each in DOCUMENT["Parameters"].items()}
    assert model.version
    assert model.manifest_sha256
    assert defaults[model.version] == described.version
    assert defaults[model.manifest_sha256] == described.manifest_sha256


@pytest.mark.parametrize("name", ROLES)
def test_role_names_actions_and_resources(name: str) -> None:
    for statement in statements(ROLES[name]):
        assert statement["Effect"] == "Allow"
        assert not [action for action in as_list(statement["Action"]) if "*" in action]
        for resource in as_list(statement["Resource"]):
            keys = ["models/*/versions/*/manifest.json"] if name == "CatalogueRole" else ["blobs/sha256/*"]
            allowed: list[Any] = [{"Fn::Sub": f"${{ModelBucket.Arn}}/{key}"} for key in keys]
            allowed += [{"Fn::Sub": "${DataBucket.Arn}/uploads/*"}]
            if name in ("JobsRole", "GpuProxyRole", "GpuContainerRole"):
                allowed.append({"Fn::Sub": "${DataBucket.Arn}/results/*"})
            allowed += [{"Fn::Sub": f"${{DataBucket.Arn}}/{folder}/*"} for folder in ("in", "work")]
            if name == "BatchRole":
                allowed.append({"Fn::Sub": "${DataBucket.Arn}/out/*"})
                machine = "arn:${AWS::Partition}:states:${AWS::Region}:${AWS::AccountId}:execution"
                allowed.append({"Fn::Sub": f"{machine}:${{AWS::StackName}}-batch:*"})
                # A run ends with the version of a model's function that it began with.
                allowed += [{"Fn::Sub": f"${{{each.function}.Arn}}:*"} for each in served_models(DOCUMENT)]
            if name == "GpuContainerRole":
                allowed.append({"Fn::Sub": "${DataBucket.Arn}/results/=endpoint/*"})
            if statement["Action"] in ("ecr:GetAuthorizationToken", "sagemaker:ListEndpoints"):
                allowed.append("*")  # AWS takes no other resource of these
            if name == "ChunkMapRole":
                machine = "arn:${AWS::Partition}:states:${AWS::Region}:${AWS::AccountId}:execution"
                allowed.append({"Fn::Sub": f"{machine}:${{AWS::StackName}}-batch/*"})
                if statement["Sid"] == "DeliverLog":
                    assert {action.partition(":")[0] for action in statement["Action"]} == {"logs"}
                    allowed.append("*")  # likewise
            if name == "GpuSweeperRole":
                arn = "arn:${AWS::Partition}:sagemaker:${AWS::Region}:${AWS::AccountId}:endpoint"
                allowed.append({"Fn::Sub": f"{arn}/${{AWS::StackName}}-gpu*"})
            assert resource in allowed or "*" not in str(resource)


@pytest.mark.parametrize("model", served_models(DOCUMENT), ids=lambda model: model.name)
def test_model_function_reads_its_own_and_its_members_manifests_blobs_and_uploads_only(
    model: ServedModel,
) -> None:
    role = ROLES[FUNCTIONS[model.function]["Role"]["Fn::GetAtt"][0]]
    reads = [
        resource["Fn::Sub"]
        for each in statements(role)
        if each["Action"] == "s3:GetObject"
        for resource in as_list(each["Resource"])
    ]
    pinned = [key for each in (model, *members_of(model)) for key in pinned_keys(each)]
    assert reads == [
        *pinned,
        "${ModelBucket.Arn}/blobs/sha256/*",
        *(f"${{DataBucket.Arn}}/{folder}/*" for folder in ("uploads", "in", "work")),
    ]


@pytest.mark.parametrize("model", served_models(DOCUMENT), ids=lambda model: model.name)
def test_function_may_call_the_functions_of_its_members_and_no_other(model: ServedModel) -> None:
    role = ROLES[FUNCTIONS[model.function]["Role"]["Fn::GetAtt"][0]]
    calls = [each["Resource"] for each in statements(role) if each["Action"] == "lambda:InvokeFunction"]
    members = members_of(model)
    assert calls == ([[{"Fn::Sub": f"${{{each.function}.Arn}}:live"} for each in members]] if members else [])
    variables = FUNCTIONS[model.function]["Environment"]["Variables"]
    named = ",".join(f"{each.name}=${{{each.function}}}:live" for each in members)
    assert variables.get("HOTPLATE_MEMBERS") == ({"Fn::Sub": named} if members else None)


def test_every_function_is_told_whose_signatures_to_trust_and_where_data_is() -> None:
    variables = DOCUMENT["Globals"]["Function"]["Environment"]["Variables"]
    assert variables == {
        "HOTPLATE_SIGNING_KEYS": {"Ref": SIGNING_KEYS},
        "HOTPLATE_UNSIGNED": {"Ref": "Unsigned"},
        "HOTPLATE_DATA_BUCKET": {"Ref": "DataBucket"},
        "HOTPLATE_JOBS_FUNCTION": {"Fn::Sub": "${AWS::StackName}-jobs"},
        "HOTPLATE_CAPTURE_SHARE": {"Ref": "CaptureShare"},
        "HOTPLATE_ANSWER_WITHIN_S": {"Ref": "AnswerWithin"},
        "HOTPLATE_ISOLATED": {"Fn::If": ["IsolatesTenants", " ".join(each.name for each in ISOLATING), ""]},
    }


@pytest.mark.parametrize(
    ("keys", "unsigned", "deploys"),
    [
        ("", "", False),
        (SeedSigner().pinned, "", True),
        ("", "allowed-for-development", True),
        (SeedSigner().pinned, "allowed-for-development", False),
    ],
    ids=["defaults", "signed", "said to be unsigned", "both"],
)
def test_stack_deploys_only_signed_or_said_to_be_unsigned(keys: str, unsigned: str, deploys: bool) -> None:
    (assertion,) = DOCUMENT["Rules"]["SignedOrSaidNotToBe"]["Assertions"]
    assert evaluate(assertion["Assert"], {SIGNING_KEYS: keys, "Unsigned": unsigned}) is deploys


def evaluate(value: Any, parameters: dict[str, Any]) -> Any:
    """Do what CloudFormation does with the functions that a rule may have, and with conditions."""
    if not isinstance(value, dict) or not next(iter(value)).startswith(("Ref", "Fn::")):
        return value
    ((function, argument),) = value.items()
    if function == "Fn::If":
        condition, yes, no = argument
        return evaluate(yes if evaluate(DOCUMENT["Conditions"][condition], parameters) else no, parameters)
    if function == "Ref":
        return parameters[argument]
    found = [evaluate(each, parameters) for each in argument]
    return {"Fn::Or": any, "Fn::And": all, "Fn::Not": lambda of: not of[0], "Fn::Equals": _equal}[function](
        found
    )


def _equal(pair: list[Any]) -> bool:
    return bool(pair[0] == pair[1])


@pytest.mark.parametrize(
    ("keys", "fits"),
    [
        ("", True),
        (SeedSigner().pinned, True),
        (f"{SeedSigner(1).pinned},{SeedSigner(2).pinned}", True),
        (f"{SeedSigner().pinned},", False),
        ("key", False),
    ],
)
def test_parameter_of_the_keys_takes_none_one_and_two(keys: str, fits: bool) -> None:
    pattern = DOCUMENT["Parameters"][SIGNING_KEYS]["AllowedPattern"]
    assert bool(re.fullmatch(pattern, keys)) is fits


# Models that answer completions too.
GENERATING = models_of_task("text-generation")


@pytest.mark.parametrize("model", served_models(DOCUMENT), ids=lambda model: model.name)
def test_model_has_the_protocols_routes(model: ServedModel) -> None:
    base = f"/v2/models/{model.name}"
    version = base + "/versions/{version}"
    suffixes = [("GET", ""), ("GET", "/ready"), ("GET", "/card"), ("POST", "/infer")]
    generates = model.name in GENERATING
    explains = set() if generates else {("POST", f"{base}/explain")}
    suffixes += [("POST", "/generate"), ("POST", "/generate_stream")] if generates else []
    completions = {
        ("POST", f"{prefix}/{what}")
        for prefix in ("/v1", "/openai/v1")
        for what in ("chat/completions", "completions")
    }
    # The infer route of a model with a fallback is the relay's; where it generates text, all that ask it are
    # those of the relay that streams.
    asks = {("POST", f"{base}/{verb}") for verb in ("infer", "generate", "generate_stream")} | completions
    relayed = routes("StreamRelayFunction") & asks if generates else routes("RelayFunction") & asks
    assert routes(model.function) | relayed == (completions if generates else explains) | {
        (method, prefix + suffix) for prefix in (base, version) for method, suffix in suffixes
    }


def test_catalogue_answers_for_the_server_and_for_whatever_is_not_there() -> None:
    assert routes("CatalogueFunction") == {
        ("GET", "/v2"),
        ("GET", "/v2/health/live"),
        ("GET", "/v2/health/ready"),
        *(("GET", f"{base}/{{proxy+}}") for base in OPENAI_BASES),
        ("GET", "/v2/{proxy+}"),
        ("POST", "/v2/{proxy+}"),
        ("GET", "/ping"),
        ("GET", "/openapi.json"),
    }


def test_relay_answers_for_the_other_protocols() -> None:
    infer = {("POST", f"/v2/models/{model.name}/infer") for model in served_models(DOCUMENT)}
    assert routes("RelayFunction") - infer == {
        *(("POST", f"{base}/{{proxy+}}") for base in OPENAI_BASES),
        ("POST", "/endpoints/{proxy+}"),
        ("POST", "/invocations"),
    }


@pytest.mark.parametrize(("name", "which"), [("Relay", "live"), ("Jobs", "live"), ("Batch", "*")])
def test_who_hands_on_may_call_each_model_and_nothing_else_and_is_told_of_each(name: str, which: str) -> None:
    models = served_models(DOCUMENT)
    calls = [each["Resource"] for each in statements(ROLES[f"{name}Role"]) if each["Sid"] == "CallModels"]
    (resources,) = calls
    assert sorted(each["Fn::Sub"] for each in resources) == sorted(
        f"${{{model.function}.Arn}}:{which}" for model in models
    )
    told = FUNCTIONS[f"{name}Function"]["Environment"]["Variables"]["HOTPLATE_FUNCTIONS"]["Fn::Join"][1]
    assert sorted(each["Fn::Sub"] for each in told) == sorted(
        f"{model.name}=${{{model.function}}}:live" for model in models
    )


def test_relay_that_streams_may_call_the_models_that_generate_text_and_no_other() -> None:
    models = [each for each in served_models(DOCUMENT) if each.name in GENERATING]
    (resources,) = [
        each["Resource"] for each in statements(ROLES["StreamRelayRole"]) if each["Sid"] == "CallModels"
    ]
    assert [each["Fn::Sub"] for each in resources] == [f"${{{each.function}.Arn}}:live" for each in models]
    function = FUNCTIONS["StreamRelayFunction"]
    variables = function["Environment"]["Variables"]
    told = variables["HOTPLATE_FUNCTIONS"]["Fn::Join"][1]
    assert [each["Fn::Sub"] for each in told] == [f"{each.name}=${{{each.function}}}:live" for each in models]
    assert variables["HOTPLATE_FALLBACKS"] == {"Ref": "Fallbacks"}
    # It hears of an answer before API Gateway gives it up, and lives as long as what it passes on.
    until_begun, silence = int(variables["HOTPLATE_RELAY_TIMEOUT_S"]), 300
    assert until_begun < silence
    assert function["Timeout"] >= until_begun + max(FUNCTIONS[each.function]["Timeout"] for each in models)
    assert function["Timeout"] <= 900


def test_api_stays_within_the_bounds_of_cloudformation_and_api_gateway() -> None:
    events = [each for name in FUNCTIONS for each in FUNCTIONS[name].get("Events", {}).values()]
    routes = [each["Properties"] for each in events if each["Type"] == "Api"]
    paths = {path for each in routes for path in _parents(each["Path"])}
    assert len(paths) <= 300 * 0.8  # resources of an API
    # Beside what is written: a permission an event, a version and an alias a function.
    # A model is twelve of them, so there is room for some of the user's own.
    assert len(RESOURCES) + len(events) + 2 * len(FUNCTIONS) <= 500 * 0.9  # resources of a stack


def _parents(path: str) -> Iterator[str]:
    parts = path.strip("/").split("/")
    yield from ("/".join(parts[:count]) for count in range(1, len(parts) + 1))


def test_catalogue_is_told_each_model_once_as_its_function_is_deployed() -> None:
    variables = FUNCTIONS["CatalogueFunction"]["Environment"]["Variables"]
    pins = variables["HOTPLATE_SERVED"]["Fn::Join"][1]
    # That of the model on SageMaker hangs on a condition.
    assert sorted(pin["Fn::Sub"].split() for pin in pins if "Fn::Sub" in pin) == sorted(
        [
            model.name,
            f"${{{model.version}}}",
            f"${{{model.manifest_sha256}}}",
            f"${{{FUNCTIONS[model.function]['MemorySize']['Ref']}}}",
        ]
        for model in served_models(DOCUMENT)
    )


def test_callers_reach_the_catalogue_and_the_relay_that_were_deployed_last() -> None:
    # A new pin is a parameter's new value, for which no version would be published.
    for name in (
        "CatalogueFunction",
        "RelayFunction",
        "StreamRelayFunction",
        "JobsFunction",
        "WebhooksFunction",
        "BatchFunction",
        "GpuProxyFunction",
    ):
        function = FUNCTIONS[name]
        assert (function["AutoPublishAlias"], "AutoPublishAliasAllProperties" in function) == ("", False)


def test_api_passes_bytes_and_speaks_the_protocol_when_it_refuses() -> None:
    (api,) = of_type("AWS::Serverless::Api").values()
    assert api["BinaryMediaTypes"] == ["*/*"]
    # SAM drops the functions' events when it merges them into a body without paths.
    assert api["MergeDefinitions"] is True
    assert api["DefinitionBody"]["paths"]
    for kind, answer in api["GatewayResponses"].items():
        assert answer["ResponseTemplates"]["application/json"].startswith('{"error": '), kind


@pytest.mark.parametrize("name", DOCUMENT["Parameters"])
def test_parameter_is_described_bounded_and_has_a_default(name: str) -> None:
    parameter = DOCUMENT["Parameters"][name]
    assert {"Description", "Default", "Type"} <= set(parameter)
    assert {"AllowedPattern", "AllowedValues", "MaxValue"} & set(parameter)


@pytest.mark.parametrize("name", DOCUMENT["Outputs"])
def test_output_is_described(name: str) -> None:
    assert DOCUMENT["Outputs"][name]["Description"]


@pytest.mark.parametrize(
    ("values", "deploys"),
    [
        ({"Auth": "keys", "RateLimits": "per-tenant"}, True),
        ({"Auth": "AWS_IAM"}, True),
        ({"Open": "to-everybody-who-knows-the-url"}, True),
        ({}, False),
        ({"Auth": "keys", "RateLimits": "per-tenant", "Open": "to-everybody-who-knows-the-url"}, False),
        ({"Auth": "keys"}, False),
        ({"Auth": "AWS_IAM", "RateLimits": "per-tenant"}, False),
        ({"Auth": "keys", "RateLimits": "per-tenant", "JwtIssuer": "https://i"}, False),
        ({"Auth": "keys", "RateLimits": "per-tenant", "JwtIssuer": "https://i", "JwtAudience": "a"}, True),
        ({"Auth": "AWS_IAM", "JwtIssuer": "https://i", "JwtAudience": "a"}, False),
    ],
    ids=str,
)
def test_stack_deploys_only_with_known_callers_or_said_to_be_open(
    values: dict[str, str], deploys: bool
) -> None:
    rules = ("CallersKnownOrSaidNotToBe", "RatesOfKeys", "TokensAreForSomebody")
    empty = dict.fromkeys(("Auth", "RateLimits", "Open", "JwtIssuer", "JwtAudience"), "")
    asserted = [each["Assert"] for rule in rules for each in DOCUMENT["Rules"][rule]["Assertions"]]
    assert all(evaluate(each, {**empty, **values}) for each in asserted) is deploys


def test_callers_are_asked_who_they_are_unless_told_otherwise_and_no_decision_is_cached() -> None:
    (api,) = of_type("AWS::Serverless::Api").values()
    assert (DOCUMENT["Parameters"]["Auth"]["Default"], api["ApiKeySourceType"]) == ("keys", "AUTHORIZER")
    assert api["Auth"]["DefaultAuthorizer"] == {"Ref": "Auth"}
    assert api["Auth"]["ApiKeyRequired"] == {"Ref": "RateLimits"}
    assert api["Auth"]["Authorizers"]["keys"]["Identity"] == {"ReauthorizeEvery": 0}
    events = [event for each in FUNCTIONS.values() for event in each.get("Events", {}).values()]
    assert not [event for event in events if "Auth" in event["Properties"]], "no route has a rule of its own"


@pytest.mark.parametrize("name", of_type("AWS::DynamoDB::Table"))
def test_table_is_on_demand_encrypted_restorable_and_outlives_the_stack(name: str) -> None:
    table = RESOURCES[name]
    assert (table["DeletionPolicy"], table["UpdateReplacePolicy"]) == ("Retain", "Retain")
    assert table["Properties"]["BillingMode"] == "PAY_PER_REQUEST"
    assert table["Properties"]["SSESpecification"] == {"SSEEnabled": True}
    assert table["Properties"]["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}


@pytest.mark.parametrize(
    "name",
    [
        *(each.function for each in served_models(DOCUMENT)),
        "CatalogueFunction",
        "RelayFunction",
        "StreamRelayFunction",
        "UploadsFunction",
        "JobsFunction",
        "BatchFunction",
        "GpuProxyFunction",
    ],
)
def test_usage_lines_of_every_function_that_answers_tenants_reach_the_ledger(name: str) -> None:
    filters = [
        each
        for each in of_type("AWS::Logs::SubscriptionFilter").values()
        if each["LogGroupName"] == FUNCTIONS[name]["LoggingConfig"]["LogGroup"]
    ]
    assert [(each["FilterPattern"], each["DestinationArn"]) for each in filters] == [
        ('{ $.hotplate = "usage" }', {"Fn::GetAtt": ["UsageFunction", "Arn"]})
    ]
