-- The columns of these tables ($1, oids) that only the text format carries, for the questions that are put behind it. Binary is out
-- for types without send and receive functions, for reg* types (their meaning is local), and for composites, arrays and
-- ranges of types whose oids differ from server to server.
with recursive part (relid, number, typ) as (
    select attrelid, attnum, atttypid from pg_attribute
    where attrelid = any ($1::bigint[]::oid[]) and attnum > 0 and not attisdropped
    union
    select p.relid, p.number, x.typ from part p
    join pg_type t on t.oid = p.typ
    cross join lateral (
        select t.typbasetype where t.typtype = 'd'
        union all select t.typelem where t.typcategory = 'A'
        union all select r.rngsubtype from pg_range r where r.rngtypid = t.oid
    ) x (typ)
    where x.typ <> 0
), text_only as (
    select distinct p.relid, p.number from part p join pg_type t on t.oid = p.typ
    where t.typsend = 0 or t.typreceive = 0 or t.typtype in ('c', 'p')
       or (t.typnamespace = 'pg_catalog'::regnamespace and t.typname like 'reg%')
       or (t.typcategory = 'A' and t.typelem >= 16384)
       or (t.typtype in ('r', 'm') and t.oid >= 16384)
)
