-- Rows by day, newest first: the date of the timestamp as analysts in Paris read it.
-- needs: users
-- not for kept tables
create index if not exists "users_createdAt_idx" on "users" ((("createdAt" at time zone 'Europe/Paris')::date) desc);
