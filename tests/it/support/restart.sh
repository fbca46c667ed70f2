# shellcheck shell=bash
# Appended to utils/postgres.sh: starts the server in folder $1 again, which recovers from its log first.
bin=$(find_postgres)
as_cluster_user "$bin/pg_ctl" start --pgdata="$1/data" --log="$1/server.log" --wait --silent || { tail -n 20 "$1/server.log" >&2; exit 1; }
