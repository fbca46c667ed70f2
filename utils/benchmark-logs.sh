#!/usr/bin/env bash
# Times `nightferry logs` against `wc -l` and `grep -c item` on the same log, which is made here.
set -euo pipefail

usage() {
  cat <<'HELP'
usage: utils/benchmark-logs.sh [LINES [ITEMS]]

  LINES   how many lines the log has: 2000000 unless said otherwise
  ITEMS   how many of a hundred lines are about an item of pg_restore: 10 unless said otherwise

ROUNDS (default 5) is how often each is timed, in turns, NIGHTFERRY a nightferry that is built already.
The folder BENCH_DIR (default /tmp) needs room for the log, 400 MB for two million lines.
HELP
}

case ${1:-} in
  --help | -h) usage; exit ;;
  -*) usage >&2; exit 2 ;;
esac

repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
lines=${1:-2000000}
items=${2:-10}
rounds=${ROUNDS:-5}
if [[ -z ${NIGHTFERRY:-} ]]; then
  (cd "$repository" && cargo build --release --locked --quiet)
  target=${CARGO_TARGET_DIR:-target}
  [[ $target == /* ]] || target=$repository/$target
  NIGHTFERRY=$target/release/nightferry
fi
work=$(mktemp -d "${BENCH_DIR:-/tmp}/nightferry-logs.XXXXXX")
trap 'rm -rf "$work"' EXIT
log=$work/night.log

# A night of eight and a half hours: eight jobs of pg_restore, what it says besides, and JSON lines of nightferry.
awk -v lines="$lines" -v items="$items" '
  function say(text) {
    passed = 18600 + at * 30600 / lines
    printf "2026-11-20 %02d:%02d:%012.9f +0200 CEST [background-1] %s\n",
      int(passed / 3600), int(passed % 3600 / 60), passed % 60, text
  }
  BEGIN {
    srand(7)
    split("TABLE DATA|INDEX|CONSTRAINT|FK CONSTRAINT|SEQUENCE SET", kinds, "|")
    at = 1; say("{\"v\":0,\"name\":\"app\",\"level\":30,\"msg\":\"Start create Backup\",\"time\":\"2026-11-20T03:10:00.000Z\"}")
    at = 2; say("{\"v\":0,\"name\":\"app\",\"level\":30,\"msg\":\"Start restore\",\"time\":\"2026-11-20T03:10:00.100Z\"}")
    for (at = 3; at < lines - 8; at++) {
      dice = rand() * 100
      if (dice < items) {
        job = at % 8
        if (job in running) { say("pg_restore: finished item " running[job]); delete running[job] }
        else { running[job] = at " " kinds[1 + int(rand() * 5)] " answers_" at "_assessmentid"; say("pg_restore: launching item " running[job]) }
      } else if (dice < 60)
        say("{\"v\":0,\"name\":\"app\",\"msg\":\"push.progress\",\"level\":30,\"hostname\":\"worker-1\",\"pid\":23,\"time\":\"2026-11-20T03:10:01.123Z\",\"bytes\":" at "000}")
      else say("pg_restore: processing data for table \"public.answers_" at "\"")
    }
    for (job in running) { say("pg_restore: finished item " running[job]); at++ }
    say("{\"v\":0,\"name\":\"app\",\"level\":30,\"msg\":\"Restore done\",\"time\":\"2026-11-20T11:40:00.000Z\"}"); at++
    say("{\"v\":0,\"name\":\"app\",\"level\":30,\"msg\":\"Import and enrichment done\",\"time\":\"2026-11-20T11:40:00.000Z\"}"); at++
    while (at <= lines) { say("pg_restore: done"); at++ }
  }' > "$log"

milliseconds() { awk -v a="$1" -v b="$EPOCHREALTIME" 'BEGIN { printf "%.0f", (b - a) * 1000 }'; }
timed() {
  local start=$EPOCHREALTIME name=$1
  shift
  "$@" > "$work/said"
  milliseconds "$start" >> "$work/$name"
  echo >> "$work/$name"
}
for _ in $(seq "$rounds"); do
  timed wc wc -l "$log"
  timed grep grep -c item "$log"
  timed logs "$NIGHTFERRY" logs "$log" 2026-11-20
done
cat "$work/said"

"$NIGHTFERRY" logs "$log" 2026-11-20 > /dev/null &
pid=$!
peak=0
while [[ -r /proc/$pid/status ]]; do
  kb=0
  while read -r name value _; do [[ $name != VmHWM: ]] || kb=$value; done < "/proc/$pid/status" || true
  ((kb <= peak)) || peak=$kb
  ((kb > 0)) || break
  sleep 0.02
done 2>/dev/null
wait "$pid"

median() { sort -n "$1" | awk '{ all[NR] = $1 } END { print all[int((NR + 1) / 2)] }'; }
awk -v lines="$(wc -l < "$log")" -v bytes="$(wc -c < "$log")" -v wc="$(median "$work/wc")" -v grep="$(median "$work/grep")" \
  -v logs="$(median "$work/logs")" -v peak="$peak" 'BEGIN {
    printf "%d lines, %.0f MB, medians: wc -l %.2f s, grep -c item %.2f s, nightferry logs %.2f s: %.2f times the two; memory at most %.0f MB\n",
      lines, bytes / 1e6, wc / 1000, grep / 1000, logs / 1000, logs / (wc + grep), peak / 1000 }'
