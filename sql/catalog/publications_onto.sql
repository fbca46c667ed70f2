-- The publications that name a relation among $1 (oids) or a whole schema among $2 (names): the statement that names everything
-- they name once more, so that they hold what has these names then. Run with an empty search_path.
select format('publication %I', p.pubname) as label,
       -- Who sets tables must own them; only a superuser sets schemas.
       r.rolsuper or s.list is null and t.mine and pg_has_role(p.pubowner, 'USAGE') as may_alter,
       format('ALTER PUBLICATION %I SET %s', p.pubname, concat_ws(', ', 'TABLE ' || t.list, 'TABLES IN SCHEMA ' || s.list)) as statement
from pg_publication p
join pg_roles r on r.rolname = current_user
cross join lateral (
    select string_agg(
               format('ONLY %I.%I', n.nspname, c.relname)
               || coalesce(' (' || (
                      select string_agg(quote_ident(a.attname), ', ' order by u.number)
                      from unnest(x.prattrs::int2[]) with ordinality u (attnum, number)
                      join pg_attribute a on (a.attrelid, a.attnum) = (x.prrelid, u.attnum)) || ')', '')
               || coalesce(' WHERE (' || pg_get_expr(x.prqual, x.prrelid) || ')', ''), ', ' order by n.nspname, c.relname) as list,
           bool_and(pg_has_role(c.relowner, 'USAGE')) as mine, bool_or(x.prrelid = any ($1::bigint[]::oid[])) as is_one
    from pg_publication_rel x join pg_class c on c.oid = x.prrelid join pg_namespace n on n.oid = c.relnamespace
    where x.prpubid = p.oid
) t
cross join lateral (
    select string_agg(quote_ident(n.nspname), ', ' order by n.nspname) as list, bool_or(n.nspname = any ($2)) as is_one
    from pg_publication_namespace x join pg_namespace n on n.oid = x.pnnspid
    where x.pnpubid = p.oid
) s
where not p.puballtables and (t.is_one or s.is_one)
order by p.pubname
