-- Sequences but where they stand, which a query for each of them adds.
select n.nspname, coalesce(format('%s.%s', tn.nspname, t.relname), ''), format('%s.%s', n.nspname, c.relname),
       concat_ws(', ', format_type(s.seqtypid, null), 'start ' || s.seqstart, 'increment ' || s.seqincrement, 'min ' || s.seqmin,
                 'max ' || s.seqmax, 'cache ' || s.seqcache, case when s.seqcycle then 'cycle' end,
                 'owned by ' || format('%s.%s.%s', tn.nspname, t.relname, a.attname), case d.deptype when 'i' then 'identity' end)
  from pg_sequence s
  join pg_class c on c.oid = s.seqrelid
  join pg_namespace n on n.oid = c.relnamespace
  left join pg_depend d on d.classid = 'pg_class'::regclass and d.objid = c.oid and d.refclassid = 'pg_class'::regclass
       and d.refobjsubid > 0 and d.deptype in ('a', 'i')
  left join pg_class t on t.oid = d.refobjid
  left join pg_namespace tn on tn.oid = t.relnamespace
  left join pg_attribute a on a.attrelid = d.refobjid and a.attnum = d.refobjsubid
