"""What GraphQL servers answer, and which of the three errors it is."""

import pytest

from area.sdk import AuthExpired, Credentials, Made, Nothing, Permanent, Retry, Service
from area.sdk.http import Access
from area.sdk.testing import Answer, Double, connector


async def fine(ctx, key):
    pass


SERVICE = Service(
    "some",
    "Some",
    "A GraphQL service.",
    base_url="https://api.example.com",
    auth=Credentials(Nothing, fine),
    limited=("RATELIMITED", "ratelimited"),
)
KEY = Access(headers={"Authorization": "Bearer s3cret-token"})


@pytest.mark.parametrize(
    ("status", "answer", "raised", "expected"),
    [
        (200, {"data": {"a": 1}}, None, ""),
        (200, {"errors": [{"message": "no such field"}], "data": None}, Permanent, "no such field"),
        (400, {"errors": [{"message": "bad s3cret-token"}]}, Permanent, "bad •••"),
        (400, {"errors": [{"message": "slow", "extensions": {"code": "RATELIMITED"}}]}, Retry, "slow"),
        (200, {"errors": [{"message": "slow", "extensions": {"type": "ratelimited"}}]}, Retry, "slow"),
        (200, {"errors": ["?"]}, Permanent, "Unexpected response"),
        (200, {}, Permanent, "Unexpected response"),
        (200, [], Permanent, "Unexpected response"),
        (400, [], Permanent, "400"),
        (403, {"message": "forbidden"}, Permanent, "forbidden"),
        (401, {"errors": [{"message": "who?"}]}, AuthExpired, "who?"),
        (429, {"errors": [{"message": "slow"}]}, Retry, "slow"),
        (502, {}, Retry, "502"),
    ],
)
async def test_answers(status, answer, raised, expected):
    async with (
        Double(None, at="https://api.example.com", access=KEY) as double,
        connector(SERVICE, double, access=KEY) as ctx,
    ):
        double.on("POST", "/graphql", Answer(status, json=answer))
        request = ctx.http.graphql("query ($a: Int) { a }", {"a": 1})
        if raised is None:
            assert await request == {"a": 1}
            assert double.asked[0].json == {"query": "query ($a: Int) { a }", "variables": {"a": 1}}
            return
        with pytest.raises(raised, match=expected) as caught:
            await request
        if raised is Retry and status < 500:
            assert caught.value.parks


async def test_what_is_asked_for_is_read_where_it_is():
    async with (
        Double(None, at="https://api.example.com", access=KEY) as double,
        connector(SERVICE, double, access=KEY) as ctx,
    ):
        double.on("POST", "/graphql", {"data": {"made": {"thing": {"id": 7}}, "all": {"nodes": [{"id": 8}]}}})
        assert (await ctx.http.graphql("{ a }", {}, Made, at="made.thing")).id == "7"
        (created,) = await ctx.http.graphql("{ a }", {}, list[Made], at="all.nodes")
        assert created.id == "8"
        assert await ctx.http.graphql("{ a }", at="made.thing") == {"id": 7}
        with pytest.raises(Permanent, match="Unexpected response from Some"):
            await ctx.http.graphql("{ a }", {}, Made, at="made.other")


async def test_nodes_are_read_page_after_page():
    query = "query ($after: String) { all(after: $after) { nodes { id } pageInfo { hasNextPage endCursor } } }"
    async with (
        Double(None, at="https://api.example.com", access=KEY) as double,
        connector(SERVICE, double, access=KEY) as ctx,
    ):

        def page(request):
            number = int(request.json["variables"]["after"] or 0)
            return {
                "data": {
                    "all": {
                        "nodes": [{"id": number}],
                        "pageInfo": {"hasNextPage": number < 2, "endCursor": str(number + 1)},
                    }
                }
            }

        double.on("POST", "/graphql", page)
        assert [node.id async for node in ctx.http.nodes(query, {"team": 1}, Made, at="all")] == ["0", "1", "2"]
        assert double.asked[-1].json == {"query": query, "variables": {"team": 1, "after": "2"}}
        assert [node async for node in ctx.http.nodes(query, at="all", most=2)] == [{"id": 0}, {"id": 1}]
        double.on("POST", "/graphql", {"data": {"all": {"nodes": [{"id": 8}]}}})
        assert [node async for node in ctx.http.nodes("{ all { nodes { id } } }", at="all")] == [{"id": 8}]
        for wrong in ({"all": {}}, {"all": None}, {}):
            double.on("POST", "/graphql", {"data": wrong})
            with pytest.raises(Permanent, match="Unexpected response from Some"):
                assert [node async for node in ctx.http.nodes(query, at="all")]
