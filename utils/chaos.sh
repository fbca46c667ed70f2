#!/usr/bin/env bash
# Real workers, killed, stopped and cut off at random, for as many rounds as one likes: each night ends once, and never has two writers.
#
# utils/chaos.sh [ROUNDS] [SEED]: 200 rounds by default, in four crews side by side, about six minutes. The seed says which misfortunes come in which
# order; a failure prints it, what happened when, and where the logs of the workers are. Then Redis is away for a minute, at each moment of a night.
set -euo pipefail
cd "$(dirname "$0")/.."
source utils/postgres.sh

usage() {
  sed -n '2,5s/^# \{0,1\}//p' "$0"
}
case ${1:-} in -h | --help) usage && exit ;; esac
rounds=${1:-200}
seed=${2:-$RANDOM}
need_postgres
need_redis
NIGHTFERRY_CHAOS_ROUNDS=$rounds NIGHTFERRY_CHAOS_SEED=$seed cargo test --quiet --test it -- --nocapture --include-ignored \
  chaos:: workers::redis_may_be_away_for_a_minute
