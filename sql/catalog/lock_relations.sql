-- The statements that lock these relations ($1, oids) against everybody: views first, as a reader locks them, since a wait in the other
-- order could end as a deadlock. LOCK TABLE takes no materialized view, and with a view it takes all that the view reads:
-- what belongs to strangers cannot be changed anyway;
-- giving a relation to its owner locks just this one, and changes nothing.
select case when c.relkind in ('r', 'p') then format('lock table only %I.%I in access exclusive mode', n.nspname, c.relname)
            else format('alter table %I.%I owner to %I', n.nspname, c.relname, pg_get_userbyid(c.relowner)) end
from pg_class c
join pg_namespace n on n.oid = c.relnamespace
where c.oid = any ($1::bigint[]::oid[]) and pg_has_role(c.relowner, 'USAGE')
order by c.relkind in ('r', 'p'), c.oid
