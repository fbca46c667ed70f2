-- Who was told, per event and not per run: one that is told again must not go to those who know. Runs that could not even be opened are
-- told of too.
alter table nightferry.deliveries
    add column delivery_id text,
    drop constraint deliveries_run_id_fkey,
    drop constraint deliveries_pkey;

update nightferry.deliveries set delivery_id = replace(run_id, '.', '_') || '_succeeded';

alter table nightferry.deliveries
    alter column delivery_id set not null,
    add primary key (delivery_id, endpoint_hash);
