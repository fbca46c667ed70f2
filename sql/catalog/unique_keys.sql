-- The columns of the unique indexes of table $1 (an oid) that hold for every row and at once, the primary key's first.
select x.indisprimary as is_primary,
       bool_and(a.attnotnull) as not_null,
       array_agg(a.attname::text order by k.place) as columns
from pg_index x
cross join lateral unnest(x.indkey::smallint[]) with ordinality k (number, place)
join pg_attribute a on a.attrelid = x.indrelid and a.attnum = k.number
where x.indrelid = $1::bigint::oid and x.indisunique and x.indisvalid and x.indimmediate
  and x.indpred is null and x.indexprs is null and k.place <= x.indnkeyatts
group by x.indexrelid, x.indisprimary
order by x.indisprimary desc, x.indexrelid
