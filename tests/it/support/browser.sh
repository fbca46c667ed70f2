# shellcheck shell=bash
# Appended to utils/postgres.sh and run by support/guarded.rs: a driver of headless Chromium in folder $1. It lives as long as the pipe on
# standard input is open, which the kernel closes however the tests end; the browsers that it started end with it.
dir=$1
trap '' PIPE
command -v chromedriver >/dev/null || { echo "chromedriver is missing: utils/test.sh installs it" >&2; exit 1; }
for _ in 1 2 3 4 5; do
  port=$(free_port)
  HOME=$dir TMPDIR=$dir setsid chromedriver --port="$port" </dev/null >"$dir/output" 2>&1 &
  driver=$!
  for _ in $(seq 200); do
    if (: <>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
      echo "$port"
      break 2
    fi
    kill -0 "$driver" 2>/dev/null || break
    sleep 0.05
  done
done
cat >/dev/null
kill -KILL -- "-$driver"
wait "$driver" 2>/dev/null
rm -rf "$dir"
