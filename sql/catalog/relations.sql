-- Everything that has a name in pg_class, outside the system's own schemas and the ledger.
select n.nspname::text as schema, c.relname::text as name, c.relkind::text as kind
from pg_class c
join pg_namespace n on n.oid = c.relnamespace
where n.nspname not like 'pg\_%' and n.nspname not in ('information_schema', 'nightferry')
order by 1, 2
