-- publications_onto.sql for PostgreSQL 14 and older, whose publications name whole tables only. No schema ($2) is ever named.
select format('publication %I', p.pubname) as label,
       r.rolsuper or bool_and(pg_has_role(c.relowner, 'USAGE')) and pg_has_role(p.pubowner, 'USAGE') as may_alter,
       format('ALTER PUBLICATION %I SET TABLE %s', p.pubname, string_agg(format('ONLY %I.%I', n.nspname, c.relname), ', ' order by n.nspname, c.relname)) as statement
from pg_publication p
join pg_roles r on r.rolname = current_user
join pg_publication_rel x on x.prpubid = p.oid
join pg_class c on c.oid = x.prrelid
join pg_namespace n on n.oid = c.relnamespace
where not p.puballtables
group by p.oid, p.pubname, p.pubowner, r.rolsuper
having bool_or(c.oid = any ($1::bigint[]::oid[])) or null = any ($2::text[])
order by p.pubname
