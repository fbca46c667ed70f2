-- What a live source has that the night does not carry.
select 'large objects' as object, count(*) as number from pg_largeobject_metadata
union all select 'publications', count(*) from pg_publication
union all select 'subscriptions', count(*) from pg_subscription where subdbid = (select oid from pg_database where datname = current_database())
union all select 'foreign servers', count(*) from pg_foreign_server
union all select 'foreign tables', count(*) from pg_foreign_table
union all select 'event triggers', count(*) from pg_event_trigger
