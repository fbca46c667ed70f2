#!/usr/bin/env bash
# Times the download of a backup against curl: the same file of a server on this machine, the two in turns.
set -euo pipefail

usage() {
  cat <<'HELP'
usage: utils/benchmark-download.sh [GIGABYTES]

  GIGABYTES   the size of the dump that is made and downloaded: 2 unless said otherwise

nightferry takes the dump in parts, walks through it (is it a whole archive?) and writes it; curl -o only writes it.
ROUNDS (default 5) is how often each is timed, PG_BIN_DIR which PostgreSQL to use, NIGHTFERRY a nightferry that is built already.
The folder BENCH_DIR (default /tmp) needs room for three times the dump.
HELP
}

case ${1:-} in
  --help | -h) usage; exit ;;
  -*) usage >&2; exit 2 ;;
esac

# shellcheck source=utils/benchmark-ground.sh
source "$(dirname "${BASH_SOURCE[0]}")/benchmark-ground.sh"

gigabytes=${1:-2}
rounds=${ROUNDS:-5}

begin_benchmark download
export PGUSER=postgres
source_port=$(free_port)
start_cluster "$work/source" "$source_port" fsync=off
# Rows of 64 kB that are small in the database and whole in the dump.
query -p "$source_port" -d postgres -c "create table t as
  select repeat(md5(i::text), 2048) from generate_series(1, $gigabytes * 15259) i"
"$PG_BIN_DIR/pg_dump" -p "$source_port" -d postgres -Fc -Z0 -f "$work/backup.dump"
bytes=$(wc -c < "$work/backup.dump")

(cd "$repository" && cargo build --locked --quiet --example file-server)
target=${CARGO_TARGET_DIR:-$repository/target}
"$target/debug/examples/file-server" "$work/backup.dump" > "$work/port" &
running=$!
until [[ -s $work/port ]]; do sleep 0.1; done
url=http://127.0.0.1:$(< "$work/port")/backup.dump

peak=0
curl_once() { curl --silent --fail --output "$work/got" "$url"; }
ferry_once() {
  local kb name value
  (
    cd "$work"
    exec env -i PATH="$PATH" LOG_FORMAT=json BACKUP_SOURCE="$url" TARGET_DATABASE_URL=postgres://not-asked/warehouse \
      "$NIGHTFERRY" backup fetch --output "$work/got"
  ) > "$work/log" 2>&1 &
  local pid=$!
  # By the shell itself: a process for each look would take from both cores.
  while [[ -r /proc/$pid/status ]]; do
    kb=0
    while read -r name value _; do [[ $name != VmHWM: ]] || kb=$value; done < "/proc/$pid/status" || true
    ((kb <= peak)) || peak=$kb
    ((kb > 0)) || break
    sleep 0.2
  done 2>/dev/null
  wait "$pid" || { cat "$work/log" >&2; return 1; }
}

for round in $(seq "$rounds"); do
  for who in curl ferry; do
    rm -f "$work/got"
    start=$(now)
    "${who}_once"
    took=$(minus "$(now)" "$start")
    cmp "$work/backup.dump" "$work/got"
    echo "$took" >> "$work/$who.seconds"
    echo "round $round: $who $took s"
  done
done

median() { sort -n "$1" | awk '{ all[NR] = $1 } END { print all[int((NR + 1) / 2)] }'; }
curl_took=$(median "$work/curl.seconds")
ferry_took=$(median "$work/ferry.seconds")
echo "$bytes bytes, medians: curl $curl_took s, nightferry $ferry_took s," \
  "its pace $(awk -v a="$curl_took" -v b="$ferry_took" 'BEGIN { printf "%.2f", a / b }') of curl's, memory at most $((peak / 1024)) MB"
