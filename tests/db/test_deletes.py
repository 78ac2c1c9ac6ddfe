"""Who goes takes along what is theirs; what others use stays."""

import asyncpg
import pytest
import pytest_asyncio

ROWS = """
    insert into services (name) values ('Timer'), ('Discord');
    insert into components (service_id, type, name) values (1, 'action', 'daily_timer'), (2, 'reaction', 'post_message');
    insert into variables (component_id, name, kind, type) values (1, 'at', 'parameter', 'string'), (2, 'text', 'parameter', 'string');
    insert into users (email, username) values ('a@example.org', 'a'), ('b@example.org', 'b');
    insert into user_oauth2_accounts (service_id, service_account_id, user_id) values (2, 'x', 1), (2, 'y', 2);
    insert into user_services (user_id, service_id) values (1, 2), (2, 2);
    insert into connection_states (user_id, service_id) values (1, 2), (2, 2);
    insert into user_settings (user_id) values (1), (2);
    insert into pictures (name, user_id, content) values ('a', 1, ''), ('b', 2, '');
    insert into drafts (user_id, key, content) values (1, 'new', '{}'), (2, 'new', '{}');
    insert into access_tokens (user_id, kind, token_hash, name) values (1, 'api', 'h1', 'n'), (2, 'api', 'h2', 'n');
    insert into invitations (token_hash, created_by, expires_at) values ('i1', 1, now()), ('i2', 2, now());
    insert into areas (user_id, component_action_id, component_reaction_id, name) values (1, 1, 2, 'one'), (2, 1, 2, 'two');
    insert into area_parameters (area_id, variable_id, value) values (1, 1, '8:00'), (1, 2, 'hi'), (2, 1, '9:00'), (2, 2, 'ho');
    insert into area_versions (area_id, version, config) values (1, 1, '{}'), (2, 1, '{}');
    insert into area_health (area_id) values (1), (2);
    insert into named_connections (user_id, service_id, name) values (1, 2, 'work'), (2, 2, 'work');
    insert into area_connections (area_id, kind, connection_id) values (1, 'reaction', 1), (2, 'reaction', 2);
    insert into area_executions (area_id) values (1), (1), (2);
    insert into area_links (area_id, follows, "when") values (1, 1, 'any'), (2, 2, 'any');
    insert into execution_links (execution_id, parent, root) values (1, 1, 1), (3, 3, 3);
    insert into run_answers (root, execution_id, reply) values (1, 1, '{}'), (3, 3, '{}');
    insert into execution_jobs (execution_id, job_id, reason, due_at) values (1, 1, 'retry', now()), (3, 3, 'retry', now());
    insert into execution_records (execution_id) values (1), (3);
    insert into hook_states (area_id, state_key) values (1, 'event:1'), (2, 'event:1');
    insert into sources (key, component_id, user_id, params) values ('k1', 1, 1, '{}'), ('k2', 1, 2, '{}'), ('all', 1, null, '{}');
    insert into source_hints (source_id, token_hash, token, secret) values (1, 't1', 't', 's'), (2, 't2', 't', 's');
    insert into vendor_cleanups (kind, user_id, service_id, oauth_token) values ('revoke', 3, 2, 't');
    insert into triggers (area_id, source_id) values (1, 1), (2, 2);
    insert into notices (user_id, level, title, body, area_id) values (1, 'info', 't', 'b', 1), (2, 'info', 't', 'b', 2);
    insert into pending_registrations (email, username, password_hash, language, expires_at)
        values ('p@example.org', 'p', 'h', 'en', now());
    insert into outgoing_mail (kind, recipient, share, registration_id) values ('register', 'p@example.org', 's', 1);
    insert into outgoing_mail (user_id, kind, recipient, share, notice_id)
        values (1, 'notice', 'a@example.org', 'user:1', 1), (2, 'notice', 'b@example.org', 'user:2', 2);
    insert into confirmed_emails (user_id, email) values (1, 'a@example.org'), (2, 'b@example.org');
    insert into email_changes (user_id, email) values (1, 'x@example.org'), (2, 'y@example.org');
    insert into email_links (token_hash, purpose, user_id, email, expires_at)
        values ('l1', 'confirm', 1, 'a@example.org', now()), ('l2', 'confirm', 2, 'b@example.org', now());
    insert into login_attempts (login, address) values ('a', '127.0.0.1');
    insert into known_places (user_id, place) values (1, 'net:192.0.2.1'), (2, 'net:192.0.2.1');
    insert into two_factor (user_id, secret) values (1, 's'), (2, 's');
    insert into recovery_codes (user_id, code_hash) values (1, 'c'), (2, 'c');
    insert into passkeys (user_id, credential_id, public_key, sign_count, name)
        values (1, 'c1', 'k', 0, 'a'), (2, 'c2', 'k', 0, 'b');
    insert into used_tickets (ticket_hash, expires_at) values ('t', now());
    insert into switched_off (kind, row_id) values ('service', 1);
    insert into meta (key, value) values ('k', 'v');
    insert into worker_lives (owner, since, seen_at) values ('w', now(), now());
    insert into consents (state_hash, purpose, service, user_id, bound_to, kept, expires_at)
        values ('s1', 'connect', 'a', 1, 'b', 'k', now()), ('s2', 'connect', 'a', 2, 'b', 'k', now());
    insert into audit (user_id, action, subject) values (1, 'login', 'a'), (2, 'login', 'b');
"""

OF_AREA = [
    "area_parameters",
    "area_connections",
    "area_versions",
    "area_health",
    "area_links",
    "area_executions",
    "hook_states",
    "triggers",
]
OF_USER = [
    "user_oauth2_accounts",
    "user_services",
    "named_connections",
    "connection_states",
    "consents",
    "user_settings",
    "pictures",
    "drafts",
    "access_tokens",
    "known_places",
    "two_factor",
    "recovery_codes",
    "passkeys",
    "areas",
    "notices",
    "sources",
    "outgoing_mail",
    "confirmed_emails",
    "email_changes",
    "email_links",
]


@pytest_asyncio.fixture
async def connection(dsn: str):
    connection = await asyncpg.connect(dsn)
    await connection.execute(ROWS)
    yield connection
    await connection.close()


async def count(connection: asyncpg.Connection, table: str, condition: str) -> int:
    return await connection.fetchval(f"select count(*) from {table} where {condition}")


async def test_a_user_takes_everything_along(connection: asyncpg.Connection):
    await connection.execute("delete from users where id = 1")
    for table in OF_USER:
        assert await count(connection, table, "user_id = 1") == 0, table
        assert await count(connection, table, "user_id = 2") == 1, table
    for table in OF_AREA:
        assert await count(connection, table, "area_id = 1") == 0, table
        assert await count(connection, table, "area_id = 2") > 0, table
    assert await connection.fetch("select execution_id from execution_jobs") == [(3,)]
    assert await connection.fetch("select execution_id from execution_records") == [(3,)]
    assert await connection.fetch("select execution_id from execution_links") == [(3,)]
    assert await connection.fetch("select root from run_answers") == [(3,)]
    assert await connection.fetch("select token_hash from invitations") == [("i2",)]
    assert await connection.fetch("select token_hash from source_hints") == [("t2",)]
    assert await count(connection, "sources", "key = 'all'") == 1
    # what was done stays on record, without a name
    assert await connection.fetch("select user_id from audit order by id") == [(None,), (2,)]


async def test_what_vendors_must_be_told_outlives_its_user(connection: asyncpg.Connection):
    await connection.execute("""
        update user_services set oauth_token = 'o', refresh_token = 'r';
        update named_connections set oauth_token = 'n';
        update connection_states set account_id = 'me';
        update sources set state = '{"subscription": {"id": "s1"}}', params = '{"a": "b"}' where key <> 'all';
        update source_hints set subscription = 's2', server = 'https://a.example';
        delete from vendor_cleanups;
        delete from users where id = 1
    """)
    cleanups = await connection.fetch(
        "select kind, user_id, connection_id, oauth_token, refresh_token, subscription, source_key, params"
        " from vendor_cleanups order by kind, connection_id"
    )
    assert [tuple(row) for row in cleanups] == [
        ("end_hint", 1, 0, None, None, "s2", "k1", '{"a": "b"}'),
        ("revoke", 1, 0, "o", "r", None, None, None),
        ("revoke", 1, 1, "n", None, None, None, None),
        ("unsubscribe", 1, 0, None, None, "s1", "k1", '{"a": "b"}'),
    ]


async def test_a_disconnected_name_leaves_its_token_to_revoke_once(connection: asyncpg.Connection):
    await connection.execute("""
        update named_connections set oauth_token = 'n';
        update named_connections set oauth_token = 'n2' where user_id = 1;
        delete from vendor_cleanups;
        update named_connections set oauth_token = null where user_id = 1;
        delete from named_connections where user_id = 2 and id not in (select connection_id from area_connections);
        delete from areas where user_id = 1;
        delete from named_connections where user_id = 1
    """)
    assert [row["oauth_token"] for row in await connection.fetch("select oauth_token from vendor_cleanups")] == ["n2"]


async def test_a_users_source_that_another_area_watches(connection: asyncpg.Connection):
    """Doesn't happen by the engine's rules; if it did, the other AREA would only lose its source."""
    await connection.execute("update triggers set source_id = 1 where area_id = 2")
    await connection.execute("delete from users where id = 1")
    assert await connection.fetch("select area_id, source_id from triggers") == [(2, None)]


async def test_an_area_takes_everything_along(connection: asyncpg.Connection):
    await connection.execute("delete from areas where id = 1")
    for table in OF_AREA:
        assert await count(connection, table, "area_id = 1") == 0, table
        assert await count(connection, table, "area_id = 2") > 0, table
    assert await count(connection, "execution_jobs", "execution_id < 3") == 0
    assert await count(connection, "execution_records", "execution_id < 3") == 0
    assert await connection.fetch("select area_id from notices order by id") == [(None,), (2,)]
    assert await count(connection, "sources", "key = 'k1'") == 1  # the engine's to clear


async def test_no_table_is_forgotten_here(connection: asyncpg.Connection):
    tables = await connection.fetch(
        "select relname::text from pg_class where relkind = 'r' and relnamespace = 'public'::regnamespace"
    )
    for (table,) in tables:
        assert table.startswith("pgqueuer") or await count(connection, table, "true") > 0, table


@pytest.mark.parametrize(
    ("statement", "key"),
    [
        ("delete from components where id = 1", "fk_.*_component"),
        ("delete from components where id = 2", "fk_.*_component"),
        ("delete from services where id = 1", "fk_components_service_id"),
        ("delete from services where id = 2", "fk_.*_service_id"),
        ("delete from variables where id = 1", "fk_area_parameters_variable_id"),
    ],
)
async def test_what_is_used_is_not_deleted(connection: asyncpg.Connection, statement: str, key: str):
    with pytest.raises(asyncpg.IntegrityConstraintViolationError, match=key):
        await connection.execute(statement)


async def test_every_reference_to_a_user_or_an_area_says_what_becomes_of_it(connection: asyncpg.Connection):
    left = await connection.fetch(
        "select conname from pg_constraint where contype = 'f' and confdeltype not in ('c', 'n')"
        " and confrelid in ('users'::regclass, 'areas'::regclass, 'area_executions'::regclass)"
    )
    assert left == []


async def test_deleting_finds_its_rows_by_an_index(connection: asyncpg.Connection):
    """A reference without an index costs a scan of the whole table for each row deleted on the other side."""
    missing = await connection.fetchval(
        """
        select array_agg(conname::text order by conname) from pg_constraint c where contype = 'f'
        and confrelid in ('users'::regclass, 'areas'::regclass, 'area_executions'::regclass, 'sources'::regclass)
        and not exists (select from pg_index i where i.indrelid = c.conrelid and i.indkey[0] = c.conkey[1])
        """
    )
    assert missing == ["fk_invitations_created_by"]  # a handful of rows
