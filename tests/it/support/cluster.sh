# shellcheck shell=bash
# Appended to utils/postgres.sh and run by support/guarded.rs: a cluster in folder $1 with the settings that follow.
# It lives as long as the pipe on standard input is open, which the kernel closes however the tests end.
dir=$1
shift
trap '' PIPE
for _ in 1 2 3 4 5; do
  port=$(free_port)
  rm -rf "$dir/data"
  if start_cluster "$dir" "$port" "$@" </dev/null; then
    echo "$port"
    break
  fi
done
cat >/dev/null
stop_cluster "$dir"
rm -rf "$dir"
