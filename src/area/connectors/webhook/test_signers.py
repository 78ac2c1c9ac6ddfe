"""Requests signed by the vendors' own libraries: their requests are accepted, and altered ones are not."""

import json
import os
import subprocess
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
from slack_sdk.signature import SignatureVerifier
from standardwebhooks import Webhook
from tests.npm import MODULES, ROOT, node

from area.connectors.webhook.proofs import Signature, check
from area.sdk import Refused, Request
from area.sdk.events import Headers

AT = datetime(2026, 11, 23, 12, tzinfo=UTC)
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
BODY = '{"text": "Été 👍", "n": 1.0}'
OLD = timedelta(minutes=5, seconds=1)
Headed = dict[str, str]


def by_npm(package: str, signer: str) -> Headed:
    if not (MODULES / package).is_dir():
        pytest.skip(f"not run: {package} is missing; npm could not fetch it")
    given = {"signer": signer, "secret": SECRET, "id": "msg_1", "timestamp": int(AT.timestamp()), "body": BODY}
    made = subprocess.run(
        [*node()[0], str(ROOT / "tests" / "npm" / "signers.mjs"), json.dumps(given)],
        capture_output=True, check=True, env={**os.environ, "AREA_TEST_NPM": str(MODULES.parent)},
    )  # fmt: skip
    return json.loads(made.stdout)


def by_standardwebhooks() -> Headed:
    signature = Webhook(SECRET).sign("msg_1", AT, BODY)
    return {"webhook-id": "msg_1", "webhook-timestamp": str(int(AT.timestamp())), "webhook-signature": signature}


def by_slack() -> Headed:
    stamp = str(int(AT.timestamp()))
    signature = SignatureVerifier(SECRET).generate_signature(timestamp=stamp, body=BODY)
    assert signature
    return {"x-slack-request-timestamp": stamp, "x-slack-signature": signature}


@pytest.mark.parametrize(
    ("signature", "header", "sign", "dated"),
    [
        pytest.param("standard_webhooks", None, by_standardwebhooks, True, id="standardwebhooks"),
        pytest.param("standard_webhooks", None, partial(by_npm, "svix", "svix"), True, id="svix"),
        pytest.param("stripe", None, partial(by_npm, "stripe", "stripe"), True, id="stripe"),
        pytest.param("slack", None, by_slack, True, id="slack_sdk"),
        pytest.param(
            "hmac_sha256", "X-Hub-Signature-256", partial(by_npm, "@octokit/webhooks-methods", "octokit"), False,
            id="octokit",
        ),
    ],
)  # fmt: skip
def test_what_the_vendor_signs_is_accepted(
    signature: Signature, header: str | None, sign: Callable[[], Headed], *, dated: bool
) -> None:
    headers = sign()
    good = Request("POST", "/hooks/1", Headers(headers.items()), {}, BODY.encode(), AT)

    def accepted(request: Request, secret: str = SECRET) -> bool:
        try:
            check(signature, request, secret, header=header, username=None)
        except Refused:
            return False
        return True

    assert accepted(good)
    assert not accepted(replace(good, body=good.body + b" "))
    assert not accepted(good, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSx")
    assert accepted(replace(good, received_at=AT + OLD)) is not dated, "what was overheard is no good later"
    assert accepted(replace(good, received_at=AT - OLD)) is not dated
    for name in headers:
        without = {other: value for other, value in headers.items() if other != name}
        assert not accepted(replace(good, headers=Headers(without.items())))
