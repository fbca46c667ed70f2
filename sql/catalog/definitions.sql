-- The indexes, constraints, foreign keys and triggers of these tables and materialized views ($1, oids), each as the statements
-- that make it again. Run with an empty search_path, so that every name is qualified. What follows from a parent table's
-- foreign key or trigger is left out: the parent's statement makes it.
with relation as (
    select c.oid, n.nspname, c.relname, c.relkind, format('%I.%I', n.nspname, c.relname) as full_name
    from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where c.oid = any ($1::bigint[]::oid[])
), index_extra as (
    select x.indexrelid, array_remove(array[
               case when x.indisclustered then format('ALTER TABLE %s CLUSTER ON %I', r.full_name, i.relname) end,
               case when x.indisreplident then format('ALTER TABLE ONLY %s REPLICA IDENTITY USING INDEX %I', r.full_name, i.relname) end
           ] || array(
               select format('ALTER INDEX %I.%I ALTER COLUMN %s SET STATISTICS %s', n.nspname, i.relname, a.attnum, a.attstattarget)
               from pg_attribute a where a.attrelid = i.oid and a.attstattarget >= 0), null) as statements,
           (select format('ALTER INDEX %I.%I ATTACH PARTITION %I.%I', pn.nspname, p.relname, n.nspname, i.relname)
            from pg_inherits h join pg_class p on p.oid = h.inhparent join pg_namespace pn on pn.oid = p.relnamespace
            where h.inhrelid = i.oid) as attach
    from pg_index x
    join relation r on r.oid = x.indrelid
    join pg_class i on i.oid = x.indexrelid
    join pg_namespace n on n.oid = i.relnamespace
)
select 'INDEX' as kind, r.oid::bigint as relation, r.nspname::text as schema_name, r.relname::text as table_name, i.relname::text as name,
       array[pg_get_indexdef(x.indexrelid)] || e.statements as statements, e.attach,
       null::text as referenced_schema, null::text as referenced_table, false as declared_not_valid, r.relkind = 'p' as is_partitioned
from pg_index x
join relation r on r.oid = x.indrelid
join pg_class i on i.oid = x.indexrelid
join index_extra e on e.indexrelid = x.indexrelid
where not exists (select from pg_constraint c where c.conindid = x.indexrelid and c.conrelid = x.indrelid and c.contype in ('p', 'u', 'x'))
union all
select 'CONSTRAINT', r.oid::bigint, r.nspname::text, r.relname::text, c.conname::text,
       array[format('ALTER TABLE ONLY %s ADD CONSTRAINT %I %s', r.full_name, c.conname, pg_get_constraintdef(c.oid))] || e.statements, e.attach,
       null, null, false, r.relkind = 'p'
from pg_constraint c
join relation r on r.oid = c.conrelid
join index_extra e on e.indexrelid = c.conindid
where c.contype in ('p', 'u', 'x')
union all
-- A NOT NULL that was never checked (PostgreSQL 18) is no part of CREATE TABLE.
select 'CONSTRAINT', r.oid::bigint, r.nspname::text, r.relname::text, c.conname::text,
       array[format('ALTER TABLE %s ADD CONSTRAINT %I %s', r.full_name, c.conname, pg_get_constraintdef(c.oid))],
       null, null, null, false, r.relkind = 'p'
from pg_constraint c
join relation r on r.oid = c.conrelid
where c.contype = 'n' and not c.convalidated and c.conislocal
union all
select 'FK CONSTRAINT', r.oid::bigint, r.nspname::text, r.relname::text, c.conname::text,
       array[format('ALTER TABLE %s%s ADD CONSTRAINT %I %s', case when r.relkind = 'p' then '' else 'ONLY ' end, r.full_name, c.conname,
                    case when c.convalidated then pg_get_constraintdef(c.oid) else regexp_replace(pg_get_constraintdef(c.oid), ' NOT VALID$', '') end)],
       null, fn.nspname::text, f.relname::text, not c.convalidated, r.relkind = 'p'
from pg_constraint c
join relation r on r.oid = c.conrelid
join pg_class f on f.oid = c.confrelid
join pg_namespace fn on fn.oid = f.relnamespace
where c.contype = 'f' and c.conparentid = 0
union all
select 'TRIGGER', r.oid::bigint, r.nspname::text, r.relname::text, t.tgname::text,
       array_remove(array[pg_get_triggerdef(t.oid),
             case t.tgenabled
                 when 'D' then format('ALTER TABLE %s DISABLE TRIGGER %I', r.full_name, t.tgname)
                 when 'R' then format('ALTER TABLE %s ENABLE REPLICA TRIGGER %I', r.full_name, t.tgname)
                 when 'A' then format('ALTER TABLE %s ENABLE ALWAYS TRIGGER %I', r.full_name, t.tgname)
             end], null),
       null, null, null, false, r.relkind = 'p'
from pg_trigger t
join relation r on r.oid = t.tgrelid
where not t.tgisinternal and t.tgparentid = 0
union all
-- A partition's copy of its parent's trigger that was switched by itself.
select 'TRIGGER STATE', r.oid::bigint, r.nspname::text, r.relname::text, t.tgname::text,
       array[format('ALTER TABLE %s %s TRIGGER %I', r.full_name,
             case t.tgenabled when 'D' then 'DISABLE' when 'R' then 'ENABLE REPLICA' when 'A' then 'ENABLE ALWAYS' else 'ENABLE' end, t.tgname)],
       null, null, null, false, r.relkind = 'p'
from pg_trigger t
join relation r on r.oid = t.tgrelid
join pg_trigger p on p.oid = t.tgparentid
where not t.tgisinternal and t.tgenabled <> p.tgenabled
order by kind, schema_name, table_name, name
