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
  if until_it_listens "$port" "$driver"; then
    echo "$port"
    break
  fi
done
cat >/dev/null
kill -KILL -- "-$driver"
wait "$driver" 2>/dev/null
rm -rf "$dir"
