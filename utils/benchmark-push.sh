#!/usr/bin/env bash
# Times nightferry backup push against the same dump that nobody keeps: pg_dump -Fc | wc -c. Two throw-away clusters, and an S3 server on
# this machine that keeps objects as files; the two take turns.
set -euo pipefail

usage() {
  cat <<'HELP'
usage: utils/benchmark-push.sh [SCALE [MEGABYTES]]

  SCALE       of utils/dataset.sql: 1 unless said otherwise
  MEGABYTES   of bytes that cannot be compressed are added: none unless said otherwise. They make the dump much larger, and
              hardly slower: the hardest case for what comes behind it

What nightferry does beyond the dump is in its time: the SHA-256, the signatures, the upload, reading all of it back and the copy within
the bucket; and the S3 server's own work, on the same processors.

ROUNDS (default 3) is how often each is timed, ENCRYPT_TO a public key of age to encrypt to, PG_BIN_DIR which PostgreSQL to use,
NIGHTFERRY and S3_SERVER a nightferry and an s3-server (cargo build --release --example s3-server) that are built already.
The folder BENCH_DIR (default /tmp) needs room for six times the dump.
HELP
}

case ${1:-} in
  --help | -h) usage; exit ;;
  -*) usage >&2; exit 2 ;;
esac

# shellcheck source=utils/benchmark-ground.sh
source "$(dirname "${BASH_SOURCE[0]}")/benchmark-ground.sh"

scale=${1:-1}
megabytes=${2:-0}
rounds=${ROUNDS:-3}

begin_benchmark push
export PGUSER=postgres
if [[ -z ${S3_SERVER:-} ]]; then
  (cd "$repository" && cargo build --release --locked --quiet --example s3-server)
  target=${CARGO_TARGET_DIR:-target}
  [[ $target == /* ]] || target=$repository/$target
  S3_SERVER=$target/release/examples/s3-server
fi

settings=(shared_buffers=256MB max_wal_size=4GB autovacuum=off)
source_port=$(free_port)
start_cluster "$work/source" "$source_port" "${settings[@]}"
warehouse_port=$(free_port)
start_cluster "$work/warehouse" "$warehouse_port" "${settings[@]}"
query -p "$source_port" -d postgres -c 'create database app'
query -p "$warehouse_port" -d postgres -c 'create database dw'

echo "loading utils/dataset.sql at scale $scale, and $megabytes MB of noise"
query -p "$source_port" -d app -v scale="$scale" -f "$repository/utils/dataset.sql" >/dev/null
query -p "$source_port" -d app -v kilobytes="$((megabytes * 1000))" <<'SQL'
create extension pgcrypto;
create table noise as select n as id, gen_random_bytes(1000) as bytes from generate_series(1, :kilobytes) n;
SQL
query -p "$source_port" -d app -c 'vacuum analyze' -c checkpoint

mkdir "$work/bucket"
"$S3_SERVER" "$work/bucket" >"$work/s3.url" &
server=$!
# Stopped with the script, whatever happens.
keep_results() { kill "$server" 2>/dev/null || true; }
until [[ -s $work/s3.url ]]; do sleep 0.05; done

peak=0
push() {
  local kb
  rm -rf "$work"/bucket/backups/*
  (
    cd "$work"
    exec env -i PATH="$PATH" PG_BIN_DIR="$PG_BIN_DIR" LOG_FORMAT=json WORK_DIR="$work" BACKUP_ENCRYPT_TO="${ENCRYPT_TO:-}" \
      S3_ENDPOINT="$(cat "$work/s3.url")" S3_ACCESS_KEY=TESTKEY S3_SECRET_ACCESS_KEY=s3cr3t-of-the-bucket S3_BUCKET_NAME=backups \
      SOURCE_DATABASE_URL="postgres://postgres:$PGPASSWORD@127.0.0.1:$source_port/app" \
      TARGET_DATABASE_URL="postgres://postgres:$PGPASSWORD@127.0.0.1:$warehouse_port/dw" \
      "$NIGHTFERRY" backup push
  ) >"$work/push.log" 2>&1 &
  running=$!
  # The kernel's own mark of this one process, read until it is gone.
  while kb=$(awk '/^VmHWM/ { print $2 }' "/proc/$running/status" 2>/dev/null) && [[ -n $kb ]]; do
    ((kb <= peak)) || peak=$kb
    sleep 0.05
  done
  if ! wait "$running"; then
    tail -n 20 "$work/push.log" >&2
    exit 1
  fi
  running=
}

dump() { "$PG_BIN_DIR/pg_dump" -Fc -p "$source_port" app | wc -c >"$work/bytes"; }

# Leaves the seconds in the variable took.
timed() {
  local start
  sync
  start=$(now)
  "$1"
  took=$(minus "$(now)" "$start")
}

# What both read is then in memory as far as it fits.
dump
echo "the dump has $(cat "$work/bytes") bytes; $("$PG_BIN_DIR/postgres" --version), $(nproc) processors"
echo
printf '%-8s %16s %22s %10s %10s %10s %6s\n' round 'pg_dump | wc -c' 'nightferry backup push' 'dump' 'read back' 'publish' pace
dump_times=() push_times=()
for ((round = 1; round <= rounds; round++)); do
  # Whoever goes later finds a warmer cache: they take turns in that too.
  order=(dump push)
  ((round % 2)) || order=(push dump)
  for who in "${order[@]}"; do
    timed "$who"
    declare -n times="${who}_times"
    times+=("$took")
  done
  steps=$(for step in dump_and_push read_back publish; do
    grep '"msg":"step.ended"' "$work/push.log" | grep "\"step\":\"$step\"" | grep -o '"duration_ms":[0-9]*' | cut -d: -f2
  done | tr '\n' ' ')
  awk -v r="$round" -v d="${dump_times[-1]}" -v p="${push_times[-1]}" -v s="$steps" \
    'BEGIN { split(s, ms, " "); printf "%-8s %14.2f s %20.2f s %8.2f s %8.2f s %8.2f s %6.2f\n", r, d, p, ms[1] / 1000, ms[2] / 1000, ms[3] / 1000, d / p }'
done

median() { printf '%s\n' "$@" | sort -n | awk '{ v[NR] = $1 } END { print NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2 }'; }
awk -v d="$(median "${dump_times[@]}")" -v p="$(median "${push_times[@]}")" \
  'BEGIN { printf "%-8s %14.2f s %20.2f s %43.2f\n\npace: %.2f of pg_dump | wc -c (1 is as fast)\n", "median", d, p, d / p, d / p }'
awk -v kb="$peak" 'BEGIN { printf "nightferry'\''s peak memory: %.1f MB\n", kb * 1024 / 1e6 }'
