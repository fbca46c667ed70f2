# shellcheck shell=bash
# Appended to utils/postgres.sh: kills the server in folder $1 and all of its children. It is stopped first, so that none is born meanwhile.
server=$(head -n 1 "$1/data/postmaster.pid")
kill -STOP "$server"
read -r -a children <"/proc/$server/task/$server/children" || true
kill -KILL "$server" "${children[@]}"
for process in "$server" "${children[@]}"; do
  while kill -0 "$process" 2>/dev/null; do sleep 0.01; done
done
