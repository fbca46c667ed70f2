-- The labels of these enums ($1, oids), quoted, in their order.
select enumtypid::bigint as oid, array_agg(quote_literal(enumlabel) order by enumsortorder) as labels
from pg_enum where enumtypid = any ($1::bigint[]::oid[]) group by 1
