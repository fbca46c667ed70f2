-- Constraints of tables and domains but foreign keys, constraint triggers and the NOT NULL of PostgreSQL 18.
select n.nspname, case when c.conrelid <> 0 then format('%s.%s', n.nspname, t.relname) else '' end,
       format('%s on %s', c.conname, coalesce(nullif(c.conrelid, 0)::regclass::text, c.contypid::regtype::text)),
       concat_ws(', ', pg_get_constraintdef(c.oid), case when not c.convalidated then 'not validated' end,
                 case when c.condeferrable then 'deferrable' end, case when c.condeferred then 'deferred' end,
                 case when c.connoinherit and c.contype = 'c' then 'no inherit' end, case when not c.conislocal then 'inherited' end)
  from pg_constraint c
  join pg_namespace n on n.oid = c.connamespace
  left join pg_class t on t.oid = c.conrelid
 where c.contype in ('c', 'p', 'u', 'x')
   and not exists (select from pg_depend d where d.objid in (nullif(c.conrelid, 0), nullif(c.contypid, 0)) and d.deptype = 'e')
