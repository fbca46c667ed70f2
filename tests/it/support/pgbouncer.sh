# shellcheck shell=bash disable=SC2154
# Appended to utils/postgres.sh and run by support/guarded.rs: a PgBouncer in folder $1, configured by $1/pgbouncer.ini.
# It lives as long as the pipe on standard input is open, which the kernel closes however the tests end.
dir=$1
trap '' PIPE
# Debian installs it where only root's PATH leads.
PATH=$PATH:/usr/sbin
if [[ $(id -u) -eq 0 ]]; then chown "$(cluster_user)" "$dir" "$dir"/*; fi
for _ in 1 2 3 4 5; do
  port=$(free_port)
  echo "listen_port = $port" >>"$dir/pgbouncer.ini"
  as_cluster_user pgbouncer "$dir/pgbouncer.ini" </dev/null >"$dir/output" 2>&1 &
  server=$!
  if until_it_listens "$port" "$server"; then
    echo "$port"
    break
  fi
done
cat >/dev/null
kill -INT "$(cat "$dir/pgbouncer.pid")"
wait "$server"
rm -rf "$dir"
