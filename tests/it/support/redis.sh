# shellcheck shell=bash disable=SC2154
# Appended to utils/postgres.sh and redis_server.sh, and run by support/guarded.rs: a Redis in folder $1.
# It lives as long as the pipe on standard input is open, which the kernel closes however the tests end.
dir=$1
trap '' PIPE
for _ in 1 2 3 4 5; do
  port=$(free_port)
  if start_redis "$dir" "$port"; then
    echo "$port"
    break
  fi
done
cat >/dev/null
# Not the shell's own child where it was started again, and it may be stopped.
server=$(cat "$dir/redis.pid" 2>/dev/null)
if [[ -n $server ]] && kill -KILL "$server"; then
  while (: <>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do sleep 0.01; done
fi
rm -rf "$dir"
