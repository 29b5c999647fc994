"""Who calls, and whose environment it is."""

from __future__ import annotations

import pytest

from hotplate.errors import TenantMismatchError
from hotplate.http.caller import NOBODY, Caller, refuse_other_tenant, tenant_told
from tests.support.lambda_context import Context

ACME = Caller("acme")
EVENT = {"requestContext": {"authorizer": {"tenant": "acme"}}}


@pytest.mark.parametrize(
    ("caller", "environment", "is_isolated"),
    [(ACME, "acme", True), (ACME, "acme", False), (ACME, None, False), (NOBODY, None, False)],
)
def test_own_environment_and_one_that_is_shared_are_fine(
    caller: Caller, environment: str | None, is_isolated: bool
) -> None:
    refuse_other_tenant(caller, Context(tenant_id=environment), is_isolated=is_isolated)


@pytest.mark.parametrize(
    ("caller", "environment", "is_isolated"),
    [
        (ACME, "globex", True),
        (ACME, "globex", False),
        (ACME, None, True),
        (NOBODY, None, True),
        (NOBODY, "acme", True),
    ],
)
def test_environment_of_another_or_of_nobody_is_refused(
    caller: Caller, environment: str | None, is_isolated: bool
) -> None:
    with pytest.raises(TenantMismatchError):
        refuse_other_tenant(caller, Context(tenant_id=environment), is_isolated=is_isolated)


def test_lambda_is_told_the_caller_of_models_that_keep_tenants_apart_only() -> None:
    assert tenant_told("cells", EVENT, {"cells"}) == "acme"
    assert tenant_told("digits", EVENT, {"cells"}) is None
    assert tenant_told("cells", {}, {"cells"}) is None
