"""The seed's ten tables and ours, and PgQueuer's beside them."""

from typing import Any
from uuid import uuid4

import sqlalchemy as sa
from alembic import op
from pgqueuer.adapters.persistence.qb import QueryBuilderEnvironment
from sqlalchemy.dialects.postgresql import JSONB

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

AWARE = sa.DateTime(timezone=True)
NAIVE = sa.DateTime()
NOW = sa.text("now()")

# A queue's rows live for milliseconds: left to the defaults, their remains would outgrow the table by far.
AUTOVACUUM = """
alter table pgqueuer set (
    fillfactor = 70, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 1000,
    autovacuum_analyze_scale_factor = 0.02, autovacuum_analyze_threshold = 500,
    autovacuum_vacuum_cost_limit = 10000, autovacuum_vacuum_cost_delay = 0
);
alter table pgqueuer_log set (
    autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 5000,
    autovacuum_vacuum_insert_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.05,
    autovacuum_vacuum_cost_limit = 10000, autovacuum_vacuum_cost_delay = 0
);
alter table area_executions set (autovacuum_vacuum_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.05);
alter table hook_states set (autovacuum_vacuum_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.05);
"""


def upgrade() -> None:
    op.create_table(
        "login_attempts",
        sa.Column("id", sa.BigInteger(), sa.Identity(), nullable=False),
        sa.Column("login", sa.String(255), nullable=False),
        sa.Column("address", sa.String(64), nullable=False),
        sa.Column("at", AWARE, server_default=NOW, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_login_attempts"),
    )
    op.create_index("ix_login_attempts_address_at", "login_attempts", ["address", "at"])
    op.create_index("ix_login_attempts_login_at", "login_attempts", ["login", "at"])
    op.create_table(
        "meta",
        sa.Column("key", sa.String(100), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_meta"),
    )
    op.create_table(
        "services",
        sa.Column("id", sa.Integer(), sa.Identity(), nullable=False),
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("description", sa.Text()),
        sa.Column("icon_path", sa.Text()),
        sa.Column("requires_auth", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("is_active", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_services"),
        sa.UniqueConstraint("name", name="uq_services_name"),
    )
    op.create_table(
        "switched_off",
        sa.Column("kind", sa.String(10), nullable=False),
        sa.Column("row_id", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("kind", "row_id", name="pk_switched_off"),
    )
    op.create_table(
        "users",
        sa.Column("id", sa.Integer(), sa.Identity(), nullable=False),
        sa.Column("email", sa.String(255), nullable=False),
        sa.Column("username", sa.String(100), nullable=False),
        sa.Column("password_hash", sa.String(255)),
        sa.Column("icon_path", sa.Text()),
        sa.Column("is_admin", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("is_active", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("created_at", AWARE, server_default=NOW, nullable=False),
        sa.Column("updated_at", AWARE, server_default=NOW, nullable=False),
        sa.Column("last_connection_at", AWARE),
        sa.PrimaryKeyConstraint("id", name="pk_users"),
        sa.UniqueConstraint("email", name="uq_users_email"),
        sa.UniqueConstraint("username", name="uq_users_username"),
    )
    op.create_table(
        "access_tokens",
        sa.Column("id", sa.BigInteger(), sa.Identity(), nullable=False),
        sa.Column("user_id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(10), nullable=False),
        sa.Column("token_hash", sa.String(64), nullable=False),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("address", sa.String(64)),
        sa.Column("created_at", AWARE, server_default=NOW, nullable=False),
        sa.Column("last_used_at", AWARE),
        sa.Column("expires_at", AWARE),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], "fk_access_tokens_user_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name="pk_access_tokens"),
        sa.UniqueConstraint("token_hash", name="uq_access_tokens_token_hash"),
    )
    op.create_index("ix_access_tokens_user_id", "access_tokens", ["user_id"])
    op.create_table(
        "audit",
        sa.Column("id", sa.BigInteger(), sa.Identity(), nullable=False),
        sa.Column("at", AWARE, server_default=NOW, nullable=False),
        sa.Column("user_id", sa.Integer()),
        sa.Column("action", sa.String(100), nullable=False),
        sa.Column("subject", sa.String(255), nullable=False),
        sa.Column("detail", JSONB()),
        sa.Column("address", sa.String(64)),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], "fk_audit_user_id", ondelete="SET NULL"),
        sa.PrimaryKeyConstraint("id", name="pk_audit"),
    )
    op.create_index("ix_audit_user_id", "audit", ["user_id"])
    op.create_table(
        "components",
        sa.Column("id", sa.Integer(), sa.Identity(), nullable=False),
        sa.Column("service_id", sa.Integer(), nullable=False),
        sa.Column("type", sa.Enum("action", "reaction", name="component_type"), nullable=False),
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("description", sa.Text()),
        sa.Column("is_active", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("webhook_endpoint", sa.String(255)),
        sa.Column("polling_interval", sa.Integer()),
        sa.ForeignKeyConstraint(["service_id"], ["services.id"], "fk_components_service_id", ondelete="RESTRICT"),
        sa.PrimaryKeyConstraint("id", name="pk_components"),
        sa.UniqueConstraint("service_id", "type", "name", name="uq_components_service_id_type_name"),
    )
    op.create_table(
        "connection_states",
        sa.Column("user_id", sa.Integer(), nullable=False),
        sa.Column("service_id", sa.Integer(), nullable=False),
        sa.Column("status", sa.String(20), server_default=sa.text("'works'"), nullable=False),
        sa.Column("parked_until", AWARE),
        sa.Column("last_error", sa.Text()),
        sa.Column("checked_at", AWARE),
        sa.ForeignKeyConstraint(
            ["service_id"], ["services.id"], "fk_connection_states_service_id", ondelete="RESTRICT"
        ),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], "fk_connection_states_user_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("user_id", "service_id", name="pk_connection_states"),
    )
    op.create_table(
        "invitations",
        sa.Column("token_hash", sa.String(64), nullable=False),
        sa.Column("created_by", sa.Integer()),
        sa.Column("created_at", AWARE, server_default=NOW, nullable=False),
        sa.Column("expires_at", AWARE, nullable=False),
        sa.Column("used_at", AWARE),
        sa.ForeignKeyConstraint(["created_by"], ["users.id"], "fk_invitations_created_by", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("token_hash", name="pk_invitations"),
    )
    op.create_table(
        "user_oauth2_accounts",
        sa.Column("service_id", sa.Integer(), nullable=False),
        sa.Column("service_account_id", sa.String(255), nullable=False),
        sa.Column("user_id", sa.Integer(), nullable=False),
        sa.Column("email", sa.String(255)),
        sa.Column("created_at", AWARE, server_default=NOW, nullable=False),
        sa.ForeignKeyConstraint(
            ["service_id"], ["services.id"], "fk_user_oauth2_accounts_service_id", ondelete="RESTRICT"
        ),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], "fk_user_oauth2_accounts_user_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("service_id", "service_account_id", name="pk_user_oauth2_accounts"),
    )
    op.create_index("ix_user_oauth2_accounts_user_id", "user_oauth2_accounts", ["user_id"])
    op.create_table(
        "user_services",
        sa.Column("user_id", sa.Integer(), nullable=False),
        sa.Column("service_id", sa.Integer(), nullable=False),
        sa.Column("oauth_token", sa.Text()),
        sa.Column("refresh_token", sa.Text()),
        sa.Column("token_expires_at", NAIVE),
        sa.Column("created_at", AWARE, server_default=NOW, nullable=False),
        sa.Column("updated_at", AWARE, server_default=NOW, nullable=False),
        sa.ForeignKeyConstraint(["service_id"], ["services.id"], "fk_user_services_service_id", ondelete="RESTRICT"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], "fk_user_services_user_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("user_id", "service_id", name="pk_user_services"),
    )
    op.create_table(
        "user_settings",
        sa.Column("user_id", sa.Integer(), nullable=False),
        sa.Column("timezone", sa.String(64), server_default=sa.text("'UTC'"), nullable=False),
        sa.Column("language", sa.String(10)),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], "fk_user_settings_user_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("user_id", name="pk_user_settings"),
    )
    op.create_table(
        "areas",
        sa.Column("id", sa.Integer(), sa.Identity(), nullable=False),
        sa.Column("user_id", sa.Integer(), nullable=False),
        sa.Column("component_action_id", sa.Integer(), nullable=False),
        sa.Column("component_reaction_id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("description", sa.Text()),
        sa.Column("is_active", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("created_at", AWARE, server_default=NOW, nullable=False),
        sa.Column("updated_at", AWARE, server_default=NOW, nullable=False),
        sa.Column("last_triggered_at", NAIVE),
        sa.Column("triggered_count", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.ForeignKeyConstraint(
            ["component_action_id"], ["components.id"], "fk_areas_component_action_id", ondelete="RESTRICT"
        ),
        sa.ForeignKeyConstraint(
            ["component_reaction_id"], ["components.id"], "fk_areas_component_reaction_id", ondelete="RESTRICT"
        ),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], "fk_areas_user_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name="pk_areas"),
        postgresql_with={"fillfactor": "50"},
    )
    op.create_index("ix_areas_component_action_id", "areas", ["component_action_id"])
    op.create_index("ix_areas_component_reaction_id", "areas", ["component_reaction_id"])
    op.create_index("ix_areas_user_id", "areas", ["user_id"])
    op.create_table(
        "sources",
        sa.Column("id", sa.Integer(), sa.Identity(), nullable=False),
        sa.Column("key", sa.String(64), nullable=False),
        sa.Column("component_id", sa.Integer(), nullable=False),
        sa.Column("user_id", sa.Integer()),
        sa.Column("params", JSONB(), nullable=False),
        sa.Column("state", JSONB(), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("seen", JSONB()),
        sa.Column("due_at", AWARE),
        sa.Column("planned_at", AWARE),
        sa.Column("lease_owner", sa.String(64)),
        sa.Column("lease_until", AWARE),
        sa.Column("checked_at", AWARE),
        sa.Column("failures", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("failing_since", AWARE),
        sa.Column("last_error", sa.Text()),
        sa.Column("noticed_at", AWARE),
        sa.Column("created_at", AWARE, server_default=NOW, nullable=False),
        sa.ForeignKeyConstraint(["component_id"], ["components.id"], "fk_sources_component_id", ondelete="RESTRICT"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], "fk_sources_user_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name="pk_sources"),
        sa.UniqueConstraint("key", name="uq_sources_key"),
    )
    op.create_index("ix_sources_component_id", "sources", ["component_id"])
    op.create_index("ix_sources_due_at", "sources", ["due_at"], postgresql_where=sa.text("due_at is not null"))
    op.create_index("ix_sources_user_id", "sources", ["user_id"])
    op.create_table(
        "variables",
        sa.Column("id", sa.Integer(), sa.Identity(), nullable=False),
        sa.Column("component_id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("description", sa.Text()),
        sa.Column("kind", sa.Enum("parameter", "return_value", name="variable_kind"), nullable=False),
        sa.Column(
            "type",
            sa.Enum("string", "number", "boolean", "date", "email", "url", "json", name="variable_type"),
            nullable=False,
        ),
        sa.Column("nullable", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("placeholder", sa.Text()),
        sa.Column("validation_regex", sa.Text()),
        sa.Column("display_order", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.ForeignKeyConstraint(["component_id"], ["components.id"], "fk_variables_component_id", ondelete="RESTRICT"),
        sa.PrimaryKeyConstraint("id", name="pk_variables"),
        sa.UniqueConstraint("component_id", "kind", "name", name="uq_variables_component_id_kind_name"),
    )
    op.create_table(
        "area_executions",
        sa.Column("id", sa.BigInteger(), sa.Identity(), nullable=False),
        sa.Column("area_id", sa.Integer(), nullable=False),
        sa.Column("status", sa.String(20), server_default=sa.text("'pending'"), nullable=False),
        sa.Column("trigger_data", JSONB()),
        sa.Column("execution_result", JSONB()),
        sa.Column("error_message", sa.Text()),
        sa.Column("started_at", NAIVE, server_default=sa.text("timezone('utc', now())"), nullable=False),
        sa.Column("completed_at", NAIVE),
        sa.Column("execution_time_ms", sa.BigInteger()),
        sa.Column("created_at", AWARE, server_default=NOW, nullable=False),
        sa.Column("updated_at", AWARE, server_default=NOW, nullable=False),
        sa.CheckConstraint(
            "status in ('pending', 'running', 'success', 'failed', 'cancelled', 'skipped')",
            name=op.f("ck_area_executions_known_status"),
        ),
        sa.ForeignKeyConstraint(["area_id"], ["areas.id"], "fk_area_executions_area_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name="pk_area_executions"),
        postgresql_with={"fillfactor": "70"},
    )
    op.create_index("ix_area_executions_area_id_id", "area_executions", ["area_id", sa.text("id desc")])
    op.create_index("ix_area_executions_created_at", "area_executions", ["created_at"], postgresql_using="brin")
    op.create_table(
        "area_health",
        sa.Column("area_id", sa.Integer(), nullable=False),
        sa.Column("failures", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("switched_off_at", AWARE),
        sa.Column("reason", sa.Text()),
        sa.ForeignKeyConstraint(["area_id"], ["areas.id"], "fk_area_health_area_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("area_id", name="pk_area_health"),
    )
    op.create_index("ix_area_health_switched_off_at", "area_health", ["switched_off_at"])
    op.create_table(
        "area_parameters",
        sa.Column("area_id", sa.Integer(), nullable=False),
        sa.Column("variable_id", sa.Integer(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["area_id"], ["areas.id"], "fk_area_parameters_area_id", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(
            ["variable_id"], ["variables.id"], "fk_area_parameters_variable_id", ondelete="RESTRICT"
        ),
        sa.PrimaryKeyConstraint("area_id", "variable_id", name="pk_area_parameters"),
    )
    op.create_table(
        "area_versions",
        sa.Column("area_id", sa.Integer(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("config", JSONB(), nullable=False),
        sa.Column("created_at", AWARE, server_default=NOW, nullable=False),
        sa.ForeignKeyConstraint(["area_id"], ["areas.id"], "fk_area_versions_area_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("area_id", "version", name="pk_area_versions"),
    )
    op.create_table(
        "hook_states",
        sa.Column("area_id", sa.Integer(), nullable=False),
        sa.Column("state_key", sa.String(255), nullable=False),
        sa.Column("state_value", sa.Text()),
        sa.Column("last_checked_at", AWARE),
        sa.Column("created_at", AWARE, server_default=NOW, nullable=False),
        sa.Column("updated_at", AWARE, server_default=NOW, nullable=False),
        sa.ForeignKeyConstraint(["area_id"], ["areas.id"], "fk_hook_states_area_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("area_id", "state_key", name="pk_hook_states"),
    )
    op.create_table(
        "notices",
        sa.Column("id", sa.BigInteger(), sa.Identity(), nullable=False),
        sa.Column("user_id", sa.Integer(), nullable=False),
        sa.Column("level", sa.String(10), nullable=False),
        sa.Column("title", sa.String(255), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("key", sa.String(255)),
        sa.Column("area_id", sa.Integer()),
        sa.Column("created_at", AWARE, server_default=NOW, nullable=False),
        sa.Column("read_at", AWARE),
        sa.Column("mailed_at", AWARE),
        sa.ForeignKeyConstraint(["area_id"], ["areas.id"], "fk_notices_area_id", ondelete="SET NULL"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], "fk_notices_user_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name="pk_notices"),
        sa.UniqueConstraint("user_id", "key", name="uq_notices_user_id_key"),
    )
    op.create_index("ix_notices_area_id", "notices", ["area_id"])
    op.create_index("ix_notices_user_id_id", "notices", ["user_id", sa.text("id desc")])
    op.create_table(
        "triggers",
        sa.Column("area_id", sa.Integer(), nullable=False),
        sa.Column("source_id", sa.Integer()),
        sa.Column("baseline", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("token_hash", sa.String(64)),
        sa.Column("token", sa.Text()),
        sa.Column("secret", sa.Text()),
        sa.Column("since", AWARE, server_default=NOW, nullable=False),
        sa.ForeignKeyConstraint(["area_id"], ["areas.id"], "fk_triggers_area_id", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["source_id"], ["sources.id"], "fk_triggers_source_id", ondelete="SET NULL"),
        sa.PrimaryKeyConstraint("area_id", name="pk_triggers"),
        sa.UniqueConstraint("token_hash", name="uq_triggers_token_hash"),
    )
    op.create_index("ix_triggers_source_id", "triggers", ["source_id"])
    op.create_table(
        "execution_jobs",
        sa.Column("execution_id", sa.BigInteger(), nullable=False),
        sa.Column("job_id", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.String(20), nullable=False),
        sa.Column("due_at", AWARE, nullable=False),
        sa.ForeignKeyConstraint(
            ["execution_id"], ["area_executions.id"], "fk_execution_jobs_execution_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("execution_id", name="pk_execution_jobs"),
        postgresql_with={"fillfactor": "70"},
    )
    op.create_index("ix_execution_jobs_job_id", "execution_jobs", ["job_id"])

    run(QueryBuilderEnvironment().build_install_query())
    run(AUTOVACUUM)
    op.execute(sa.text("insert into meta (key, value) values ('instance', :id)").bindparams(id=str(uuid4())))


def downgrade() -> None:
    run(QueryBuilderEnvironment().build_uninstall_query())
    for table in (
        "execution_jobs",
        "triggers",
        "notices",
        "hook_states",
        "area_versions",
        "area_parameters",
        "area_health",
        "area_executions",
        "variables",
        "sources",
        "areas",
        "user_settings",
        "user_services",
        "user_oauth2_accounts",
        "invitations",
        "connection_states",
        "components",
        "audit",
        "access_tokens",
        "users",
        "switched_off",
        "services",
        "meta",
        "login_attempts",
    ):
        op.drop_table(table)
    for enum in ("component_type", "variable_kind", "variable_type"):
        op.execute(f"drop type {enum}")


def run(sql: str) -> None:
    """Run several statements at once, which prepared ones can't."""
    connection: Any = op.get_bind().connection.dbapi_connection
    connection.run_async(lambda asyncpg: asyncpg.execute(sql))
