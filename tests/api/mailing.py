"""An application that sends mail, and what comes of it."""

import email
import re
from dataclasses import dataclass
from email import policy
from typing import Any
from urllib.parse import urlencode

from area.engine.delivery import Delivery

PASSWORD = "correct horse battery"
CONFIRM = "/api/auth/email/confirm"


@dataclass
class Mailing:
    """The application with a mail server."""

    state: Any
    nobody: Any  # clients of tests.api.conftest
    pages: Any
    post: Any

    async def deliver(self):
        """Send what waits; returns the new mails, as (recipient, subject, token in its link)."""
        self.post.mails.clear()
        delivery = Delivery(self.state)
        while await delivery.deliver():
            pass
        results = []
        for mail in self.post.mails:
            message = email.message_from_bytes(mail.content, policy=policy.default)
            tokens = re.findall(r"\?token=([\w-]{43})(?=\s)", message.get_content())
            results.append((mail.recipients[0], message["Subject"], tokens[0] if tokens else ""))
        return results

    async def register(self, name):
        form = {"email": f"{name}@example.org", "username": name, "password": PASSWORD}
        answer = await self.nobody.post("/api/auth/register", form)
        assert answer.status == 201, answer.body
        return self.nobody.as_(answer.json()["token"])

    async def confirmed(self, name):
        person = await self.register(name)
        ((_, _, token),) = await self.deliver()
        assert (await self.nobody.post(CONFIRM, {"token": token})).status == 200
        return person

    async def rows(self, query, *values):
        pool = await self.state.database.pool()
        return await pool.fetch(query, *values)

    async def submit(self, path, **form):
        """Send a form of a page, as a browser does from that page."""
        headers = {"content-type": "application/x-www-form-urlencoded", "sec-fetch-site": "same-origin"}
        return await self.pages.request("POST", path, body=urlencode(form).encode(), headers=headers)
