-- The foreign keys of tables that are not among $1 (oids) onto tables that are: how to take them off and put them back. What
-- follows from a partitioned table's key is left out: the table's own statement makes it. Run with an empty search_path.
select k.conrelid::bigint as relation, format('foreign key %I of %s', k.conname, t.name) as label,
       format('ALTER TABLE %s DROP CONSTRAINT %I', t.name, k.conname) as drop,
       -- A key that was never checked says so in its definition.
       format('ALTER TABLE %s ADD CONSTRAINT %I %s%s', t.name, k.conname, pg_get_constraintdef(k.oid), case when t.is_checked_later then ' NOT VALID' end) as add,
       case when t.is_checked_later then format('ALTER TABLE %s VALIDATE CONSTRAINT %I', t.name, k.conname) end as validate,
       format('COMMENT ON CONSTRAINT %I ON %s IS ', k.conname, t.name) || quote_literal(d.description) as comment
from pg_constraint k
join pg_class c on c.oid = k.conrelid
join pg_namespace n on n.oid = c.relnamespace
left join pg_description d on d.classoid = 'pg_constraint'::regclass and d.objoid = k.oid
cross join lateral (
    select format('%I.%I', n.nspname, c.relname) as name,
           -- Until PostgreSQL 18 a partitioned table cannot have one that is declared only.
           k.convalidated and (c.relkind <> 'p' or current_setting('server_version_num')::int >= 180000) as is_checked_later
) t
where k.contype = 'f' and k.conparentid = 0
  and k.confrelid = any ($1::bigint[]::oid[]) and k.conrelid <> all ($1::bigint[]::oid[])
order by t.name, k.conname
