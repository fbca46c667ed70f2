-- The indexes of these relations ($1, oids) that queries cannot use.
select format('%I.%I', n.nspname, i.relname)
from pg_index x
join pg_class i on i.oid = x.indexrelid
join pg_namespace n on n.oid = i.relnamespace
where x.indrelid = any ($1::bigint[]::oid[]) and not (x.indisvalid and x.indisready)
order by 1
