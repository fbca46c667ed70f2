-- The grants that others have on these relations ($1, oids), as statements that give them back to whatever has the name then.
select format('GRANT %s%s ON %s%I.%I TO %s%s', a.privilege_type, coalesce('(' || quote_ident(a.attname) || ')', ''),
              case when c.relkind = 'S' then 'SEQUENCE ' else '' end, n.nspname, c.relname,
              case when a.grantee = 0 then 'PUBLIC' else format('%I', pg_get_userbyid(a.grantee)) end,
              case when a.is_grantable then ' WITH GRANT OPTION' else '' end) as statement
from pg_class c
join pg_namespace n on n.oid = c.relnamespace
cross join lateral (
    select null::name as attname, x.* from aclexplode(c.relacl) x
    union all
    select t.attname, x.* from pg_attribute t cross join lateral aclexplode(t.attacl) x where t.attrelid = c.oid and not t.attisdropped
) a
where c.oid = any ($1::bigint[]::oid[]) and a.grantee <> c.relowner
order by 1
