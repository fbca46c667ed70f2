-- Columns by name, with their place among the columns that are still there.
select n.nspname, format('%s.%s', n.nspname, c.relname), format('%s.%s.%s', n.nspname, c.relname, a.attname),
       concat_ws(', ', 'place ' || row_number() over (partition by c.oid order by a.attnum), format_type(a.atttypid, a.atttypmod),
                 case when a.attnotnull then 'not null' end, 'default ' || pg_get_expr(d.adbin, d.adrelid),
                 'generated ' || nullif(a.attgenerated::text, ''),
                 -- Since PostgreSQL 17 partitions inherit the identity; how deep depends on the order of attaching, for pg_restore too.
                 case when not c.relispartition then 'identity ' || nullif(a.attidentity::text, '') end,
                 'collation ' || nullif(a.attcollation, 0)::regcollation, 'storage ' || a.attstorage::text,
                 'compression ' || nullif(a.attcompression::text, ''), 'statistics ' || nullif(a.attstattarget, -1),
                 -- Recent minor versions of PostgreSQL keep a counter of their own among the options; pg_dump leaves it out too.
                 'options ' || (select string_agg(o, ' ' order by o) from unnest(a.attoptions) o where o not like 'pg\_attver=%'),
                 case when not a.attislocal then 'inherited' end)
  from pg_attribute a
  join pg_class c on c.oid = a.attrelid
  join pg_namespace n on n.oid = c.relnamespace
  left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
 where a.attnum > 0 and not a.attisdropped and c.relkind in ('r', 'p', 'v', 'm')
   and not exists (select from pg_depend d where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e')
