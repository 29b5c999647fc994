"""The receiver that a submission names: whether it may be one, and whether what it is told can be signed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hotplate.errors import MalformedRequestError
from hotplate.tenants.webhooks import read_webhook

if TYPE_CHECKING:
    from hotplate.aws.webhook_secrets import WebhookSecrets

__all__ = ["WEBHOOK_HEADER", "Webhooks"]

# By which a caller who does not wait names who is told.
WEBHOOK_HEADER = "hotplate-webhook"


class Webhooks:
    """Judges receivers."""

    def __init__(self, secrets: WebhookSecrets, *, anywhere: bool) -> None:
        """Take the tenants' secrets; `anywhere` as in `read_webhook`."""
        self._secrets = secrets
        self._anywhere = anywhere

    def check(self, tenant: str, url: str) -> None:
        """Refuse a receiver that cannot be one.

        Raises:
            MalformedRequestError: It cannot, or the tenant has no secret.
            StoreError: The secrets cannot be read.
        """
        read_webhook(url, anywhere=self._anywhere)
        if not self._secrets.of(tenant):
            raise MalformedRequestError(
                "webhook",
                expected="a tenant with a webhook secret: `hotplate keys webhook-secret` makes one",
                received="a tenant without",
            )
