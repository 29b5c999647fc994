"""What the template promises of data: its buckets, who puts and reads there, and how jobs are kept."""

from __future__ import annotations

import json

import pytest

from functions.batch.mapped import LONGEST_S
from functions.batch.messages import PIECE_HIDDEN_S, TRIES
from hotplate.aws.batch_files import IN
from hotplate.aws.batch_rows import RUN_S
from hotplate.aws.batch_table import HELD_S as FINISHING_S
from hotplate.aws.job_queue import MAX_TRIES, wait_s
from hotplate.aws.job_table import HELD_S, JOB_S
from hotplate.http.answers import UPLOAD
from hotplate.limits import MAX_BODY_BYTES
from hotplate.tenants.webhooks import ANYWHERE
from hotplate_tools.local.deployed import ServedModel, served_models
from tests.support.chunk_map import definition
from tests.support.template import DOCUMENT, FUNCTIONS, RESOURCES, ROLES, as_list, of_type, routes, statements

BUCKETS = of_type("AWS::S3::Bucket")
# How long an Express execution may take, in seconds. Source: Step Functions quotas.
EXPRESS_S = 300


@pytest.mark.parametrize("name", BUCKETS)
def test_bucket_is_private_and_outlives_the_stack(name: str) -> None:
    assert RESOURCES[name]["DeletionPolicy"] == "Retain"
    assert set(BUCKETS[name]["PublicAccessBlockConfiguration"].values()) == {True}


def test_bucket_of_models_is_versioned() -> None:
    assert BUCKETS["ModelBucket"]["VersioningConfiguration"] == {"Status": "Enabled"}


@pytest.mark.parametrize("name", BUCKETS)
def test_bucket_is_encrypted_with_a_rotated_key_of_the_stacks_own_unless_told_otherwise(name: str) -> None:
    assert DOCUMENT["Parameters"]["BucketEncryption"]["Default"] == "kms"
    key = RESOURCES["ModelKey"]
    assert (key["Condition"], key["DeletionPolicy"]) == ("HasOwnKey", "Retain")
    assert key["Properties"]["EnableKeyRotation"] is True
    (rule,) = BUCKETS[name]["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    own = {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": {"Fn::GetAtt": ["ModelKey", "Arn"]}}
    assert rule == {
        "ServerSideEncryptionByDefault": {"Fn::If": ["HasOwnKey", own, {"SSEAlgorithm": "AES256"}]},
        "BucketKeyEnabled": {"Fn::If": ["HasOwnKey", True, {"Ref": "AWS::NoValue"}]},
    }


@pytest.mark.parametrize("model", served_models(DOCUMENT), ids=lambda model: model.name)
def test_model_function_may_read_and_write_with_that_key_and_do_nothing_else_with_it(
    model: ServedModel,
) -> None:
    role = ROLES[FUNCTIONS[model.function]["Role"]["Fn::GetAtt"][0]]
    keys = [each for each in statements(role) if "kms:Decrypt" in as_list(each["Action"])]
    assert [(each["Action"], each["Resource"]) for each in keys] == [
        (["kms:Decrypt", "kms:GenerateDataKey"], {"Fn::GetAtt": ["ModelKey", "Arn"]})
    ]


@pytest.mark.parametrize("model", served_models(DOCUMENT), ids=lambda model: model.name)
def test_model_function_writes_parts_of_batch_and_nothing_else(model: ServedModel) -> None:
    role = ROLES[FUNCTIONS[model.function]["Role"]["Fn::GetAtt"][0]]
    puts = [each["Resource"] for each in statements(role) if "s3:PutObject" in as_list(each["Action"])]
    assert puts == [{"Fn::Sub": "${DataBucket.Arn}/work/*"}]


def test_leftovers_of_killed_uploads_and_of_renewals_expire() -> None:
    rules = {rule["Id"]: rule for rule in BUCKETS["ModelBucket"]["LifecycleConfiguration"]["Rules"]}
    assert rules["abort-unfinished-uploads"]["AbortIncompleteMultipartUpload"] == {"DaysAfterInitiation": 1}
    assert rules["expire-renewed-blobs"]["Prefix"] == "blobs/"  # never an alias's history


def test_data_expires_by_its_prefix() -> None:
    rules = BUCKETS["DataBucket"]["LifecycleConfiguration"]["Rules"]
    days = {rule["Prefix"]: rule["ExpirationInDays"] for rule in rules if "Prefix" in rule}
    kept = {"captures/": {"Ref": "CaptureDays"}, "outputs/": 1, "results/": 7, "work/": RUN_S // 86400}
    assert days == {"uploads/": 1} | kept


@pytest.mark.parametrize("name", BUCKETS)
def test_bucket_denies_what_does_not_come_by_tls(name: str) -> None:
    (policy,) = (
        each for each in of_type("AWS::S3::BucketPolicy").values() if each["Bucket"] == {"Ref": name}
    )
    (statement,) = policy["PolicyDocument"]["Statement"]
    assert statement["Resource"] == [{"Fn::GetAtt": [name, "Arn"]}, {"Fn::Sub": f"${{{name}.Arn}}/*"}]
    assert statement["Effect"] == "Deny"
    assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}


def test_only_the_function_of_uploads_puts_objects_and_only_there() -> None:
    puts = {
        name: [each["Resource"] for each in statements(role) if "s3:PutObject" in as_list(each["Action"])]
        for name, role in ROLES.items()
    }
    assert puts.pop("UploadsRole") == [{"Fn::Sub": "${DataBucket.Arn}/uploads/*"}]
    uploads = [each for each in puts.values() if {"Fn::Sub": "${DataBucket.Arn}/uploads/*"} in each]
    assert uploads == []
    actions = [action for each in statements(ROLES["UploadsRole"]) for action in as_list(each["Action"])]
    assert sorted(actions) == [
        "kms:GenerateDataKey", "logs:CreateLogStream", "logs:PutLogEvents", "s3:PutObject"
    ]  # fmt: skip
    assert routes("UploadsFunction") == {("POST", "/uploads")}


def test_gateway_says_where_to_put_what_is_too_large_as_the_functions_do() -> None:
    (api,) = of_type("AWS::Serverless::Api").values()
    template = api["GatewayResponses"]["REQUEST_TOO_LARGE"]["ResponseTemplates"]["application/json"]
    body = json.loads(template)
    assert body["upload"] == UPLOAD
    assert f"at most {MAX_BODY_BYTES} bytes; POST /uploads" in body["error"]


def test_jobs_have_their_routes_and_their_two_queues() -> None:
    events = FUNCTIONS["JobsFunction"]["Events"].values()
    taken = [each["Properties"] for each in events]
    assert {(each["Method"], each["Path"]) for each in taken if "Path" in each} == {
        ("POST", "/jobs"),
        *((method, "/jobs/{id}") for method in ("PUT", "GET", "DELETE")),
    }
    assert [each["Queue"]["Fn::GetAtt"][0] for each in taken if "Queue" in each] == [
        "JobQueue",
        "JobFailedQueue",
    ]
    assert all(
        each["FunctionResponseTypes"] == ["ReportBatchItemFailures"] for each in taken if "Queue" in each
    )


def test_job_is_held_longer_than_it_may_run_and_shorter_than_its_message_is_hidden() -> None:
    timeout = FUNCTIONS["JobsFunction"]["Timeout"]
    hidden = {each["VisibilityTimeout"] for name, each in of_type("AWS::SQS::Queue").items() if "Job" in name}
    assert all(timeout < HELD_S < each for each in hidden)
    assert RESOURCES["JobTable"]["Properties"]["TimeToLiveSpecification"] == {
        "AttributeName": "gone_at",
        "Enabled": True,
    }
    assert RESOURCES["JobQueue"]["Properties"]["MessageRetentionPeriod"] == JOB_S


def test_job_is_tried_as_often_as_its_worker_thinks_and_no_more_at_once_than_a_parameter_says() -> None:
    assert RESOURCES["JobQueue"]["Properties"]["RedrivePolicy"]["maxReceiveCount"] == MAX_TRIES
    work = FUNCTIONS["JobsFunction"]["Events"]["Work"]["Properties"]
    assert work["ScalingConfig"] == {"MaximumConcurrency": {"Ref": "JobConcurrency"}}
    assert work["BatchSize"] == 1
    # What a message is put off by may not outlast its job.
    assert sum(wait_s(times) for times in range(1, MAX_TRIES)) < JOB_S / 24
    assert wait_s(1) >= RESOURCES["JobQueue"]["Properties"]["VisibilityTimeout"]


def test_every_model_function_may_hand_on_to_jobs_and_keep_answers_and_nothing_else() -> None:
    policy = RESOURCES["ModelsPolicy"]["Properties"]
    assert sorted(role["Ref"] for role in policy["Roles"]) == sorted(
        FUNCTIONS[each.function]["Role"]["Fn::GetAtt"][0] for each in served_models(DOCUMENT)
    )
    given = [
        each["Fn::If"][1] if "Fn::If" in each else each for each in policy["PolicyDocument"]["Statement"]
    ]
    assert [(each["Action"], each["Resource"]) for each in given] == [
        ("lambda:InvokeFunction", {"Fn::GetAtt": ["JobsFunction", "Arn"]}),
        (["s3:GetObject", "s3:PutObject"], {"Fn::Sub": "${DataBucket.Arn}/outputs/*"}),
        ("s3:PutObject", {"Fn::Sub": "${DataBucket.Arn}/captures/*"}),
        ("kms:GenerateDataKey", {"Fn::GetAtt": ["ModelKey", "Arn"]}),
    ]
    told = DOCUMENT["Globals"]["Function"]["Environment"]["Variables"]["HOTPLATE_JOBS_FUNCTION"]
    assert FUNCTIONS["JobsFunction"]["FunctionName"] == told


def test_who_sends_to_strangers_may_read_jobs_and_webhook_secrets_and_nothing_else() -> None:
    found = {each["Sid"]: each for each in statements(ROLES["WebhooksRole"])}
    assert {name: as_list(each["Action"]) for name, each in found.items()} == {
        "WriteLog": ["logs:CreateLogStream", "logs:PutLogEvents"],
        "ReadAndNote": ["dynamodb:GetItem", "dynamodb:UpdateItem"],
        "ReadWebhookSecrets": ["dynamodb:GetItem"],
        "TakeAndPutOff": [
            "sqs:ReceiveMessage",
            "sqs:DeleteMessage",
            "sqs:GetQueueAttributes",
            "sqs:ChangeMessageVisibility",
        ],
    }
    assert found["ReadAndNote"]["Resource"] == {"Fn::GetAtt": ["JobTable", "Arn"]}
    assert {each["Type"] for each in FUNCTIONS["WebhooksFunction"]["Events"].values()} == {"SQS"}
    queue = RESOURCES["WebhookQueue"]["Properties"]
    assert FUNCTIONS["WebhooksFunction"]["Timeout"] < queue["VisibilityTimeout"]


@pytest.mark.parametrize("name", ["WebhooksRole", "JobsRole"])
def test_of_the_table_of_keys_only_rows_of_webhook_secrets_are_read_by_who_signs(name: str) -> None:
    (statement,) = (
        each for each in statements(ROLES[name]) if each["Resource"] == {"Fn::GetAtt": ["KeyTable", "Arn"]}
    )
    assert statement["Action"] == "dynamodb:GetItem"
    assert statement["Condition"] == {
        "ForAllValues:StringLike": {"dynamodb:LeadingKeys": ["webhook#*"]},
        "Null": {"dynamodb:LeadingKeys": "false"},
    }


def test_receivers_of_webhooks_are_public_unless_told_otherwise() -> None:
    parameter = DOCUMENT["Parameters"]["Webhooks"]
    assert (parameter["Default"], parameter["AllowedValues"]) == ("public", ["public", ANYWHERE])


def test_files_that_come_are_told_to_the_queue_of_batch_and_to_nobody_else() -> None:
    (told,) = BUCKETS["DataBucket"]["NotificationConfiguration"]["QueueConfigurations"]
    assert told["Queue"] == {"Fn::GetAtt": ["BatchQueue", "Arn"]}
    assert told["Filter"]["S3Key"]["Rules"] == [{"Name": "prefix", "Value": IN}]
    (statement,) = RESOURCES["BatchQueuePolicy"]["Properties"]["PolicyDocument"]["Statement"]
    assert statement["Principal"] == {"Service": "s3.amazonaws.com"}
    assert statement["Condition"] == {"StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}}


def test_batch_takes_one_message_at_a_time_and_no_more_at_once_than_is_left_to_it() -> None:
    work, give_up = (each["Properties"] for each in FUNCTIONS["BatchFunction"]["Events"].values())
    assert (work["Queue"], give_up["Queue"]) == (
        {"Fn::GetAtt": ["BatchQueue", "Arn"]},
        {"Fn::GetAtt": ["BatchFailedQueue", "Arn"]},
    )
    assert work["BatchSize"] == 1
    assert work["ScalingConfig"] == {"MaximumConcurrency": {"Ref": "BatchMaximumConcurrency"}}
    assert all(each["FunctionResponseTypes"] == ["ReportBatchItemFailures"] for each in (work, give_up))
    # Each piece is a message to the same queue: what looks like a loop gets smaller.
    assert FUNCTIONS["BatchFunction"]["RecursiveLoop"] == "Allow"


def test_message_of_batch_comes_again_when_whoever_had_it_cannot_live_any_more() -> None:
    timeout, queue = FUNCTIONS["BatchFunction"]["Timeout"], RESOURCES["BatchQueue"]["Properties"]
    assert timeout < FINISHING_S < queue["VisibilityTimeout"]
    asked_s = int(FUNCTIONS["BatchFunction"]["Environment"]["Variables"]["HOTPLATE_RELAY_TIMEOUT_S"])
    assert DOCUMENT["Globals"]["Function"]["Timeout"] < asked_s < PIECE_HIDDEN_S / 2
    assert queue["RedrivePolicy"]["maxReceiveCount"] == TRIES
    assert queue["MessageRetentionPeriod"] == RUN_S


def test_large_runs_are_the_state_machines_which_keeps_no_payload_and_may_work_on_chunks_only() -> None:
    machine = RESOURCES["ChunkMap"]["Properties"]
    name = machine["StateMachineName"]["Fn::Sub"]
    variables = FUNCTIONS["BatchFunction"]["Environment"]["Variables"]
    assert variables["HOTPLATE_BATCH_MAP_ARN"]["Fn::Sub"].endswith(f":stateMachine:{name}")
    assert machine["LoggingConfiguration"]["IncludeExecutionData"] is False
    chunks = json.loads(definition(BatchQueue="queue", BatchMapConcurrency="7"))["States"]["Chunks"]
    assert (chunks["MaxConcurrency"], chunks["ItemProcessor"]["ProcessorConfig"]["Mode"]) == (
        7,
        "DISTRIBUTED",
    )
    work = chunks["ItemProcessor"]["States"]["Work"]
    # A call ends by itself before it is given up: its last piece begins in time.
    assert LONGEST_S + PIECE_HIDDEN_S / 2 < work["TimeoutSeconds"] < EXPRESS_S
    may = {action for each in statements(ROLES["ChunkMapRole"]) for action in as_list(each["Action"])}
    assert {each for each in may if each.partition(":")[0] in ("lambda", "sqs", "dynamodb", "s3")} == {
        "lambda:InvokeFunction",
        "sqs:SendMessage",
        "s3:GetObject",
        "s3:PutObject",
        "s3:AbortMultipartUpload",
        "s3:ListMultipartUploadParts",
    }


def test_requests_are_not_kept_unless_the_operator_says_so() -> None:
    assert DOCUMENT["Parameters"]["CaptureShare"]["Default"] == "0"
    assert DOCUMENT["Conditions"]["Captures"] == {"Fn::Not": [{"Fn::Equals": [{"Ref": "CaptureShare"}, "0"]}]}
    given = RESOURCES["ModelsPolicy"]["Properties"]["PolicyDocument"]["Statement"]
    (condition,) = [each["Fn::If"][0] for each in given if "captures/" in str(each)]
    assert condition == "Captures"
