-- Foreign keys, those of partitions included; NOT VALID is part of the definition.
select n.nspname, format('%s.%s', n.nspname, t.relname), format('%s on %s', c.conname, c.conrelid::regclass),
       concat_ws(', ', pg_get_constraintdef(c.oid), case when not c.conislocal then 'inherited' end,
                 case when c.conparentid <> 0 then 'part of a parent''s' end)
  from pg_constraint c
  join pg_class t on t.oid = c.conrelid
  join pg_namespace n on n.oid = t.relnamespace
 where c.contype = 'f'
   -- A key to a partitioned table has rows of its own for each partition that it reaches, under names made up by the server.
   and (c.conparentid = 0 or c.conrelid <> (select p.conrelid from pg_constraint p where p.oid = c.conparentid))
