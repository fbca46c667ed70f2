# shellcheck shell=bash
# Appended to utils/postgres.sh and run by support/guarded.rs: a standby in folder $1 of the server at port PRIMARY_PORT.
# It lives as long as the pipe on standard input is open, which the kernel closes however the tests end.
dir=$1
trap '' PIPE
bin=$(find_postgres)
if [[ $(id -u) -eq 0 ]]; then chown "$(cluster_user)" "$dir"; fi
as_cluster_user env PGPASSWORD="$CLUSTER_PASSWORD" "$bin/pg_basebackup" --host=127.0.0.1 --port="$PRIMARY_PORT" --username=postgres \
  --pgdata="$dir/data" --wal-method=stream --checkpoint=fast --no-sync --write-recovery-conf </dev/null >&2 &&
  for _ in 1 2 3 4 5; do
    port=$(free_port)
    printf "port = %s\nunix_socket_directories = '%s'\n" "$port" "$dir" >>"$dir/data/postgresql.conf"
    if as_cluster_user "$bin/pg_ctl" start --pgdata="$dir/data" --log="$dir/server.log" --wait --silent </dev/null; then
      echo "$port"
      break
    fi
    cat "$dir/server.log" >&2
  done
cat >/dev/null
stop_cluster "$dir"
rm -rf "$dir"
