-- Indexes: definition, validity, the CLUSTER mark, the replica identity, statistics of expressions, the parent.
select n.nspname, format('%s.%s', n.nspname, t.relname), format('%s.%s', n.nspname, c.relname),
       concat_ws(', ', pg_get_indexdef(i.indexrelid), case when not i.indisvalid then 'invalid' end,
                 case when i.indisprimary then 'primary' end, case when not i.indimmediate then 'deferrable' end,
                 case when i.indisclustered then 'clustered' end, case when i.indisreplident then 'replica identity' end,
                 (select 'statistics ' || string_agg(format('%s %s', attnum, attstattarget), ' ' order by attnum)
                    from pg_attribute where attrelid = i.indexrelid and attstattarget >= 0),
                 'part of ' || h.inhparent::regclass)
  from pg_index i
  join pg_class c on c.oid = i.indexrelid
  join pg_class t on t.oid = i.indrelid
  join pg_namespace n on n.oid = c.relnamespace
  left join pg_inherits h on h.inhrelid = i.indexrelid
 where t.relkind in ('r', 'p', 'm')
   and not exists (select from pg_depend d where d.classid = 'pg_class'::regclass and d.objid = t.oid and d.deptype = 'e')
