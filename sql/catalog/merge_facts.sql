-- What merging rows into table $1.$2 must know: whether a unique index tells rows apart by columns that are all among $3 (the
-- constraint may be checked at the end of the transaction), which columns the database itself gives their values (GENERATED ALWAYS
-- AS IDENTITY), whether another unique index or an exclusion constraint holds values that a row may take from another, whether foreign
-- keys refer to the table, and whether there is a column $4.
select exists (
           select from pg_index i
           where i.indrelid = c.oid and i.indisunique and i.indisvalid and i.indpred is null and i.indexprs is null
             and not exists (
                 select from generate_series(0, i.indnkeyatts - 1) k
                 join pg_attribute a on a.attrelid = c.oid and a.attnum = i.indkey[k]
                 where a.attname <> all ($3) or not a.attnotnull)
       ) as is_unique,
       array(
           select a.attname::text from pg_attribute a
           where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped and a.attidentity = 'a'
           order by a.attnum
       ) as always_given,
       exists (
           select from pg_index i
           where i.indrelid = c.oid and (i.indisunique or i.indisexclusion)
             and (i.indexprs is not null or exists (
                 select from generate_series(0, i.indnkeyatts - 1) k
                 join pg_attribute a on a.attrelid = c.oid and a.attnum = i.indkey[k]
                 where a.attname <> all ($3)))
       ) as has_other_unique,
       exists (select from pg_constraint k where k.contype = 'f' and k.confrelid = c.oid) as is_referred_to,
       exists (
           select from pg_attribute a where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped and a.attname = $4
       ) as has_mark
from pg_class c
join pg_namespace n on n.oid = c.relnamespace
where n.nspname = $1 and c.relname = $2
