#!/usr/bin/env bash
# Run the official conformance suite against mcpd serving everything.py, for both requirement sets,
# and print the counts. Fails on any failing check, the unscored scenarios included.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}
suite=.clients/conformance
mkdir -p "$suite"
if [ ! -x "$suite/node_modules/.bin/conformance" ]; then
  # The suite needs Node 22 or newer, which the package node@22 brings.
  npm --prefix "$suite" install --silent --no-audit --no-fund \
    @modelcontextprotocol/conformance@0.2.0-alpha.12 node@22 >/dev/null
fi
state=$(mktemp -d)
"$python" -m mcpd serve --port 0 --auth none --state-dir "$state" \
  --app conformance/everything.py:app >"$state/log" 2>&1 &
server=$!
trap 'kill "$server" 2>/dev/null; rm -rf "$state"' EXIT
for _ in $(seq 100); do
  url=$(grep -o 'listening on http://[^ ]*' "$state/log" | head -1 | cut -d' ' -f3) && break
  sleep 0.1
done
[ -n "${url:-}" ] || { cat "$state/log" >&2; exit 1; }
failed=0
for revision in 2025-11-25 2026-07-28; do
  "$suite/node_modules/node/bin/node" "$suite/node_modules/.bin/conformance" server \
    --url "${url%/}" --requirements "$revision" --output-dir "$state/$revision" \
    >"$state/$revision.log" 2>&1 || true
  total=$(grep -o 'Total: [0-9]* passed, [0-9]* failed' "$state/$revision.log" || echo "no result")
  scenarios=$(grep -c '^[✓✗] ' "$state/$revision.log" || true)
  echo "$revision: $scenarios scenarios. $total"
  case "$total" in
    "Total: "*" passed, 0 failed") ;;
    *) failed=1; grep '✗' "$state/$revision.log" || tail -20 "$state/$revision.log" ;;
  esac
done
exit "$failed"
