-- Enums, domains, composite types and ranges. A table's own row type is the table's business.
select n.nspname, '', format_type(t.oid, null),
       concat_ws(', ', 'kind ' || t.typtype::text,
                 (select string_agg(quote_literal(enumlabel), ' ' order by enumsortorder) from pg_enum where enumtypid = t.oid),
                 'over ' || format_type(nullif(t.typbasetype, 0), t.typtypmod), case when t.typnotnull then 'not null' end,
                 'default ' || t.typdefault, 'collation ' || nullif(t.typcollation, 0)::regcollation,
                 (select string_agg(concat_ws(' ', attname, format_type(atttypid, atttypmod), nullif(attcollation, 0)::regcollation), '; ' order by attnum)
                    from pg_attribute where attrelid = c.oid and attnum > 0 and not attisdropped),
                 'range of ' || r.rngsubtype::regtype, 'with ' || nullif(r.rngsubdiff, 0)::regproc, 'multirange ' || r.rngmultitypid::regtype)
  from pg_type t
  join pg_namespace n on n.oid = t.typnamespace
  left join pg_class c on c.oid = t.typrelid
  left join pg_range r on r.rngtypid = t.oid
 where t.typtype in ('e', 'd', 'c', 'r') and coalesce(c.relkind, 'c') = 'c'
   and not exists (select from pg_depend d where d.classid = 'pg_type'::regclass and d.objid = t.oid and d.deptype = 'e')
