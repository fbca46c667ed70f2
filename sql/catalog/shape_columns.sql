-- Behind text_only.sql. The columns of the table $1 (its oid, alone in an array) with all that tells how they changed. Ask with an
-- empty search_path: types are then written with their schemas. What a domain stands for, and what an array is of, decide whether
-- a value fits.
, columns as (
    select a.* from pg_attribute a where a.attrelid = any ($1::bigint[]::oid[]) and a.attnum > 0 and not a.attisdropped
), base (number, typ, typmod) as (
    select attnum, atttypid, atttypmod from columns
    union all
    select b.number, t.typbasetype, t.typtypmod from base b join pg_type t on t.oid = b.typ where t.typtype = 'd'
)
select a.attname::text as name,
       format_type(a.atttypid, a.atttypmod) as type,
       format_type(a.atttypid, -1) as cast_type,
       a.attnotnull or (t.typtype = 'd' and t.typnotnull) as not_null,
       a.atthasdef or a.attidentity <> '' or t.typdefault is not null as has_default,
       a.attgenerated <> '' as generated,
       t.typcollation <> 0 as collatable,
       a.attnum::int as number,
       -- What the rows have that are older than the column.
       case when a.atthasmissing then array_to_string(a.attmissingval, '') end as missing,
       t.typtype = 'd' and t.typnotnull as of_not_null_domain,
       -- The schema that an extension is in may differ between two servers: its types go by their names alone.
       case when x.extname is null then format_type(b.typ, b.typmod)
            else substr(format_type(b.typ, b.typmod), length(quote_ident(n.nspname)) + 2) end as base_type,
       case when a.atttypid = b.typ then x.extname::text end as extension,
       u.number is null as binary,
       format_type(e.oid, null) as enum_type,
       (select array_agg(quote_literal(l.enumlabel) order by l.enumsortorder) from pg_enum l where l.enumtypid = e.oid) as labels
from columns a
join pg_type t on t.oid = a.atttypid
join base b on b.number = a.attnum
join pg_type s on s.oid = b.typ and s.typtype <> 'd'
join pg_type i on i.oid = case when s.typcategory = 'A' then s.typelem else s.oid end
join pg_namespace n on n.oid = i.typnamespace
left join pg_type e on e.oid = i.oid and e.typtype = 'e'
left join pg_depend d on d.classid = 'pg_type'::regclass and d.objid = i.oid and d.deptype = 'e' and d.refclassid = 'pg_extension'::regclass
left join pg_extension x on x.oid = d.refobjid
left join text_only u on u.number = a.attnum
order by a.attnum
