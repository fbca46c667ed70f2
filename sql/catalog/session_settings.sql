-- Run on each new session. client_connection_check_interval came with PostgreSQL 14; set_config of a setting that a
-- server does not have would be an error, so it is asked for first.
set statement_timeout = 0; set lock_timeout = '10min'; set idle_in_transaction_session_timeout = 0;
set datestyle = 'ISO, MDY'; set intervalstyle = postgres; set extra_float_digits = 3; set timezone = 'UTC';
set standard_conforming_strings = on; set row_security = off; set bytea_output = hex; set synchronous_commit = off;
select set_config(name, case name when 'client_connection_check_interval' then '2s' else '0' end, false)
from pg_settings
where name in ('client_connection_check_interval', 'idle_session_timeout', 'transaction_timeout');
