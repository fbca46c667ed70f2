-- The schemas that the role may not rename, each with its owner.
select nspname::text as name, pg_get_userbyid(nspowner)::text as owner
from pg_namespace
where nspname <> 'information_schema' and nspname !~ '^pg_' and not pg_has_role(current_user, nspowner, 'USAGE')
order by 1
