#!/usr/bin/env bash
# Record every client of conformance/clients anew, into conformance/transcripts.
#   conformance/record_all.sh [CLIENT [SCENARIO]]
# conformance/clients/install installs them. A recording that its client calls a failure is not kept.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-.venv/bin/python}
port=${PORT:-9150}
state=$(mktemp -d)
version=$("$python" -m mcpd --version)
serve() {
  "$python" -m mcpd serve --port "$port" --store memory --state-dir "$state/state" \
    --app conformance/everything.py:app >>"$state/log" 2>&1 &
  echo $! >"$state/pid"
  for _ in $(seq 100); do
    curl -fsS "http://127.0.0.1:$port/health" >/dev/null 2>&1 && return
    sleep 0.1
  done
  cat "$state/log" >&2
  exit 1
}
stop() { kill -9 "$(cat "$state/pid")" 2>/dev/null || true; rm -rf "$state"; }
trap stop EXIT
serve
# What makes the server forget its sessions: it is killed, and starts again with an empty memory.
cat >"$state/lose" <<LOSE
#!/usr/bin/env bash
kill -9 "\$(cat "$state/pid")"
"$python" -m mcpd serve --port "$port" --store memory --state-dir "$state/state" \
  --app conformance/everything.py:app >>"$state/log" 2>&1 </dev/null &
echo \$! >"$state/pid"
for _ in \$(seq 100); do
  curl -fsS "http://127.0.0.1:$port/health" >/dev/null 2>&1 && exit
  sleep 0.1
done
LOSE
chmod +x "$state/lose"
export LOSE_SESSION="$state/lose"
MCPD_TOKEN=$("$python" -m mcpd token create --sub recorder --ttl 1d --state-dir "$state/state")
export MCPD_TOKEN
conformance/clients/list --versions >"$state/versions"
failed=0
while read -r client scenario; do
  [ -z "${1:-}" ] || [ "$1" = "$client" ] || continue
  [ -z "${2:-}" ] || [ "$2" = "$scenario" ] || continue
  [ "$client $scenario" != "python-sdk-1-sse session_lost" ] || continue # its session is its stream
  endpoint="http://127.0.0.1:$port/mcp/"
  if "$python" -m mcpd record --upstream "$endpoint" --out "$state/out" --client "$client" \
    --scenario "${scenario//_/-}" --server "conformance/everything.py ($version)" \
    --version-of "$(grep "^$client	" "$state/versions" | cut -f2)" \
    -- conformance/clients/run "$client" "$scenario" </dev/null >"$state/said" 2>&1; then
    mkdir -p "conformance/transcripts/$client"
    mv "$state/out/$client/${scenario//_/-}.txt" "conformance/transcripts/$client/"
    echo "recorded $client $scenario"
  else
    failed=1
    echo "FAILED   $client $scenario"
    sed 's/^/         /' "$state/said" | tail -5
  fi
done < <(conformance/clients/list)
exit "$failed"
