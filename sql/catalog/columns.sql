-- The columns of relation $1.$2 in their order. The type comes twice: as declared, and without its length, for casts
-- (-1 and not null: a cast to "character" would cut to one letter, one to "bpchar" does not).
select a.attname::text as name,
       format_type(a.atttypid, a.atttypmod) as type,
       format_type(a.atttypid, -1) as cast_type,
       a.attnotnull or (t.typtype = 'd' and t.typnotnull) as not_null,
       a.atthasdef or a.attidentity <> '' or t.typdefault is not null as has_default,
       a.attgenerated <> '' as generated,
       t.typcollation <> 0 as collatable
from pg_attribute a
join pg_class c on c.oid = a.attrelid
join pg_namespace n on n.oid = c.relnamespace
join pg_type t on t.oid = a.atttypid
where n.nspname = $1 and c.relname = $2 and a.attnum > 0 and not a.attisdropped
order by a.attnum
