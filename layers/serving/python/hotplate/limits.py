"""Named numbers: AWS quotas and our own caps, each with its unit and its source."""

from __future__ import annotations

MIB = 1024 * 1024

# Lambda's cap on the JSON event and on the JSON result of a synchronous call, in bytes.
# Source: AWS Lambda quotas, "Invocation payload (request and response)"; 6 MB there is 6 MiB.
LAMBDA_PAYLOAD_BYTES = 6 * MIB

# What is left for a body inside that event, in bytes: base64 costs 4/3, and the event around the
# body (headers, request context) is kept below 64 KiB by API Gateway's own header limits.
MAX_BODY_BYTES = (LAMBDA_PAYLOAD_BYTES - 64 * 1024) * 3 // 4

# Memory that buys one vCPU, in MB. Source: AWS Lambda documentation, "Configure function memory".
MEMORY_MB_PER_VCPU = 1769

# The largest memory and with it the most vCPUs a function can have (MB, count). Source: as above.
MAX_MEMORY_MB = 10240
MAX_VCPUS = 6

# Unzipped function plus layers, in bytes. Source: AWS Lambda quotas, "Deployment package".
MAX_UNZIPPED_BYTES = 262_144_000

# A manifest longer than this is refused before it is parsed, in bytes. Ours; real ones are < 64 KiB.
MAX_MANIFEST_BYTES = 1 * MIB

# A model card longer than this is neither published nor read, in bytes. Ours; a long one is 30 KB.
MAX_CARD_BYTES = 256 * 1024

# A signature document longer than this is refused unread, in bytes. Ours; real ones are 167 bytes.
MAX_SIGNATURE_BYTES = 4096

# Elements a request may claim in one tensor (2**40 must not allocate). Ours: more than any body
# of MAX_BODY_BYTES can hold, whatever the datatype.
MAX_TENSOR_ELEMENTS = LAMBDA_PAYLOAD_BYTES

# What a caller may upload, and what the inputs by reference of one request may have together, in bytes.
# Ours: an eighth of the least memory that a model's function has here (512 MB), so that the object, what
# preprocessing makes of it and the model fit beside each other; S3 gives it within two seconds.
MAX_UPLOAD_BYTES = 64 * MIB

# How long a presigned upload can be begun, in seconds. Ours.
UPLOAD_LIFE_S = 15 * 60

# How long the address of an answer that did not fit a call is good, in seconds. Ours.
OUTPUT_LIFE_S = 60 * 60

# Dimensions a tensor may have. Source: NumPy 2 (NPY_MAXDIMS = 64); ours is the older, lower bound.
MAX_RANK = 32

# Ranged reads from S3, in bytes, and how many run at once.
# Source: Amazon S3 performance guidelines, "byte-range fetches" (8-16 MB).
RANGE_BYTES = 8 * MIB
MAX_PARALLEL_RANGES = 4

# Attempts at one range, counting the first; and the pause before the second, in seconds (doubles).
STORE_ATTEMPTS = 4
STORE_BACKOFF_S = 0.1

# Pixels that the images of one request may have together, counted before any is decoded. Ours: a
# photograph of 24 MP; decoding it costs about a second and 300 MB at worst.
MAX_IMAGE_PIXELS = 24_000_000

# SageMaker's cap on the body of a real-time call and on its answer, in bytes.
# Source: Amazon SageMaker API Reference, "InvokeEndpoint", Body: maximum length 6291456.
SAGEMAKER_PAYLOAD_BYTES = 6 * MIB
