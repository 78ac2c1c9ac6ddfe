"""What AREA records of an execution besides the columns of `area_executions` gets a table of its own.

Each direction is two statements over the whole log, in one transaction, so an interrupted migration changes nothing. A
worker of an older version would keep writing to the old place, so none may run meanwhile (`schema.ALONE`).
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

# a success that has nothing but the AREA's first version needs no record; parameters are encrypted at the next start
MOVE = """
insert into execution_records
    (execution_id, version, as_it_was, forced, replay_of, chain, parameters, attempts, state)
select id, (old->>'version')::int, coalesce(j.reason = 'replay' and status in ('pending', 'running'), false),
       coalesce((old->>'forced')::bool, false), (old->>'replay_of')::bigint, coalesce(old->'chain', '[]'),
       coalesce(old->>'sealed_parameters', (old->'parameters')::text),
       case when status = 'success' and jsonb_array_length(coalesce(old->'attempts', '[]')) > 0
            then old->'attempts' || jsonb_build_object(
                'at', to_char(started_at, 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), 'error', null, 'ms', execution_time_ms,
                'interrupted', false)
            else coalesce(old->'attempts', '[]') end,
       coalesce(old->'state', '{}')
from (select id, status, started_at, execution_time_ms, execution_result - 'result' - 'left' as old from area_executions
      where jsonb_typeof(execution_result) = 'object') e
left join execution_jobs j on j.execution_id = e.id
where old <> '{}' and not (status = 'success' and old = '{"version": 1}')
"""
# what was attempted several times began with the first of them
CLEAR = """
update area_executions e set execution_result = e.execution_result->'result', started_at = o.started,
    execution_time_ms = case when o.started < e.started_at and e.completed_at is not null
        then round(extract(epoch from e.completed_at - o.started) * 1000) else e.execution_time_ms end
from (select id, least(started_at, (execution_result->'attempts'->0->>'at')::timestamptz at time zone 'utc') as started
      from area_executions where jsonb_typeof(execution_result) = 'object') o
where o.id = e.id
"""

MOVE_BACK = """
update area_executions e set execution_result = nullif(
        case when e.execution_result is null then '{}' else jsonb_build_object('result', e.execution_result) end || o.old, '{}'),
    started_at = coalesce(o.started, e.started_at), execution_time_ms = coalesce(o.ms, e.execution_time_ms)
from (select x.id,
        case when coalesce(r.version, case when x.status = 'success' and r.execution_id is null then 1 end) is null then '{}'
             else jsonb_build_object('version', coalesce(r.version, 1)) end
        || case when r.forced then '{"forced": true}'::jsonb else '{}' end
        || case when r.replay_of is null then '{}' else jsonb_build_object('replay_of', r.replay_of) end
        || case when coalesce(r.chain, '[]') = '[]' then '{}' else jsonb_build_object('chain', r.chain) end
        || case when r.parameters is null then '{}'
                when starts_with(r.parameters, '{') then jsonb_build_object('parameters', r.parameters::jsonb)
                else jsonb_build_object('sealed_parameters', r.parameters) end
        || case when coalesce(r.attempts, '[]') = '[]' then '{}'
                when x.status = 'success' then jsonb_build_object('attempts', r.attempts - -1)
                else jsonb_build_object('attempts', r.attempts) end
        || case when coalesce(r.state, '{}') = '{}' then '{}' else jsonb_build_object('state', r.state) end
        || case when j.execution_id is not null and x.status in ('pending', 'running') then '{"left": true}'::jsonb
                else '{}' end as old,
        case when x.completed_at is not null then (r.attempts->-1->>'at')::timestamptz at time zone 'utc' end as started,
        case when x.completed_at is not null then (r.attempts->-1->>'ms')::bigint end as ms
      from area_executions x left join execution_records r on r.execution_id = x.id
      left join execution_jobs j on j.execution_id = x.id
      where x.execution_result is not null or r.execution_id is not null or x.status = 'success' or j.execution_id is not null) o
where o.id = e.id
"""
REPLAYS = """
update execution_jobs j set reason = 'replay' from execution_records r, area_executions e
where r.execution_id = j.execution_id and e.id = j.execution_id and r.as_it_was and e.status in ('pending', 'running')
"""


def upgrade() -> None:
    op.create_table(
        "execution_records",
        sa.Column("execution_id", sa.BigInteger(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=True),
        sa.Column("as_it_was", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("forced", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("replay_of", sa.BigInteger(), nullable=True),
        sa.Column("chain", JSONB(), server_default=sa.text("'[]'"), nullable=False),
        sa.Column("parameters", sa.Text(), nullable=True),
        sa.Column("attempts", JSONB(), server_default=sa.text("'[]'"), nullable=False),
        sa.Column("state", JSONB(), server_default=sa.text("'{}'"), nullable=False),
        postgresql_with={"fillfactor": "70"},
    )
    op.execute("lock table area_executions in share row exclusive mode")
    op.execute(MOVE)
    op.execute(CLEAR)
    op.execute("delete from meta where key = 'sealed'")  # the next start encrypts the parameters
    # after the rows, which are then checked by one join
    op.create_primary_key("pk_execution_records", "execution_records", ["execution_id"])
    op.create_foreign_key(
        "fk_execution_records_execution_id",
        "execution_records",
        "area_executions",
        ["execution_id"],
        ["id"],
        ondelete="CASCADE",
    )
    op.create_index(
        "ix_execution_records_replay_of",
        "execution_records",
        ["replay_of"],
        postgresql_where=sa.text("replay_of is not null"),
    )


def downgrade() -> None:
    op.execute("lock table area_executions in share row exclusive mode")
    op.execute(MOVE_BACK)
    op.execute(REPLAYS)
    op.drop_table("execution_records")
