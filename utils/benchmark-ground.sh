# shellcheck shell=bash
# What the benchmarks stand on: a nightferry, a working folder and two throw-away clusters that go with the script. Source this
# file, which sources utils/postgres.sh.

repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=utils/postgres.sh
source "$repository/utils/postgres.sh"

# begin_benchmark NAME: finds PostgreSQL and nightferry, and makes the folder $work. A process named in $running, and the clusters
# source and warehouse, end with the script; before that it calls keep_results, where there is such a function.
begin_benchmark() {
  local target
  need_postgres
  PG_BIN_DIR=$(find_postgres)
  export PG_BIN_DIR
  if [[ -z ${NIGHTFERRY:-} ]]; then
    (cd "$repository" && cargo build --release --locked --quiet)
    target=${CARGO_TARGET_DIR:-target}
    [[ $target == /* ]] || target=$repository/$target
    NIGHTFERRY=$target/release/nightferry
  fi
  work=$(mktemp -d "${BENCH_DIR:-/tmp}/nightferry-$1.XXXXXX")
  chmod 755 "$work"
  running=
  trap clean_up EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM HUP
  export PGPASSWORD=$CLUSTER_PASSWORD PGHOST=127.0.0.1
}

clean_up() {
  local status=$? name
  trap - EXIT
  trap '' INT TERM HUP
  [[ -z $running ]] || kill "$running" 2>/dev/null || true
  ! declare -F keep_results >/dev/null || keep_results || true
  for name in source warehouse; do
    stop_cluster "$work/$name" || echo "error: cannot stop the $name in $work" >&2
  done
  rm -rf "$work"
  exit "$status"
}

query() { PGOPTIONS='-c client_min_messages=warning' "$PG_BIN_DIR/psql" -X -q -At -v ON_ERROR_STOP=1 "$@"; }
now() { date +%s.%N; }
minus() { awk -v a="$1" -v b="$2" 'BEGIN { printf "%.2f", a - b }'; }
