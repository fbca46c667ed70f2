-- Rows by day, newest first: the date of the timestamp as analysts in Paris read it.
-- needs: knowledge-elements
-- not for kept tables
create index if not exists "knowledge-elements_createdAt_idx" on "knowledge-elements" ((("createdAt" at time zone 'Europe/Paris')::date) desc);
