"""What sends to AREA's webhooks, and reports of workers."""

import asyncio

import orjson


async def send(hooks, url, body=b"{}", headers=None, chunks=1, method="POST", slash=""):
    path, _, query = url.partition("?")
    scope = {
        "type": "http",
        "method": method,
        "path": "/hooks/" + path.rpartition("/")[2] + slash,
        "query_string": query.encode(),
        "headers": [
            (name.encode(), value.encode()) for name, value in (headers or {"content-type": "application/json"}).items()
        ],
    }
    size = max(1, -(-len(body) // chunks))
    parts = [body[start : start + size] for start in range(0, len(body), size)] or [b""]
    messages = [{"type": "http.request", "body": part, "more_body": True} for part in parts]
    messages[-1]["more_body"] = method == "STALLED"
    sent = []

    async def receive():
        return messages.pop(0) if messages else await asyncio.Event().wait()

    async def answer(message):
        sent.append(message)

    await hooks(scope, receive, answer)
    answered = sent[1]["body"]
    return sent[0]["status"], orjson.loads(answered) if answered else None, dict(sent[0]["headers"])


def report(done, sender="a worker", *, idle=False):
    text = {"from": sender, "worker": True, "idle": idle, "seconds": 1.0, "accepted": {}, "done": done}
    return orjson.dumps(text, option=orjson.OPT_NON_STR_KEYS).decode()
