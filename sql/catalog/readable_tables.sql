-- The tables that this role may read, quoted and qualified: the ones to hold against ALTER, TRUNCATE and DROP.
select format('%I.%I', n.nspname, c.relname)
from pg_class c
join pg_namespace n on n.oid = c.relnamespace
where c.relkind in ('r', 'p') and c.relpersistence <> 't' and n.nspname not in ('information_schema', 'nightferry')
  and n.nspname !~ '^pg_' and has_schema_privilege(n.oid, 'USAGE') and has_table_privilege(c.oid, 'SELECT')
order by 1
