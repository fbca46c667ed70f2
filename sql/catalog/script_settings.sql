-- What pg_restore sets before it runs an archive's SQL: no search_path, so that every name in it is qualified; function bodies
-- unchecked, since they may name what comes later. Local to the transaction.
set local lock_timeout = '30s';
set local check_function_bodies = false;
set local xmloption = content;
set local client_min_messages = warning;
set local row_security = off;
set local default_tablespace = '';
set local search_path = '';
