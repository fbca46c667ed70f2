# shellcheck shell=bash disable=SC2154
# Appended to utils/postgres.sh and run by support/guarded.rs: a Redis in folder $1, configured by $1/redis.conf.
# It lives as long as the pipe on standard input is open, which the kernel closes however the tests end.
dir=$1
trap '' PIPE
for _ in 1 2 3 4 5; do
  port=$(free_port)
  redis-server "$dir/redis.conf" --port "$port" --dir "$dir" --daemonize no </dev/null >"$dir/redis.log" 2>&1 &
  server=$!
  for _ in $(seq 200); do
    if (: <>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
      echo "$port"
      break 2
    fi
    kill -0 "$server" 2>/dev/null || break
    sleep 0.05
  done
done
cat >/dev/null
kill "$server"
wait "$server"
rm -rf "$dir"
