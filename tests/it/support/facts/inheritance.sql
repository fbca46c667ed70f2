-- Who inherits from whom, partitions included, in order.
select n.nspname, format('%s.%s', n.nspname, c.relname), format('%s.%s', n.nspname, c.relname),
       string_agg(h.inhparent::regclass::text, ', ' order by h.inhseqno)
  from pg_inherits h
  join pg_class c on c.oid = h.inhrelid
  join pg_namespace n on n.oid = c.relnamespace
 where c.relkind in ('r', 'p')
 group by 1, 2, 3
