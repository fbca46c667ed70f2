-- The relations, types and functions whose catalog row this transaction wrote.
select 'pg_class'::regclass::bigint as class, oid::bigint as oid from pg_class where xmin = pg_current_xact_id()::xid
union all select 'pg_type'::regclass::bigint, oid::bigint from pg_type where xmin = pg_current_xact_id()::xid
union all select 'pg_proc'::regclass::bigint, oid::bigint from pg_proc where xmin = pg_current_xact_id()::xid
