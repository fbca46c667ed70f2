-- Table $1.$2: its oid, what kind it is, and whether the role that asks may alter it.
select c.oid::bigint as oid, c.relkind::text as kind, pg_has_role(c.relowner, 'USAGE') as may_alter
from pg_class c
join pg_namespace n on n.oid = c.relnamespace
where n.nspname = $1 and c.relname = $2 and c.relkind in ('r', 'p')
