-- Reads the definitions of the views among these relations ($1, oids): what the server then knows of them, it need not look up while
-- others wait for us.
select count(pg_get_viewdef(c.oid)) from pg_class c where c.oid = any ($1::bigint[]::oid[]) and c.relkind in ('v', 'm')
