-- Tried again and again instead of waited for: a waiting statement would hold a snapshot, and with it vacuum, for hours.
select pg_try_advisory_lock($1);
