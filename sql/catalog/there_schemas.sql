-- Which of these schemas ($1) are there.
select nspname::text from pg_namespace where nspname = any ($1) order by 1
