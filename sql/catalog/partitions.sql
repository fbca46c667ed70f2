-- Each partition with the table that it is a partition of.
select n.nspname::text as schema_name, c.relname::text as table_name, pn.nspname::text as parent_schema, p.relname::text as parent_name
from pg_inherits h
join pg_class c on c.oid = h.inhrelid
join pg_namespace n on n.oid = c.relnamespace
join pg_class p on p.oid = h.inhparent
join pg_namespace pn on pn.oid = p.relnamespace
where c.relispartition and c.relkind in ('r', 'p')
order by 1, 2
