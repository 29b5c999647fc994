"""The one error tree of hotplate.

HotplateError
├─ RequestError               the caller's fault; says what was expected and what came
│  ├─ MalformedRequestError   the body, a header or the path cannot be read
│  ├─ UnknownPathError        no such path, or another method than it takes
│  ├─ UnknownInputError       an input the model does not declare
│  ├─ MissingInputError       an input the model needs did not come
│  ├─ UnknownOutputError      an output the model does not have was asked for
│  ├─ ShapeMismatchError      rank, dimension or element count differs
│  ├─ DatatypeMismatchError   another datatype, or an element that is not of it
│  ├─ ValueRangeError         an element that the datatype cannot hold
│  ├─ TooManyRowsError        more rows in one request than the version's plan takes
│  ├─ ContextLengthExceededError a prompt and its answer have more tokens than the model reads at once
│  ├─ UnsupportedOptionError  an option of a protocol that this server does not have
│  ├─ UnreadableImageError    bytes that are no image
│  │  └─ ImageTooLargeError   images of more pixels than are opened for one request
│  ├─ UnsupportedMediaTypeError a body of a content type that is not read here
│  ├─ PayloadTooLargeError    more bytes than Lambda accepts in one call, or than are read by reference
│  ├─ ForeignInputError       an input's reference to what is not the caller's own upload
│  └─ InputNotFoundError      an input's reference to an upload that is not there (any more)
├─ CallerError                a caller who is known, and may not now
│  ├─ QuotaSpentError         the tenant's requests of this month are used up
│  └─ BudgetSpentError        the tenant's money of this month is used up
├─ JobError                   a job that is not there, or not as the caller thinks
│  ├─ JobNotFoundError        the tenant has no such job
│  └─ JobConflictError        the id is another job's, or the job has ended
├─ BatchError                 a file of rows that cannot be predicted
│  ├─ UnreadableFileError     not the format it seems to be, or broken; says where
│  ├─ UnfitFileError          its columns are not the model's inputs, or an option fits neither
│  └─ BatchRunNotFoundError   no such run (any more)
├─ ModelError                 wrong or absent model
│  ├─ ModelNotFoundError      no such model or version here
│  ├─ CardNotFoundError       the version was published without a card
│  └─ ModelNotReadyError      known, but not loaded (yet)
│     └─ EndpointUnavailableError its endpoint on SageMaker takes no requests now; says why and for how long
├─ ArtifactError              bytes that must not be trusted
│  ├─ ManifestError           not a manifest, or one that contradicts itself
│  ├─ ManifestFormatError     written by a newer hotplate
│  ├─ SignatureError          unsigned, or signed by a key that is not trusted
│  ├─ DigestMismatchError     not the bytes that were published
│  ├─ LengthMismatchError     fewer or more bytes than were published
│  ├─ GraphError              ONNX Runtime refuses the model, or it is not what the manifest says
│  └─ ProgramError            the function's own code does not load, or its assets may not be read
├─ StoreError                 bytes could not be had or put
│  ├─ StoreNotFoundError      no such object
│  ├─ StoreDeniedError        not allowed to read or write it
│  ├─ StoreConflictError      somebody else wrote first
│  └─ StoreUnavailableError   slow, throttled or broken beyond the retries
├─ InferenceError             the session or the program failed on input that was valid
│  └─ StepError               a step of a pipeline failed; says which
│     ├─ StepUnavailableError its function was busy or not ready: worth another try
│     └─ StepTimeoutError     its function did not answer in time
├─ TenantMismatchError        a request was run in another tenant's environment
└─ SettingsError              the deployment is wrong

The tree knows nothing of HTTP: `hotplate.http.answers` maps classes to status codes.
"""

from __future__ import annotations


class HotplateError(Exception):
    """Root of every error that hotplate raises on purpose."""


class RequestError(HotplateError):
    """The caller's fault.

    Attributes:
        what: The thing that was wrong, in words.
        expected: What would have been accepted, in words.
        received: What came, in words; never the payload itself beyond a short excerpt.
    """

    def __init__(self, what: str, *, expected: str, received: str) -> None:
        super().__init__(f"{what}: expected {expected}, got {received}")
        self.what = what
        self.expected = expected
        self.received = received


class MalformedRequestError(RequestError):
    """The body, a header or the path cannot be read."""


class UnknownPathError(RequestError):
    """No such path, or another method than it takes."""


class UnknownInputError(RequestError):
    """An input that the model does not declare."""


class MissingInputError(RequestError):
    """An input that the model needs did not come."""


class UnknownOutputError(RequestError):
    """An output that the model does not have was asked for."""


class ShapeMismatchError(RequestError):
    """Rank, a fixed dimension or the element count differs."""


class DatatypeMismatchError(RequestError):
    """Another datatype than the model's, or an element that is not of its own datatype."""


class ValueRangeError(RequestError):
    """An element that its datatype, or JSON, cannot hold."""


class TooManyRowsError(RequestError):
    """More rows in one request than the version's plan takes (`plan.max_rows`)."""


class ContextLengthExceededError(RequestError):
    """A prompt and its answer have more tokens than the model reads at once."""

    def __init__(self, what: str, *, expected: str, received: str, words: str | None = None) -> None:
        super().__init__(what, expected=expected, received=received)
        if words:  # another protocol's own, for which its clients look
            self.args = (words,)


class UnsupportedOptionError(RequestError):
    """An option of a protocol that this server does not have: refused, because ignored it would mislead."""


class UnreadableImageError(RequestError):
    """Bytes that are no image."""


class ImageTooLargeError(UnreadableImageError):
    """Images of more pixels than are opened for one request."""


class UnsupportedMediaTypeError(RequestError):
    """A body of a content type that is not read here."""


class PayloadTooLargeError(RequestError):
    """More bytes than Lambda accepts in one call, or than are read by reference.

    Attributes:
        can_upload: Whether the inputs would have been taken by reference.
    """

    def __init__(self, what: str, *, expected: str, received: str, can_upload: bool = False) -> None:
        super().__init__(what, expected=expected, received=received)
        self.can_upload = can_upload


class ForeignInputError(RequestError):
    """An input's reference to what is not the caller's own upload."""


class InputNotFoundError(RequestError):
    """An input's reference to an upload that is not there (any more)."""


class CallerError(HotplateError):
    """A caller who is known, and may not now."""


class QuotaSpentError(CallerError):
    """The tenant's requests of this month are used up."""


class BudgetSpentError(CallerError):
    """The tenant's money of this month is used up."""


class JobError(HotplateError):
    """A job that is not there, or not as the caller thinks."""


class JobNotFoundError(JobError):
    """The tenant has no such job (any more)."""


class JobConflictError(JobError):
    """The id is that of a job that asks something else, or the job has ended."""


class BatchError(HotplateError):
    """A file of rows that cannot be predicted. Its words are for whoever dropped the file."""


class UnreadableFileError(BatchError):
    """Not the format that the file seems to be, or broken.

    Attributes:
        byte: Where in the file, after decompression; None where that is not known.
        row: Number of the row, likewise.
    """

    def __init__(self, text: str, *, byte: int | None = None, row: int | None = None) -> None:
        places = [f"{name} {place:,}" for name, place in (("byte", byte), ("row", row)) if place is not None]
        super().__init__(f"{text} ({', '.join(places)})" if places else text)
        self.byte = byte
        self.row = row


class UnfitFileError(BatchError):
    """A file's columns are not the model's inputs, or an option fits neither."""


class BatchRunNotFoundError(BatchError):
    """There is no such run (any more)."""


class ModelError(HotplateError):
    """A wrong or absent model."""


class ModelNotFoundError(ModelError):
    """No such model or version is served here."""


class CardNotFoundError(ModelError):
    """The version was published without a model card."""


class ModelNotReadyError(ModelError):
    """The model is known but not loaded."""


class EndpointUnavailableError(ModelNotReadyError):
    """A model's endpoint on SageMaker takes no requests now. Its words are for the caller.

    Attributes:
        retry_after_s: Seconds after which another try may help.
    """

    def __init__(self, text: str, retry_after_s: int) -> None:
        super().__init__(text)
        self.retry_after_s = retry_after_s


class ArtifactError(HotplateError):
    """Bytes that must not be trusted. Nothing is computed from them."""


class ManifestError(ArtifactError):
    """Not a manifest, or one that contradicts itself."""


class ManifestFormatError(ManifestError):
    """A manifest of a format that this hotplate does not know."""


class SignatureError(ArtifactError):
    """Unsigned, or signed by a key that is not trusted."""


class DigestMismatchError(ArtifactError):
    """Not the bytes that were published."""


class LengthMismatchError(ArtifactError):
    """Fewer or more bytes than were published.

    Attributes:
        length: How many there are; None where that is not known.
    """

    def __init__(self, text: str, length: int | None = None) -> None:
        super().__init__(text)
        self.length = length


class GraphError(ArtifactError):
    """ONNX Runtime refuses the model, or the graph is not what the manifest says."""


class ProgramError(ArtifactError):
    """A model that is Python does not load, or has an asset that nobody may read."""


class StoreError(HotplateError):
    """Bytes could not be had or put."""


class StoreNotFoundError(StoreError):
    """No such object."""


class StoreDeniedError(StoreError):
    """Not allowed to read or write the object."""


class StoreConflictError(StoreError):
    """Somebody else wrote first; nothing was changed."""


class StoreUnavailableError(StoreError):
    """Slow, throttled or broken beyond the retries."""


class InferenceError(HotplateError):
    """The session or the program failed on input that was valid.

    Attributes:
        text: What is known of it without `quoted`.
    """

    def __init__(self, text: str, *, quoted: str = "") -> None:
        """Say what failed; `quoted` are foreign words, which may repeat the input and go to no log."""
        super().__init__(f"{text}: {quoted}" if quoted else text)
        self.text = text


class StepError(InferenceError):
    """A step of a pipeline failed. Its words say which and are for the caller; the cause is for the log."""


class StepUnavailableError(StepError):
    """A step's function was busy or not ready: worth another try."""


class StepTimeoutError(StepError):
    """A step's function did not answer in time."""


class TenantMismatchError(HotplateError):
    """A request was run in an environment that is another tenant's, or nobody's."""


class SettingsError(HotplateError):
    """The deployment is wrong."""
