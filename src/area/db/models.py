"""The seed's ten tables, column by column (docs/reference/schema.md), then ours beside them.

`timestamp` columns without a zone hold UTC, as the seed has them.
"""

from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    DateTime,
    Enum,
    ForeignKey,
    Identity,
    Index,
    Integer,
    MetaData,
    String,
    Text,
    UniqueConstraint,
    column,
    func,
    table,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from area.db.types import UtcDateTime

AWARE = DateTime(timezone=True)
NOW = func.now()
FALSE = text("false")
TRUE = text("true")
ZERO = text("0")


class Base(DeclarativeBase):
    """Names every constraint, so that migrations can name them too."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


def _key(table: str, *, cascade: bool = False) -> ForeignKey:
    return ForeignKey(f"{table}.id", ondelete="CASCADE" if cascade else "RESTRICT")


# The seed's ten


class User(Base):
    """An account."""

    __tablename__ = "users"

    id: Mapped[int] = mapped_column(Integer, Identity(), primary_key=True)
    email: Mapped[str] = mapped_column(String(255), unique=True)
    username: Mapped[str] = mapped_column(String(100), unique=True)
    password_hash: Mapped[str | None] = mapped_column(String(255))
    icon_path: Mapped[str | None] = mapped_column(Text)
    is_admin: Mapped[bool] = mapped_column(Boolean, server_default=FALSE)
    is_active: Mapped[bool] = mapped_column(Boolean, server_default=TRUE)
    created_at: Mapped[datetime] = mapped_column(AWARE, server_default=NOW)
    updated_at: Mapped[datetime] = mapped_column(AWARE, server_default=NOW, onupdate=NOW)
    last_connection_at: Mapped[datetime | None] = mapped_column(AWARE)


class UserOAuth2Account(Base):
    """A user's identity at a log-in provider."""

    __tablename__ = "user_oauth2_accounts"

    service_id: Mapped[int] = mapped_column(Integer, _key("services"), primary_key=True)
    service_account_id: Mapped[str] = mapped_column(String(255), primary_key=True)
    user_id: Mapped[int] = mapped_column(Integer, _key("users", cascade=True), index=True)
    email: Mapped[str | None] = mapped_column(String(255))
    created_at: Mapped[datetime] = mapped_column(AWARE, server_default=NOW)


class Service(Base):
    """A service of the catalog."""

    __tablename__ = "services"

    id: Mapped[int] = mapped_column(Integer, Identity(), primary_key=True)
    name: Mapped[str] = mapped_column(String(100), unique=True)
    description: Mapped[str | None] = mapped_column(Text)
    icon_path: Mapped[str | None] = mapped_column(Text)
    requires_auth: Mapped[bool] = mapped_column(Boolean, server_default=FALSE)
    is_active: Mapped[bool] = mapped_column(Boolean, server_default=TRUE)


class UserService(Base):
    """A user's connection to a service; its credential is in `oauth_token`, encrypted."""

    __tablename__ = "user_services"

    user_id: Mapped[int] = mapped_column(Integer, _key("users", cascade=True), primary_key=True)
    service_id: Mapped[int] = mapped_column(Integer, _key("services"), primary_key=True)
    oauth_token: Mapped[str | None] = mapped_column(Text)
    refresh_token: Mapped[str | None] = mapped_column(Text)
    token_expires_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    created_at: Mapped[datetime] = mapped_column(AWARE, server_default=NOW)
    updated_at: Mapped[datetime] = mapped_column(AWARE, server_default=NOW, onupdate=NOW)


class Component(Base):
    """An action or a reaction of a service."""

    __tablename__ = "components"
    __table_args__ = (UniqueConstraint("service_id", "type", "name"),)

    id: Mapped[int] = mapped_column(Integer, Identity(), primary_key=True)
    service_id: Mapped[int] = mapped_column(Integer, _key("services"))
    type: Mapped[str] = mapped_column(Enum("action", "reaction", name="component_type"))
    name: Mapped[str] = mapped_column(String(100))
    description: Mapped[str | None] = mapped_column(Text)
    is_active: Mapped[bool] = mapped_column(Boolean, server_default=TRUE)
    webhook_endpoint: Mapped[str | None] = mapped_column(String(255))
    polling_interval: Mapped[int | None] = mapped_column(Integer)  # seconds


class Variable(Base):
    """A parameter or a return value of a component."""

    __tablename__ = "variables"
    __table_args__ = (UniqueConstraint("component_id", "kind", "name"),)

    id: Mapped[int] = mapped_column(Integer, Identity(), primary_key=True)
    component_id: Mapped[int] = mapped_column(Integer, _key("components"))
    name: Mapped[str] = mapped_column(String(100))
    description: Mapped[str | None] = mapped_column(Text)
    kind: Mapped[str] = mapped_column(Enum("parameter", "return_value", name="variable_kind"))
    type: Mapped[str] = mapped_column(
        Enum("string", "number", "boolean", "date", "email", "url", "json", name="variable_type")
    )
    nullable: Mapped[bool] = mapped_column(Boolean, server_default=FALSE)
    placeholder: Mapped[str | None] = mapped_column(Text)
    validation_regex: Mapped[str | None] = mapped_column(Text)
    display_order: Mapped[int] = mapped_column(Integer, server_default=ZERO)


class Area(Base):
    """A user's link of one action to one reaction."""

    __tablename__ = "areas"
    # its counters are updated with every event, and an update finds room beside the old row
    __table_args__ = {"postgresql_with": {"fillfactor": "50"}}  # noqa: RUF012 - as SQLAlchemy wants it

    id: Mapped[int] = mapped_column(Integer, Identity(), primary_key=True)
    user_id: Mapped[int] = mapped_column(Integer, _key("users", cascade=True), index=True)
    component_action_id: Mapped[int] = mapped_column(Integer, _key("components"), index=True)
    component_reaction_id: Mapped[int] = mapped_column(Integer, _key("components"), index=True)
    name: Mapped[str] = mapped_column(String(255))
    description: Mapped[str | None] = mapped_column(Text)
    is_active: Mapped[bool] = mapped_column(Boolean, server_default=TRUE)
    created_at: Mapped[datetime] = mapped_column(AWARE, server_default=NOW)
    updated_at: Mapped[datetime] = mapped_column(AWARE, server_default=NOW)
    last_triggered_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    triggered_count: Mapped[int] = mapped_column(Integer, server_default=ZERO)


class AreaParameter(Base):
    """The text that a user gave for one parameter; a secret one is encrypted."""

    __tablename__ = "area_parameters"

    area_id: Mapped[int] = mapped_column(Integer, _key("areas", cascade=True), primary_key=True)
    variable_id: Mapped[int] = mapped_column(Integer, _key("variables"), primary_key=True)
    value: Mapped[str] = mapped_column(Text)


class AreaExecution(Base):
    """One run of an AREA. `execution_result` is what the reaction returned; what else is known of it is in `execution_records`.

    `started_at`, `completed_at` and `execution_time_ms` are of the whole run, from its first attempt to its end.
    """

    __tablename__ = "area_executions"
    __table_args__ = (
        CheckConstraint(
            "status in ('pending', 'running', 'success', 'failed', 'cancelled', 'skipped')", name="known_status"
        ),
        # a column that is updated stands in no index, so that finishing an execution stays a heap-only update
        Index("ix_area_executions_area_id_id", "area_id", text("id desc")),
        Index("ix_area_executions_created_at", "created_at", postgresql_using="brin"),
        {"postgresql_with": {"fillfactor": "70"}},
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    area_id: Mapped[int] = mapped_column(Integer, _key("areas", cascade=True))
    status: Mapped[str] = mapped_column(String(20), server_default=text("'pending'"))
    trigger_data: Mapped[Any | None] = mapped_column(JSONB)
    execution_result: Mapped[Any | None] = mapped_column(JSONB)
    error_message: Mapped[str | None] = mapped_column(Text)
    started_at: Mapped[datetime] = mapped_column(UtcDateTime, server_default=text("timezone('utc', now())"))
    completed_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    execution_time_ms: Mapped[int | None] = mapped_column(BigInteger)
    created_at: Mapped[datetime] = mapped_column(AWARE, server_default=NOW)
    updated_at: Mapped[datetime] = mapped_column(AWARE, server_default=NOW)


class HookState(Base):
    """What keeps an AREA's events from firing twice: one row for each known event, `event:<id>`, and for what is polled or listens one
    row `source`: where its source stands, and when it was last checked, within ten minutes.
    """

    __tablename__ = "hook_states"

    area_id: Mapped[int] = mapped_column(Integer, _key("areas", cascade=True), primary_key=True)
    state_key: Mapped[str] = mapped_column(String(255), primary_key=True)
    state_value: Mapped[str | None] = mapped_column(Text)
    last_checked_at: Mapped[datetime | None] = mapped_column(AWARE)
    created_at: Mapped[datetime] = mapped_column(AWARE, server_default=NOW)
    updated_at: Mapped[datetime] = mapped_column(AWARE, server_default=NOW)


# Ours


class Meta(Base):
    """Facts about this installation, such as its instance id."""

    __tablename__ = "meta"

    key: Mapped[str] = mapped_column(String(100), primary_key=True)
    value: Mapped[str] = mapped_column(Text)


class UserSettings(Base):
    """What a user chose beside the seed's columns."""

    __tablename__ = "user_settings"

    user_id: Mapped[int] = mapped_column(Integer, _key("users", cascade=True), primary_key=True)
    timezone: Mapped[str] = mapped_column(String(64), server_default=text("'UTC'"))
    language: Mapped[str | None] = mapped_column(String(10))
    mail_notices: Mapped[bool] = mapped_column(Boolean, server_default=TRUE)


class AccessToken(Base):
    """A session (of a browser or client) or an API token; only the hash is kept."""

    __tablename__ = "access_tokens"

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    user_id: Mapped[int] = mapped_column(Integer, _key("users", cascade=True), index=True)
    kind: Mapped[str] = mapped_column(String(10))  # session | api
    token_hash: Mapped[str] = mapped_column(String(64), unique=True)
    name: Mapped[str] = mapped_column(String(255))
    address: Mapped[str | None] = mapped_column(String(64))
    created_at: Mapped[datetime] = mapped_column(AWARE, server_default=NOW)
    last_used_at: Mapped[datetime | None] = mapped_column(AWARE)
    expires_at: Mapped[datetime | None] = mapped_column(AWARE)
    scope: Mapped[str | None] = mapped_column(String(10))  # of an API token: read | run | manage | admin


class LoginAttempt(Base):
    """A failed log-in, counted per account and address across processes."""

    __tablename__ = "login_attempts"
    __table_args__ = (
        Index("ix_login_attempts_login_at", "login", "at"),
        Index("ix_login_attempts_address_at", "address", "at"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    login: Mapped[str] = mapped_column(String(255))
    address: Mapped[str] = mapped_column(String(64))
    at: Mapped[datetime] = mapped_column(AWARE, server_default=NOW)


class KnownPlace(Base):
    """A network or browser that an account signed in from: `net:<network>` or `device:<hash of its cookie>`."""

    __tablename__ = "known_places"

    user_id: Mapped[int] = mapped_column(Integer, _key("users", cascade=True), primary_key=True)
    place: Mapped[str] = mapped_column(String(80), primary_key=True)
    last_at: Mapped[datetime] = mapped_column(AWARE, server_default=NOW)


class TwoFactor(Base):
    """The authenticator app of an account: its secret (encrypted), the last time step of which a code was used, and what passkeys
    know the account by.
    """

    __tablename__ = "two_factor"

    user_id: Mapped[int] = mapped_column(Integer, _key("users", cascade=True), primary_key=True)
    secret: Mapped[str | None] = mapped_column(Text)
    last_step: Mapped[int | None] = mapped_column(BigInteger)
    handle: Mapped[str | None] = mapped_column(String(100), unique=True)


class RecoveryCode(Base):
    """A code that is good once in place of the second factor; only the hash is kept."""

    __tablename__ = "recovery_codes"

    user_id: Mapped[int] = mapped_column(Integer, _key("users", cascade=True), primary_key=True)
    code_hash: Mapped[str] = mapped_column(String(64), primary_key=True)


class Passkey(Base):
    """A WebAuthn credential; id and public key in base64url."""

    __tablename__ = "passkeys"

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    user_id: Mapped[int] = mapped_column(Integer, _key("users", cascade=True), index=True)
    credential_id: Mapped[str] = mapped_column(String(1400), unique=True)
    public_key: Mapped[str] = mapped_column(Text)
    sign_count: Mapped[int] = mapped_column(BigInteger)
    name: Mapped[str] = mapped_column(String(100))
    created_at: Mapped[datetime] = mapped_column(AWARE, server_default=NOW)
    last_used_at: Mapped[datetime | None] = mapped_column(AWARE)


class UsedTicket(Base):
    """A ticket that was used, until it would have run out."""

    __tablename__ = "used_tickets"

    ticket_hash: Mapped[str] = mapped_column(String(64), primary_key=True)
    expires_at: Mapped[datetime] = mapped_column(AWARE, index=True)


class Invitation(Base):
    """A way to register while `AREA_REGISTRATION` is `invite`."""

    __tablename__ = "invitations"

    token_hash: Mapped[str] = mapped_column(String(64), primary_key=True)
    created_by: Mapped[int | None] = mapped_column(Integer, _key("users", cascade=True))
    created_at: Mapped[datetime] = mapped_column(AWARE, server_default=NOW)
    expires_at: Mapped[datetime] = mapped_column(AWARE)
    used_at: Mapped[datetime | None] = mapped_column(AWARE)


class SwitchedOff(Base):
    """What an admin switched off in the catalog; survives a sync."""

    __tablename__ = "switched_off"

    kind: Mapped[str] = mapped_column(String(10), primary_key=True)  # service | component
    row_id: Mapped[int] = mapped_column(Integer, primary_key=True)


class NamedConnection(Base):
    """A user's connection to a service beside the default one in `user_services`, whose columns these are.

    Without an `oauth_token` it was disconnected while AREAs needed it: they wait until it is connected again.
    """

    __tablename__ = "named_connections"
    __table_args__ = (UniqueConstraint("user_id", "service_id", "name"),)

    id: Mapped[int] = mapped_column(Integer, Identity(), primary_key=True)
    user_id: Mapped[int] = mapped_column(Integer, _key("users", cascade=True))
    service_id: Mapped[int] = mapped_column(Integer, _key("services"))
    name: Mapped[str] = mapped_column(String(100))
    oauth_token: Mapped[str | None] = mapped_column(Text)
    refresh_token: Mapped[str | None] = mapped_column(Text)
    token_expires_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    created_at: Mapped[datetime] = mapped_column(AWARE, server_default=NOW)
    updated_at: Mapped[datetime] = mapped_column(AWARE, server_default=NOW, onupdate=NOW)


# a view of all connections: the default ones have the number 0 and no name
CONNECTIONS = table(
    "connections",
    column("user_id", Integer),
    column("service_id", Integer),
    column("connection_id", Integer),
    column("name", String),
    column("oauth_token", Text),
    column("refresh_token", Text),
    column("token_expires_at", UtcDateTime),
    column("created_at", AWARE),
    column("updated_at", AWARE),
).c


class AreaConnection(Base):
    """The connection that an AREA has chosen for its action or its reaction (`kind`); without a row, the default one."""

    __tablename__ = "area_connections"

    area_id: Mapped[int] = mapped_column(Integer, _key("areas", cascade=True), primary_key=True)
    kind: Mapped[str] = mapped_column(String(10), primary_key=True)
    connection_id: Mapped[int] = mapped_column(Integer, ForeignKey("named_connections.id"), index=True)


class ConnectionState(Base):
    """How a connection (of `user_services` when its `connection_id` is 0) fares: `works` or `expired`, and until when its quota is used
    up.
    """

    __tablename__ = "connection_states"

    user_id: Mapped[int] = mapped_column(Integer, _key("users", cascade=True), primary_key=True)
    service_id: Mapped[int] = mapped_column(Integer, _key("services"), primary_key=True)
    connection_id: Mapped[int] = mapped_column(Integer, primary_key=True, server_default=ZERO)
    status: Mapped[str] = mapped_column(String(20), server_default=text("'works'"))
    parked_until: Mapped[datetime | None] = mapped_column(AWARE)
    last_error: Mapped[str | None] = mapped_column(Text)
    checked_at: Mapped[datetime | None] = mapped_column(AWARE)
    # of an OAuth2 connection: who agreed, to what, and from when on to refresh; `refreshing_until` is the lease of who does
    account: Mapped[str | None] = mapped_column(String(255))
    account_id: Mapped[str | None] = mapped_column(String(255), index=True)  # as the vendor knows them
    scopes: Mapped[str | None] = mapped_column(Text)
    granted_at: Mapped[datetime | None] = mapped_column(AWARE)
    refresh_at: Mapped[datetime | None] = mapped_column(AWARE)
    refreshing_until: Mapped[datetime | None] = mapped_column(AWARE)
    access_token: Mapped[str | None] = mapped_column(Text)  # got with client credentials: encrypted JSON, with its end


class Consent(Base):
    """A way to a vendor's page of consent that somebody is on: its `state`, which comes back once and within ten minutes.

    `purpose` is `connect` or `log_in`; `bound_to` is the hash of what only that browser or session has; `kept` is encrypted
    JSON: the PKCE verifier, and where to go afterwards.
    """

    __tablename__ = "consents"

    state_hash: Mapped[str] = mapped_column(String(64), primary_key=True)
    purpose: Mapped[str] = mapped_column(String(10))
    service: Mapped[str] = mapped_column(String(100))
    user_id: Mapped[int | None] = mapped_column(Integer, _key("users", cascade=True), index=True)
    bound_to: Mapped[str] = mapped_column(String(64))
    address: Mapped[str | None] = mapped_column(String(64))  # of who is not signed in
    kept: Mapped[str] = mapped_column(Text)
    expires_at: Mapped[datetime] = mapped_column(AWARE, index=True)


class AreaVersion(Base):
    """An AREA's components and parameters as they stood; an execution names the version it ran with."""

    __tablename__ = "area_versions"

    area_id: Mapped[int] = mapped_column(Integer, _key("areas", cascade=True), primary_key=True)
    version: Mapped[int] = mapped_column(Integer, primary_key=True)
    config: Mapped[Any] = mapped_column(JSONB)
    created_at: Mapped[datetime] = mapped_column(AWARE, server_default=NOW)


class AreaHealth(Base):
    """Permanent failures in a row, and why the system switched the AREA off, if it did."""

    __tablename__ = "area_health"

    area_id: Mapped[int] = mapped_column(Integer, _key("areas", cascade=True), primary_key=True)
    failures: Mapped[int] = mapped_column(Integer, server_default=ZERO)
    switched_off_at: Mapped[datetime | None] = mapped_column(AWARE, index=True)
    reason: Mapped[str | None] = mapped_column(Text)


class Source(Base):
    """One thing to watch: an action with its parameters and account, shared by all AREAs that watch the same.

    `due_at` is when it is next asked (poll), fires (timer) or is looked after (listen); null while nobody needs it. `seen`
    is the dedupe window: `{"since": iso, "ids": {id: iso}}`. A worker holds it by `lease_owner` until `lease_until`. `lane` is the
    loop that looks after it: `poll`, `timer` or `listen`; `share_of` the user for whom a look at it counts (0: not known yet).
    """

    __tablename__ = "sources"
    __table_args__ = (
        Index("ix_sources_lane_due_at", "lane", "due_at", postgresql_where=text("due_at is not null")),
        Index("ix_sources_lane_share_of", "lane", "share_of", "due_at", postgresql_where=text("due_at is not null")),
    )

    id: Mapped[int] = mapped_column(Integer, Identity(), primary_key=True)
    key: Mapped[str] = mapped_column(String(64), unique=True)
    component_id: Mapped[int] = mapped_column(Integer, _key("components"), index=True)
    user_id: Mapped[int | None] = mapped_column(Integer, _key("users", cascade=True), index=True)
    share_of: Mapped[int] = mapped_column(Integer, server_default=ZERO)
    lane: Mapped[str] = mapped_column(String(10), server_default=text("'poll'"))
    connection_id: Mapped[int] = mapped_column(Integer, server_default=ZERO)
    params: Mapped[Any] = mapped_column(JSONB)
    state: Mapped[Any] = mapped_column(JSONB, server_default=text("'{}'"))
    seen: Mapped[Any | None] = mapped_column(JSONB)
    due_at: Mapped[datetime | None] = mapped_column(AWARE)
    planned_at: Mapped[datetime | None] = mapped_column(AWARE)
    lease_owner: Mapped[str | None] = mapped_column(String(64))
    lease_until: Mapped[datetime | None] = mapped_column(AWARE)
    checked_at: Mapped[datetime | None] = mapped_column(AWARE)
    failures: Mapped[int] = mapped_column(Integer, server_default=ZERO)
    failing_since: Mapped[datetime | None] = mapped_column(AWARE)
    last_error: Mapped[str | None] = mapped_column(Text)
    noticed_at: Mapped[datetime | None] = mapped_column(AWARE)
    nudged_at: Mapped[datetime | None] = mapped_column(AWARE)  # when the vendor said last that there is news
    created_at: Mapped[datetime] = mapped_column(AWARE, server_default=NOW)


class WorkerLife(Base):
    """A time in which a worker ran without a break, as it said itself: what tells a timer's firing that was missed from a late one."""

    __tablename__ = "worker_lives"

    owner: Mapped[str] = mapped_column(String(64), primary_key=True)
    since: Mapped[datetime] = mapped_column(AWARE, primary_key=True)
    seen_at: Mapped[datetime] = mapped_column(AWARE, index=True)


class SourceHint(Base):
    """Where a vendor says that there is news of what a source watches, and what it was asked for.

    `server` is this server's address, or the topic, as the vendor was told it. `due_at` is when it is to be asked again: to prolong what there
    is, or after it refused. `heard_at` is when it was heard first at this address: before that, nobody relies on it.
    """

    __tablename__ = "source_hints"

    source_id: Mapped[int] = mapped_column(Integer, _key("sources", cascade=True), primary_key=True)
    token_hash: Mapped[str] = mapped_column(String(64), unique=True)
    token: Mapped[str] = mapped_column(Text)  # encrypted
    secret: Mapped[str] = mapped_column(Text)  # encrypted
    subscription: Mapped[str | None] = mapped_column(Text, index=True)  # the vendor's id of it
    server: Mapped[str | None] = mapped_column(Text)
    expires_at: Mapped[datetime | None] = mapped_column(AWARE)
    due_at: Mapped[datetime] = mapped_column(AWARE, server_default=NOW)
    heard_at: Mapped[datetime | None] = mapped_column(AWARE)


class Trigger(Base):
    """How an AREA gets its events: the source it watches, or the address that its webhooks come to."""

    __tablename__ = "triggers"

    area_id: Mapped[int] = mapped_column(Integer, _key("areas", cascade=True), primary_key=True)
    source_id: Mapped[int | None] = mapped_column(Integer, ForeignKey("sources.id", ondelete="SET NULL"), index=True)
    baseline: Mapped[bool] = mapped_column(Boolean, server_default=TRUE)  # the next look at the source fires nothing
    token_hash: Mapped[str | None] = mapped_column(String(64), unique=True)
    token: Mapped[str | None] = mapped_column(Text)  # encrypted
    secret: Mapped[str | None] = mapped_column(Text)  # encrypted
    since: Mapped[datetime] = mapped_column(AWARE, server_default=NOW)
    # of a webhook: what becomes of what arrives while the AREA is off, `retry` (the sender is asked to) or `skip`
    when_off: Mapped[str] = mapped_column(String(10), server_default=text("'retry'"))


class ExecutionJob(Base):
    """The job that an execution waits for by itself: a retry, a delay, a parked connection, a replay."""

    __tablename__ = "execution_jobs"
    __table_args__ = {"postgresql_with": {"fillfactor": "70"}}  # noqa: RUF012 - as SQLAlchemy wants it

    execution_id: Mapped[int] = mapped_column(
        BigInteger, ForeignKey("area_executions.id", ondelete="CASCADE"), primary_key=True
    )
    job_id: Mapped[int] = mapped_column(BigInteger, index=True)
    reason: Mapped[str] = mapped_column(String(20))
    due_at: Mapped[datetime] = mapped_column(AWARE)


class ExecutionRecord(Base):
    """What AREA keeps of an execution beside the seed's columns (`records.RunRecord`). A success without one had a single attempt, with
    the AREA's first version.
    """

    __tablename__ = "execution_records"
    __table_args__ = (
        Index("ix_execution_records_replay_of", "replay_of", postgresql_where=text("replay_of is not null")),
        {"postgresql_with": {"fillfactor": "70"}},
    )

    execution_id: Mapped[int] = mapped_column(
        BigInteger, ForeignKey("area_executions.id", ondelete="CASCADE"), primary_key=True
    )
    version: Mapped[int | None] = mapped_column(Integer)
    as_it_was: Mapped[bool] = mapped_column(Boolean, server_default=FALSE)
    forced: Mapped[bool] = mapped_column(Boolean, server_default=FALSE)
    replay_of: Mapped[int | None] = mapped_column(BigInteger)
    chain: Mapped[Any] = mapped_column(JSONB, server_default=text("'[]'"))
    parameters: Mapped[str | None] = mapped_column(Text)  # encrypted JSON
    attempts: Mapped[Any] = mapped_column(JSONB, server_default=text("'[]'"))
    state: Mapped[Any] = mapped_column(JSONB, server_default=text("'{}'"))


class Notice(Base):
    """A message to the user, from the system or from `inbox.post`."""

    __tablename__ = "notices"
    __table_args__ = (
        Index("ix_notices_user_id_id", "user_id", text("id desc")),
        UniqueConstraint("user_id", "key"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    user_id: Mapped[int] = mapped_column(Integer, _key("users", cascade=True))
    level: Mapped[str] = mapped_column(String(10))  # info | success | warning | error
    title: Mapped[str] = mapped_column(String(255))
    body: Mapped[str] = mapped_column(Text)
    key: Mapped[str | None] = mapped_column(String(255))  # the same key is noticed once
    area_id: Mapped[int | None] = mapped_column(Integer, ForeignKey("areas.id", ondelete="SET NULL"), index=True)
    created_at: Mapped[datetime] = mapped_column(AWARE, server_default=NOW)
    read_at: Mapped[datetime | None] = mapped_column(AWARE)
    mailed_at: Mapped[datetime | None] = mapped_column(AWARE)
    # the `title` and `body` as `Sentence.dumped`, of what AREA itself says; none of before migration 0015
    said: Mapped[Any | None] = mapped_column(JSONB)


class AuditEntry(Base):
    """Who did what to accounts, connections and the catalog."""

    __tablename__ = "audit"

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    at: Mapped[datetime] = mapped_column(AWARE, server_default=NOW)
    user_id: Mapped[int | None] = mapped_column(Integer, ForeignKey("users.id", ondelete="SET NULL"), index=True)
    action: Mapped[str] = mapped_column(String(100))
    subject: Mapped[str] = mapped_column(String(255))
    detail: Mapped[Any | None] = mapped_column(JSONB)
    address: Mapped[str | None] = mapped_column(String(64))


class Draft(Base):
    """What a user had typed into the editor: of a new AREA, of one like a recipe or another AREA, or of a saved one (its id)."""

    __tablename__ = "drafts"

    user_id: Mapped[int] = mapped_column(Integer, _key("users", cascade=True), primary_key=True)
    key: Mapped[str] = mapped_column(String(100), primary_key=True)
    content: Mapped[Any] = mapped_column(JSONB)
    updated_at: Mapped[datetime] = mapped_column(AWARE, server_default=NOW)


class OutgoingMail(Base):
    """A mail that AREA itself sends, until some time after it was sent or given up. What it says is written when it is sent.

    `share` is who has a turn: a user, or the network that asked (`source`). `lease_until` is set while a worker sends it; `repeated`
    says that it is tried anew after a worker died on it, which happens once.
    """

    __tablename__ = "outgoing_mail"
    __table_args__ = (
        Index(
            "ix_outgoing_mail_next_attempt_at",
            "next_attempt_at",
            postgresql_where=text("sent_at is null and given_up_at is null"),
        ),
        Index("ix_outgoing_mail_share_attempted_at", "share", "attempted_at"),
        Index("ix_outgoing_mail_recipient_created_at", "recipient", "created_at"),
        Index("ix_outgoing_mail_source_created_at", "source", "created_at"),
        Index("ix_outgoing_mail_user_id_created_at", "user_id", "created_at"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    user_id: Mapped[int | None] = mapped_column(Integer, _key("users", cascade=True))
    kind: Mapped[str] = mapped_column(String(20))  # mail.Kind
    recipient: Mapped[str] = mapped_column(String(255))
    notice_id: Mapped[int | None] = mapped_column(BigInteger, ForeignKey("notices.id", ondelete="CASCADE"), index=True)
    registration_id: Mapped[int | None] = mapped_column(
        BigInteger, ForeignKey("pending_registrations.id", ondelete="SET NULL"), index=True
    )
    share: Mapped[str] = mapped_column(String(64))
    source: Mapped[str | None] = mapped_column(String(64))
    created_at: Mapped[datetime] = mapped_column(AWARE, server_default=NOW)
    next_attempt_at: Mapped[datetime] = mapped_column(AWARE, server_default=NOW)
    attempts: Mapped[int] = mapped_column(Integer, server_default=ZERO)
    attempted_at: Mapped[datetime | None] = mapped_column(AWARE)
    lease_until: Mapped[datetime | None] = mapped_column(AWARE)
    repeated: Mapped[bool] = mapped_column(Boolean, server_default=FALSE)
    sent_at: Mapped[datetime | None] = mapped_column(AWARE)
    given_up_at: Mapped[datetime | None] = mapped_column(AWARE)
    last_error: Mapped[str | None] = mapped_column(Text)


class PendingRegistration(Base):
    """A registration whose address is confirmed first. `token_hash` is that of the link, once it was mailed."""

    __tablename__ = "pending_registrations"

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    email: Mapped[str] = mapped_column(String(255), index=True)
    username: Mapped[str] = mapped_column(String(100))
    password_hash: Mapped[str] = mapped_column(String(255))
    language: Mapped[str] = mapped_column(String(10))  # of the mail
    token_hash: Mapped[str | None] = mapped_column(String(64), unique=True)
    created_at: Mapped[datetime] = mapped_column(AWARE, server_default=NOW)
    expires_at: Mapped[datetime] = mapped_column(AWARE, index=True)


class ConfirmedEmail(Base):
    """The address that a user proved to own; worth nothing once `users.email` is another."""

    __tablename__ = "confirmed_emails"

    user_id: Mapped[int] = mapped_column(Integer, _key("users", cascade=True), primary_key=True)
    email: Mapped[str] = mapped_column(String(255))
    confirmed_at: Mapped[datetime] = mapped_column(AWARE, server_default=NOW)


class EmailChange(Base):
    """The address that a user's is to become, once it is confirmed."""

    __tablename__ = "email_changes"

    user_id: Mapped[int] = mapped_column(Integer, _key("users", cascade=True), primary_key=True)
    email: Mapped[str] = mapped_column(String(255))
    created_at: Mapped[datetime] = mapped_column(AWARE, server_default=NOW)


class EmailLink(Base):
    """A link that was mailed to `email` and works once; only the hash of its token is kept."""

    __tablename__ = "email_links"

    token_hash: Mapped[str] = mapped_column(String(64), primary_key=True)
    purpose: Mapped[str] = mapped_column(String(10))  # mail.Purpose
    user_id: Mapped[int] = mapped_column(Integer, _key("users", cascade=True), index=True)
    email: Mapped[str] = mapped_column(String(255))
    created_at: Mapped[datetime] = mapped_column(AWARE, server_default=NOW)
    expires_at: Mapped[datetime] = mapped_column(AWARE, index=True)
