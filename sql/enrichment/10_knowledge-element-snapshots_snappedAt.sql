-- Rows by day, newest first: the date of the timestamp as analysts in Paris read it.
-- needs: knowledge-element-snapshots
-- not for kept tables
create index if not exists "knowledge-element-snapshots_snappedAt_idx" on "knowledge-element-snapshots" ((("snappedAt" at time zone 'Europe/Paris')::date) desc);
