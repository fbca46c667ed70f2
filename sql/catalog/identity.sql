-- What tells one database from another: the cluster's system identifier (where the role may read it) and the database's oid.
select (select system_identifier from pg_control_system())::text as system_identifier,
       (select oid::bigint from pg_database where datname = current_database()) as database_oid,
       current_setting('server_version_num')::int as server_version,
       pg_is_in_recovery() as is_standby
