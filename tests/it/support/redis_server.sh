# shellcheck shell=bash
# start_redis DIR PORT: a Redis in that folder, configured by its redis.conf, that outlives this shell. Returns when it answers.
start_redis() {
  local dir=$1 port=$2 server
  # A session of its own: an interrupt from the terminal is for the test process.
  setsid redis-server "$dir/redis.conf" --port "$port" --dir "$dir" --pidfile "$dir/redis.pid" --daemonize no </dev/null >>"$dir/redis.log" 2>&1 &
  server=$!
  # Nobody wants to read that it was killed.
  disown
  for _ in $(seq 200); do
    if (: <>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then return 0; fi
    kill -0 "$server" 2>/dev/null || return 1
    sleep 0.05
  done
  return 1
}
