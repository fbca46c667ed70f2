-- What this server calls these types of another one: $1 as that one writes them, $2 without the schema for those that an extension
-- brings, $3 that extension. No row for a type that is not here. Ask with an empty search_path. To name a type in a schema that
-- the role may not use is an error, so such schemas are looked for first.
with closed as (
    select quote_ident(nspname) || '.' as start from pg_namespace where not has_schema_privilege(oid, 'USAGE')
), candidates as (
    select w.there, w.there as here, 1 as rank from unnest($1::text[]) w (there)
    union all
    select w.there, quote_ident(n.nspname) || '.' || w.bare, 2
    from unnest($1::text[], $2::text[], $3::text[]) w (there, bare, extension)
    join pg_extension e on e.extname = w.extension
    join pg_depend d on d.refclassid = 'pg_extension'::regclass and d.refobjid = e.oid and d.classid = 'pg_type'::regclass and d.deptype = 'e'
    join pg_type t on t.oid = d.objid
    join pg_namespace n on n.oid = t.typnamespace
)
select distinct on (c.there) c.there, c.here
from candidates c
where case when exists (select from closed where starts_with(c.here, closed.start)) then false
           else to_regtype(c.here) is not null end
order by c.there, c.rank, c.here
