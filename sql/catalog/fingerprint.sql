-- Changes whenever somebody changes a definition, an owner or a grant outside the schemas $1: every catalog row has the
-- transaction that wrote it. Schemas are looked at themselves: we rename them ourselves for a moment, and back.
select md5(string_agg(f.part, ',' order by f.part)) from (
    select 'class ' || count(*) || ' ' || coalesce(sum(hashtextextended(c.oid || ' ' || c.xmin, 0)), 0) as part
    from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where c.oid >= 16384 and c.relpersistence <> 't' and c.relkind in ('r', 'p', 'v', 'm', 'S', 'f')
      and n.nspname not in ('pg_catalog', 'information_schema', 'nightferry') and n.nspname <> all ($1)
    union all
    select 'rewrite ' || count(*) || ' ' || coalesce(sum(hashtextextended(r.oid || ' ' || r.xmin, 0)), 0)
    from pg_rewrite r join pg_class c on c.oid = r.ev_class join pg_namespace n on n.oid = c.relnamespace
    where r.oid >= 16384 and n.nspname not in ('pg_catalog', 'information_schema', 'nightferry') and n.nspname <> all ($1)
    union all
    select 'routine ' || count(*) || ' ' || coalesce(sum(hashtextextended(p.oid || ' ' || p.xmin, 0)), 0)
    from pg_proc p join pg_namespace n on n.oid = p.pronamespace where p.oid >= 16384 and n.nspname <> all ($1) and n.nspname !~ '^pg_temp'
    union all
    select 'type ' || count(*) || ' ' || coalesce(sum(hashtextextended(t.oid || ' ' || t.xmin, 0)), 0)
    from pg_type t join pg_namespace n on n.oid = t.typnamespace
    where t.oid >= 16384 and t.typtype in ('e', 'd', 'r') and n.nspname <> all ($1) and n.nspname !~ '^pg_temp'
    union all
    select 'policy ' || count(*) || ' ' || coalesce(sum(hashtextextended(p.oid || ' ' || p.xmin, 0)), 0)
    from pg_policy p join pg_class c on c.oid = p.polrelid join pg_namespace n on n.oid = c.relnamespace where n.nspname <> all ($1)
    union all
    select 'key ' || count(*) || ' ' || coalesce(sum(hashtextextended(k.oid || ' ' || k.xmin, 0)), 0)
    from pg_constraint k join pg_namespace n on n.oid = k.connamespace where k.contype = 'f' and n.nspname <> all ($1)
    union all
    select 'default acl ' || count(*) || ' ' || coalesce(sum(hashtextextended(d.oid || ' ' || d.xmin, 0)), 0)
    from pg_default_acl d left join pg_namespace n on n.oid = d.defaclnamespace where coalesce(n.nspname <> all ($1), true)
    union all
    -- By what they say: whoever gives them each other's names for a while, and back, writes their rows anew.
    select 'schema ' || count(*) || ' ' || coalesce(sum(hashtextextended(concat_ws(' ', n.oid, n.nspname, n.nspowner, n.nspacl), 0)), 0)
    from pg_namespace n where n.nspname !~ '^pg_' and n.nspname <> all ($1)
) f
