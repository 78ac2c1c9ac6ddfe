"""The ten tables of the data model, column by column (docs/reference/schema.md), then AREA's own
(docs/reference/tables.md).

Together in one module, because they refer to each other and are read as one schema. `timestamp` columns without a zone
hold UTC.
"""

from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Computed,
    DateTime,
    Enum,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
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
    """Names every constraint, so that migrations can refer to it."""

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


# The ten tables of the data model


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
    """One run of an AREA. `execution_result` is what the reaction returned; what else is known of it is in
    `execution_records`.

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
    """What keeps an AREA's events from firing twice: one row for each known event, `event:<id>`, and for what is polled
    or listens one row `source`: where its source stands, and when it was last checked. That is at most ten minutes ago,
    or its poll interval if that is longer: what wasn't checked isn't recorded as checked.
    """

    __tablename__ = "hook_states"

    area_id: Mapped[int] = mapped_column(Integer, _key("areas", cascade=True), primary_key=True)
    state_key: Mapped[str] = mapped_column(String(255), primary_key=True)
    state_value: Mapped[str | None] = mapped_column(Text)
    last_checked_at: Mapped[datetime | None] = mapped_column(AWARE)
    created_at: Mapped[datetime] = mapped_column(AWARE, server_default=NOW)
    updated_at: Mapped[datetime] = mapped_column(AWARE, server_default=NOW)


# AREA's own tables


class Meta(Base):
    """Facts about this installation, such as its instance ID."""

    __tablename__ = "meta"

    key: Mapped[str] = mapped_column(String(100), primary_key=True)
    value: Mapped[str] = mapped_column(Text)


class UserSettings(Base):
    """A user's preferences."""

    __tablename__ = "user_settings"

    user_id: Mapped[int] = mapped_column(Integer, _key("users", cascade=True), primary_key=True)
    timezone: Mapped[str] = mapped_column(
        String(64), server_default=text("'UTC'"), doc="IANA name, such as `Europe/Paris`."
    )
    language: Mapped[str | None] = mapped_column(String(10), doc="Of the pages and mails; null means the browser's.")
    mail_notices: Mapped[bool] = mapped_column(
        Boolean, server_default=TRUE, doc="Whether warnings and errors are e-mailed."
    )


class Picture(Base):
    """A user's profile picture, a small WebP."""

    __tablename__ = "pictures"

    name: Mapped[str] = mapped_column(String(64), primary_key=True, doc="Unguessable; the last part of its address.")
    user_id: Mapped[int] = mapped_column(Integer, _key("users", cascade=True), index=True)
    content: Mapped[bytes] = mapped_column(LargeBinary)
    created_at: Mapped[datetime] = mapped_column(AWARE, server_default=NOW)


class AccessToken(Base):
    """A session or an API token. Only the token's hash is stored."""

    __tablename__ = "access_tokens"

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    user_id: Mapped[int] = mapped_column(Integer, _key("users", cascade=True), index=True)
    kind: Mapped[str] = mapped_column(String(10), doc="`session` or `api`.")
    token_hash: Mapped[str] = mapped_column(String(64), unique=True, doc="SHA-256.")
    name: Mapped[str] = mapped_column(String(255), doc="The browser or client, or the name given to the API token.")
    address: Mapped[str | None] = mapped_column(String(64), doc="Network address of the last use.")
    created_at: Mapped[datetime] = mapped_column(AWARE, server_default=NOW)
    last_used_at: Mapped[datetime | None] = mapped_column(AWARE)
    expires_at: Mapped[datetime | None] = mapped_column(AWARE)
    scope: Mapped[str | None] = mapped_column(String(10), doc="Of an API token: `read`, `run`, `manage` or `admin`.")


class LoginAttempt(Base):
    """A failed sign-in, counted per account and network address across processes."""

    __tablename__ = "login_attempts"
    __table_args__ = (
        Index("ix_login_attempts_login_at", "login", "at"),
        Index("ix_login_attempts_address_at", "address", "at"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    login: Mapped[str] = mapped_column(String(255), doc="The name as typed.")
    address: Mapped[str] = mapped_column(String(64), doc="Network address.")
    at: Mapped[datetime] = mapped_column(AWARE, server_default=NOW)


class KnownPlace(Base):
    """A network or browser where an account signed in before."""

    __tablename__ = "known_places"

    user_id: Mapped[int] = mapped_column(Integer, _key("users", cascade=True), primary_key=True)
    place: Mapped[str] = mapped_column(
        String(80), primary_key=True, doc="`net:<network>` or `device:<hash of its cookie>`."
    )
    last_at: Mapped[datetime] = mapped_column(AWARE, server_default=NOW, doc="Last sign-in from there.")


class TwoFactor(Base):
    """An account's authenticator app, and the handle that its passkeys use."""

    __tablename__ = "two_factor"

    user_id: Mapped[int] = mapped_column(Integer, _key("users", cascade=True), primary_key=True)
    secret: Mapped[str | None] = mapped_column(Text, doc="TOTP secret, encrypted.")
    last_step: Mapped[int | None] = mapped_column(
        BigInteger, doc="Time step of the last accepted code, so that no code works twice."
    )
    handle: Mapped[str | None] = mapped_column(String(100), unique=True, doc="WebAuthn user handle.")


class RecoveryCode(Base):
    """A single-use code that replaces the second factor. Only its hash is stored."""

    __tablename__ = "recovery_codes"

    user_id: Mapped[int] = mapped_column(Integer, _key("users", cascade=True), primary_key=True)
    code_hash: Mapped[str] = mapped_column(String(64), primary_key=True)


class Passkey(Base):
    """A WebAuthn credential."""

    __tablename__ = "passkeys"

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    user_id: Mapped[int] = mapped_column(Integer, _key("users", cascade=True), index=True)
    credential_id: Mapped[str] = mapped_column(String(1400), unique=True, doc="base64url.")
    public_key: Mapped[str] = mapped_column(Text, doc="base64url.")
    sign_count: Mapped[int] = mapped_column(BigInteger, doc="Signature counter, if the authenticator has one.")
    name: Mapped[str] = mapped_column(String(100))
    created_at: Mapped[datetime] = mapped_column(AWARE, server_default=NOW)
    last_used_at: Mapped[datetime | None] = mapped_column(AWARE)


class UsedTicket(Base):
    """A used second-factor ticket, until it expires."""

    __tablename__ = "used_tickets"

    ticket_hash: Mapped[str] = mapped_column(String(64), primary_key=True)
    expires_at: Mapped[datetime] = mapped_column(AWARE, index=True)


class Invitation(Base):
    """An invitation to register. Only the hash of its link is stored."""

    __tablename__ = "invitations"

    token_hash: Mapped[str] = mapped_column(String(64), primary_key=True)
    created_by: Mapped[int | None] = mapped_column(Integer, _key("users", cascade=True))
    created_at: Mapped[datetime] = mapped_column(AWARE, server_default=NOW)
    expires_at: Mapped[datetime] = mapped_column(AWARE)
    used_at: Mapped[datetime | None] = mapped_column(AWARE)


class SwitchedOff(Base):
    """What an administrator switched off in the catalog; survives a restart."""

    __tablename__ = "switched_off"

    kind: Mapped[str] = mapped_column(String(10), primary_key=True, doc="`service` or `component`.")
    row_id: Mapped[int] = mapped_column(Integer, primary_key=True, doc="`services.id` or `components.id`.")


class NamedConnection(Base):
    """A user's additional connections to a service. The default one is in `user_services`, with the same columns.

    Without an `oauth_token` it was disconnected while AREAs used it: they are paused until it is reconnected.
    """

    __tablename__ = "named_connections"
    __table_args__ = (UniqueConstraint("user_id", "service_id", "name"),)

    id: Mapped[int] = mapped_column(Integer, Identity(), primary_key=True)
    user_id: Mapped[int] = mapped_column(Integer, _key("users", cascade=True))
    service_id: Mapped[int] = mapped_column(Integer, _key("services"))
    name: Mapped[str] = mapped_column(String(100), doc="Chosen by the user.")
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
    """The connection chosen for an AREA's action or reaction. Without a row, the default one."""

    __tablename__ = "area_connections"

    area_id: Mapped[int] = mapped_column(Integer, _key("areas", cascade=True), primary_key=True)
    kind: Mapped[str] = mapped_column(String(10), primary_key=True, doc="`action` or `reaction`.")
    connection_id: Mapped[int] = mapped_column(Integer, ForeignKey("named_connections.id"), index=True)


class ConnectionState(Base):
    """The health of a connection."""

    __tablename__ = "connection_states"

    user_id: Mapped[int] = mapped_column(Integer, _key("users", cascade=True), primary_key=True)
    service_id: Mapped[int] = mapped_column(Integer, _key("services"), primary_key=True)
    connection_id: Mapped[int] = mapped_column(
        Integer, primary_key=True, server_default=ZERO, doc="`named_connections.id`, or 0 for the default connection."
    )
    status: Mapped[str] = mapped_column(String(20), server_default=text("'works'"), doc="`works` or `expired`.")
    parked_until: Mapped[datetime | None] = mapped_column(AWARE, doc="Until when the vendor's rate limit applies.")
    last_error: Mapped[str | None] = mapped_column(Text)
    said: Mapped[Any | None] = mapped_column(JSONB, doc="The key and the values of `last_error`, for translation.")
    checked_at: Mapped[datetime | None] = mapped_column(AWARE)
    account: Mapped[str | None] = mapped_column(String(255), doc="The vendor account, as shown to the user.")
    account_id: Mapped[str | None] = mapped_column(String(255), index=True, doc="The vendor's ID of that account.")
    scopes: Mapped[str | None] = mapped_column(Text, doc="Granted scopes (OAuth2).")
    granted_at: Mapped[datetime | None] = mapped_column(AWARE)
    refresh_at: Mapped[datetime | None] = mapped_column(AWARE, doc="When to refresh the token.")
    refreshing_until: Mapped[datetime | None] = mapped_column(AWARE, doc="Lease of the process that refreshes it.")
    access_token: Mapped[str | None] = mapped_column(
        Text, doc="Client-credentials token with its expiry, encrypted JSON."
    )


class Consent(Base):
    """An OAuth2 consent in progress; it can be completed once, within ten minutes."""

    __tablename__ = "consents"

    state_hash: Mapped[str] = mapped_column(String(64), primary_key=True, doc="Of the `state` parameter.")
    purpose: Mapped[str] = mapped_column(String(10), doc="`connect` or `log_in`.")
    service: Mapped[str] = mapped_column(String(100))
    user_id: Mapped[int | None] = mapped_column(Integer, _key("users", cascade=True), index=True)
    bound_to: Mapped[str] = mapped_column(String(64), doc="Hash of a secret of the browser or session that started it.")
    address: Mapped[str | None] = mapped_column(String(64), doc="Network address of a visitor who isn't signed in.")
    kept: Mapped[str] = mapped_column(Text, doc="PKCE verifier and where to go afterwards, encrypted JSON.")
    expires_at: Mapped[datetime] = mapped_column(AWARE, index=True)


class AreaVersion(Base):
    """A saved version of an AREA. Each execution refers to the version it ran with."""

    __tablename__ = "area_versions"

    area_id: Mapped[int] = mapped_column(Integer, _key("areas", cascade=True), primary_key=True)
    version: Mapped[int] = mapped_column(Integer, primary_key=True)
    config: Mapped[Any] = mapped_column(JSONB, doc="Components, connections and parameters.")
    created_at: Mapped[datetime] = mapped_column(AWARE, server_default=NOW)


class AreaHealth(Base):
    """Permanent failures in a row, and why AREA switched an AREA off."""

    __tablename__ = "area_health"

    area_id: Mapped[int] = mapped_column(Integer, _key("areas", cascade=True), primary_key=True)
    failures: Mapped[int] = mapped_column(Integer, server_default=ZERO, doc="In a row, without a success.")
    switched_off_at: Mapped[datetime | None] = mapped_column(AWARE, index=True)
    reason: Mapped[str | None] = mapped_column(Text)
    said: Mapped[Any | None] = mapped_column(JSONB, doc="The key and the values of `reason`, for translation.")


class Source(Base):
    """A poll, timer or listener: one action with its parameters and account, shared by all AREAs that watch the same
    thing.
    """

    __tablename__ = "sources"
    __table_args__ = (
        Index("ix_sources_lane_due_at", "lane", "due_at", postgresql_where=text("due_at is not null")),
        Index("ix_sources_lane_share_of", "lane", "share_of", "due_at", postgresql_where=text("due_at is not null")),
    )

    id: Mapped[int] = mapped_column(Integer, Identity(), primary_key=True)
    key: Mapped[str] = mapped_column(String(64), unique=True, doc="Hash of component, parameters and account.")
    component_id: Mapped[int] = mapped_column(Integer, _key("components"), index=True)
    user_id: Mapped[int | None] = mapped_column(
        Integer, _key("users", cascade=True), index=True, doc="Set if the source belongs to one user."
    )
    share_of: Mapped[int] = mapped_column(
        Integer, server_default=ZERO, doc="The user whose slots it takes; 0 if not decided yet."
    )
    lane: Mapped[str] = mapped_column(String(10), server_default=text("'poll'"), doc="`poll`, `timer` or `listen`.")
    connection_id: Mapped[int] = mapped_column(Integer, server_default=ZERO)
    params: Mapped[Any] = mapped_column(JSONB)
    state: Mapped[Any] = mapped_column(
        JSONB, server_default=text("'{}'"), doc="The trigger's own state, such as ETags and cursors."
    )
    seen: Mapped[Any | None] = mapped_column(
        JSONB,
        doc='Window of known events: `{"since": …, "ids": {id: time}}`, and `signs`, hashes of what else identifies'
        " them.",
    )
    due_at: Mapped[datetime | None] = mapped_column(
        AWARE, doc="Next poll, timer or check; null while no AREA needs it."
    )
    planned_at: Mapped[datetime | None] = mapped_column(AWARE, doc="Planned time of a timer.")
    lease_owner: Mapped[str | None] = mapped_column(String(64), doc="The worker that holds it.")
    lease_until: Mapped[datetime | None] = mapped_column(AWARE)
    checked_at: Mapped[datetime | None] = mapped_column(AWARE)
    failures: Mapped[int] = mapped_column(Integer, server_default=ZERO)
    failing_since: Mapped[datetime | None] = mapped_column(AWARE)
    last_error: Mapped[str | None] = mapped_column(Text)
    said: Mapped[Any | None] = mapped_column(JSONB, doc="The key and the values of `last_error`, for translation.")
    noticed_at: Mapped[datetime | None] = mapped_column(AWARE, doc="When its users were notified of a failure.")
    nudged_at: Mapped[datetime | None] = mapped_column(AWARE, doc="When a vendor last reported a change.")
    note: Mapped[str | None] = mapped_column(
        Text, Computed("state ->> 'note'", persisted=True), doc="What the last poll left out, from `state`."
    )
    created_at: Mapped[datetime] = mapped_column(AWARE, server_default=NOW)


class WorkerLife(Base):
    """A period in which a worker ran without a break. It distinguishes a missed timer from a late one."""

    __tablename__ = "worker_lives"

    owner: Mapped[str] = mapped_column(String(64), primary_key=True, doc="The worker.")
    since: Mapped[datetime] = mapped_column(AWARE, primary_key=True)
    seen_at: Mapped[datetime] = mapped_column(AWARE, index=True)


class SourceHint(Base):
    """A vendor subscription that reports changes of a polled source."""

    __tablename__ = "source_hints"

    source_id: Mapped[int] = mapped_column(Integer, _key("sources", cascade=True), primary_key=True)
    token_hash: Mapped[str] = mapped_column(String(64), unique=True, doc="Of the token in its URL.")
    token: Mapped[str] = mapped_column(Text, doc="Encrypted.")
    secret: Mapped[str] = mapped_column(Text, doc="For signatures, encrypted.")
    subscription: Mapped[str | None] = mapped_column(Text, index=True, doc="The vendor's ID.")
    server: Mapped[str | None] = mapped_column(Text, doc="The URL or topic given to the vendor.")
    expires_at: Mapped[datetime | None] = mapped_column(AWARE)
    due_at: Mapped[datetime] = mapped_column(
        AWARE, server_default=NOW, doc="When to renew it, or to try again after a refusal."
    )
    heard_at: Mapped[datetime | None] = mapped_column(
        AWARE, doc="First delivery at this URL. Until then AREA polls as usual."
    )


class VendorCleanup(Base):
    """Work left to do at a vendor after a connection or source was deleted: tokens to revoke, a subscription to end.
    Database triggers write it, because cascades delete rows too. Outlives its user.
    """

    __tablename__ = "vendor_cleanups"

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    kind: Mapped[str] = mapped_column(String(20), doc="`revoke`, `unsubscribe` or `end_hint`.")
    user_id: Mapped[int | None] = mapped_column(Integer, doc="Whose it was; the account may be deleted.")
    service_id: Mapped[int] = mapped_column(Integer, _key("services"))
    connection_id: Mapped[int] = mapped_column(Integer, server_default=ZERO, doc="0 for the default connection.")
    account_id: Mapped[str | None] = mapped_column(String(255), doc="The vendor's ID of the account.")
    oauth_token: Mapped[str | None] = mapped_column(Text, doc="Encrypted, as in the deleted row.")
    refresh_token: Mapped[str | None] = mapped_column(Text, doc="Encrypted, as in the deleted row.")
    token_expires_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    component_id: Mapped[int | None] = mapped_column(Integer, _key("components"))
    source_id: Mapped[int | None] = mapped_column(Integer, doc="The deleted source.")
    source_key: Mapped[str | None] = mapped_column(String(64))
    params: Mapped[Any | None] = mapped_column(JSONB)
    state: Mapped[Any | None] = mapped_column(JSONB)
    subscription: Mapped[str | None] = mapped_column(Text, doc="The vendor's ID.")
    server: Mapped[str | None] = mapped_column(Text, doc="Of a hint: the URL or topic given to the vendor.")
    token: Mapped[str | None] = mapped_column(Text, doc="Of a hint, encrypted.")
    secret: Mapped[str | None] = mapped_column(Text, doc="Of a hint, encrypted.")
    created_at: Mapped[datetime] = mapped_column(AWARE, server_default=NOW)
    next_attempt_at: Mapped[datetime] = mapped_column(AWARE, server_default=NOW, index=True)
    attempts: Mapped[int] = mapped_column(Integer, server_default=ZERO)
    lease_until: Mapped[datetime | None] = mapped_column(AWARE, doc="While a worker does it.")
    last_error: Mapped[str | None] = mapped_column(Text)


class Trigger(Base):
    """How an AREA gets its events: its source, or its webhook URL."""

    __tablename__ = "triggers"

    area_id: Mapped[int] = mapped_column(Integer, _key("areas", cascade=True), primary_key=True)
    source_id: Mapped[int | None] = mapped_column(Integer, ForeignKey("sources.id", ondelete="SET NULL"), index=True)
    baseline: Mapped[bool] = mapped_column(
        Boolean, server_default=TRUE, doc="The next poll is the baseline and triggers nothing."
    )
    token_hash: Mapped[str | None] = mapped_column(String(64), unique=True, doc="Of the token in the webhook URL.")
    token: Mapped[str | None] = mapped_column(Text, doc="Encrypted.")
    secret: Mapped[str | None] = mapped_column(Text, doc="For signatures, encrypted.")
    since: Mapped[datetime] = mapped_column(AWARE, server_default=NOW, doc="Events before this don't trigger the AREA.")
    when_off: Mapped[str] = mapped_column(
        String(10),
        server_default=text("'retry'"),
        doc="What happens to webhooks while the AREA is off: `retry` or `skip`.",
    )


class AreaLink(Base):
    """An AREA that runs after another one: a link of a chain. Its parameters say the same; here it can be found by what
    it follows.
    """

    __tablename__ = "area_links"

    area_id: Mapped[int] = mapped_column(Integer, _key("areas", cascade=True), primary_key=True)
    follows: Mapped[int] = mapped_column(Integer, _key("areas", cascade=True), primary_key=True, index=True)
    when: Mapped[str] = mapped_column(String(10), doc="`success`, `failed`, `skipped`, `any` or `otherwise`.")
    for_each: Mapped[str | None] = mapped_column(Text, doc="Path of the list that it runs for each item of.")
    position: Mapped[int] = mapped_column(Integer, server_default=ZERO, doc="Among those that follow the same AREA.")
    broken: Mapped[Any | None] = mapped_column(
        JSONB, doc="Why it can't run since an AREA before it changed: the key and the values of the sentence."
    )


class ExecutionLink(Base):
    """The place in its run of an execution that another one led to. The first of a run has no row."""

    __tablename__ = "execution_links"
    __table_args__ = (Index("ix_execution_links_root_execution_id", "root", "execution_id"),)

    execution_id: Mapped[int] = mapped_column(
        BigInteger, ForeignKey("area_executions.id", ondelete="CASCADE"), primary_key=True
    )
    parent: Mapped[int] = mapped_column(BigInteger, index=True, doc="The execution that it follows.")
    root: Mapped[int] = mapped_column(BigInteger, doc="The first execution of the run, whose ID is the run's.")
    index: Mapped[int | None] = mapped_column(Integer, doc="The item's place in its list, with `for_each`.")


class RunAnswer(Base):
    """What a run answers the request that started it: the first that one of its reactions gave."""

    __tablename__ = "run_answers"

    root: Mapped[int] = mapped_column(
        BigInteger, ForeignKey("area_executions.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    execution_id: Mapped[int] = mapped_column(BigInteger, doc="The execution that gave it.")
    reply: Mapped[dict[str, Any]] = mapped_column(JSONB, doc="Status, content type, headers and body.")


class ExecutionJob(Base):
    """The queue job of an execution that waits on its own."""

    __tablename__ = "execution_jobs"
    __table_args__ = {"postgresql_with": {"fillfactor": "70"}}  # noqa: RUF012 - as SQLAlchemy wants it

    execution_id: Mapped[int] = mapped_column(
        BigInteger, ForeignKey("area_executions.id", ondelete="CASCADE"), primary_key=True
    )
    job_id: Mapped[int] = mapped_column(BigInteger, index=True, doc="`pgqueuer.id`.")
    reason: Mapped[str] = mapped_column(
        String(20),
        doc="`run`, `replay`, `chain`, `delay`, `connection`, `parked`, `retry`, `crowded` or `handed_back`.",
    )
    due_at: Mapped[datetime] = mapped_column(AWARE)


class ExecutionRecord(Base):
    """What AREA records of an execution besides `area_executions`. A success without a row had one attempt, with
    version 1.
    """

    __tablename__ = "execution_records"
    __table_args__ = (
        Index("ix_execution_records_replay_of", "replay_of", postgresql_where=text("replay_of is not null")),
        {"postgresql_with": {"fillfactor": "70"}},
    )

    execution_id: Mapped[int] = mapped_column(
        BigInteger, ForeignKey("area_executions.id", ondelete="CASCADE"), primary_key=True
    )
    version: Mapped[int | None] = mapped_column(Integer, doc="`area_versions.version` that it ran with.")
    as_it_was: Mapped[bool] = mapped_column(
        Boolean, server_default=FALSE, doc="A replay with that version instead of the current one."
    )
    forced: Mapped[bool] = mapped_column(Boolean, server_default=FALSE, doc="Runs even if the AREA is off.")
    replay_of: Mapped[int | None] = mapped_column(BigInteger)
    alone: Mapped[bool] = mapped_column(
        Boolean, server_default=FALSE, doc="A replay after which the AREAs that follow don't run."
    )
    chain: Mapped[Any] = mapped_column(JSONB, server_default=text("'[]'"), doc="IDs of the AREAs that led here.")
    parameters: Mapped[str | None] = mapped_column(Text, doc="Parameters of this run, encrypted JSON.")
    attempts: Mapped[Any] = mapped_column(JSONB, server_default=text("'[]'"), doc="Each with `at`, `ms` and `error`.")
    state: Mapped[Any] = mapped_column(JSONB, server_default=text("'{}'"), doc="What one attempt left for the next.")
    said: Mapped[Any | None] = mapped_column(JSONB, doc="The key and the values of `error_message`, for translation.")


class Notice(Base):
    """A message in a user's inbox, from AREA or from `inbox.post`."""

    __tablename__ = "notices"
    __table_args__ = (
        Index("ix_notices_user_id_id", "user_id", text("id desc")),
        UniqueConstraint("user_id", "key"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    user_id: Mapped[int] = mapped_column(Integer, _key("users", cascade=True))
    level: Mapped[str] = mapped_column(String(10), doc="`info`, `success`, `warning` or `error`.")
    title: Mapped[str] = mapped_column(String(255))
    body: Mapped[str] = mapped_column(Text)
    key: Mapped[str | None] = mapped_column(String(255), doc="A second notice with the same key is not added.")
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
    user_id: Mapped[int | None] = mapped_column(
        Integer, ForeignKey("users.id", ondelete="SET NULL"), index=True, doc="Who did it."
    )
    action: Mapped[str] = mapped_column(String(100))
    subject: Mapped[str] = mapped_column(String(255), doc="What it was done to.")
    detail: Mapped[Any | None] = mapped_column(JSONB)
    address: Mapped[str | None] = mapped_column(String(64), doc="Network address.")


class Draft(Base):
    """Unsaved input of the editor."""

    __tablename__ = "drafts"

    user_id: Mapped[int] = mapped_column(Integer, _key("users", cascade=True), primary_key=True)
    key: Mapped[str] = mapped_column(
        String(100), primary_key=True, doc="A new AREA, a copy, or the ID of a saved AREA."
    )
    content: Mapped[Any] = mapped_column(JSONB)
    updated_at: Mapped[datetime] = mapped_column(AWARE, server_default=NOW)


class OutgoingMail(Base):
    """An e-mail from AREA. Its text is created when it is sent."""

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
    kind: Mapped[str] = mapped_column(String(20), doc="What the mail is for (`mail.Kind`).")
    recipient: Mapped[str] = mapped_column(String(255))
    notice_id: Mapped[int | None] = mapped_column(BigInteger, ForeignKey("notices.id", ondelete="CASCADE"), index=True)
    registration_id: Mapped[int | None] = mapped_column(
        BigInteger, ForeignKey("pending_registrations.id", ondelete="SET NULL"), index=True
    )
    share: Mapped[str] = mapped_column(String(64), doc="Who takes turns: a user, or the network that sent the request.")
    source: Mapped[str | None] = mapped_column(String(64), doc="The network that sent the request.")
    created_at: Mapped[datetime] = mapped_column(AWARE, server_default=NOW)
    next_attempt_at: Mapped[datetime] = mapped_column(AWARE, server_default=NOW)
    attempts: Mapped[int] = mapped_column(Integer, server_default=ZERO)
    attempted_at: Mapped[datetime | None] = mapped_column(AWARE)
    lease_until: Mapped[datetime | None] = mapped_column(AWARE, doc="While a worker sends it.")
    repeated: Mapped[bool] = mapped_column(
        Boolean, server_default=FALSE, doc="Sent again after a worker died; happens once."
    )
    sent_at: Mapped[datetime | None] = mapped_column(AWARE)
    given_up_at: Mapped[datetime | None] = mapped_column(AWARE)
    last_error: Mapped[str | None] = mapped_column(Text)


class PendingRegistration(Base):
    """A registration whose address is not confirmed yet."""

    __tablename__ = "pending_registrations"

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    email: Mapped[str] = mapped_column(String(255), index=True)
    username: Mapped[str] = mapped_column(String(100))
    password_hash: Mapped[str] = mapped_column(String(255))
    language: Mapped[str] = mapped_column(String(10), doc="Of the mail.")
    token_hash: Mapped[str | None] = mapped_column(String(64), unique=True, doc="Of the link, once it was sent.")
    created_at: Mapped[datetime] = mapped_column(AWARE, server_default=NOW)
    expires_at: Mapped[datetime] = mapped_column(AWARE, index=True)


class ConfirmedEmail(Base):
    """An address that its user confirmed. Ignored if `users.email` has changed since."""

    __tablename__ = "confirmed_emails"

    user_id: Mapped[int] = mapped_column(Integer, _key("users", cascade=True), primary_key=True)
    email: Mapped[str] = mapped_column(String(255))
    confirmed_at: Mapped[datetime] = mapped_column(AWARE, server_default=NOW)


class EmailChange(Base):
    """A new address, until it is confirmed."""

    __tablename__ = "email_changes"

    user_id: Mapped[int] = mapped_column(Integer, _key("users", cascade=True), primary_key=True)
    email: Mapped[str] = mapped_column(String(255))
    created_at: Mapped[datetime] = mapped_column(AWARE, server_default=NOW)


class EmailLink(Base):
    """A single-use link that was e-mailed. Only the hash of its token is stored."""

    __tablename__ = "email_links"

    token_hash: Mapped[str] = mapped_column(String(64), primary_key=True)
    purpose: Mapped[str] = mapped_column(String(10), doc="What the link does (`mail.Purpose`).")
    user_id: Mapped[int] = mapped_column(Integer, _key("users", cascade=True), index=True)
    email: Mapped[str] = mapped_column(String(255))
    created_at: Mapped[datetime] = mapped_column(AWARE, server_default=NOW)
    expires_at: Mapped[datetime] = mapped_column(AWARE, index=True)
