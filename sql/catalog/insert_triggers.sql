-- The triggers of table $1.$2 and of its partitions that writing its rows would fire, each with the table that it is switched at; of
-- tgtype bit 2 is INSERT, 3 DELETE, 4 UPDATE (catalog/pg_trigger.h). What a partition has from its table is switched with it.
with recursive family (oid) as (
    select c.oid from pg_class c join pg_namespace n on n.oid = c.relnamespace where n.nspname = $1 and c.relname = $2
    union
    select i.inhrelid from family f join pg_inherits i on i.inhparent = f.oid join pg_class c on c.oid = i.inhrelid
    where c.relispartition
)
select n.nspname::text as schema, c.relname::text as table, t.tgname::text as name, t.tgenabled = 'A' as always
from pg_trigger t
join family f on f.oid = t.tgrelid
join pg_class c on c.oid = t.tgrelid
join pg_namespace n on n.oid = c.relnamespace
where not t.tgisinternal and t.tgparentid = 0 and t.tgenabled in ('O', 'A') and (t.tgtype & 28) <> 0
order by f.oid, t.tgname
