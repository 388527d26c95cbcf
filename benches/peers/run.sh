#!/usr/bin/env bash
# The peers of `make bench`: sharp on W1 and W2, nginx on W7. Prints JSON lines. Usage: benches/peers/run.sh [ROUNDS]
set -euo pipefail
cd "$(dirname "$0")/../.."

rounds=${1:-7}
target=${CARGO_TARGET_DIR:-target}
folder=$(mktemp -d)
nginx=
stop() {
  local status=$?
  trap - EXIT INT TERM
  if [[ -n $nginx ]]; then
    kill "$nginx" 2>/dev/null || true
    wait "$nginx" 2>/dev/null || true
  fi
  rm -rf "$folder"
  exit "$status"
}
trap stop EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

cargo build --quiet --release -p tintype-benches --examples
"$target/release/examples/corpus" "$folder/corpus" photo_12mp >&2

echo 'sharp: W1, W2j, W2w' >&2
node benches/peers/sharp.mjs "$folder/corpus" api/assets/samples/cloudinary_icon.png "$rounds"

echo 'nginx: W7' >&2
# A worker that root starts changes to another user, which must be able to read the files.
chmod 755 "$folder"
mkdir -p "$folder/files" "$folder/temp"
head -c 20480 /dev/urandom >"$folder/files/cached.jpg"
port=$(node -e 'const s = require("net").createServer(); s.listen(0, "127.0.0.1", () => { console.log(s.address().port); s.close(); })')
sed -e "s|FOLDER|$folder|g" -e "s|PORT|$port|g" benches/peers/nginx.conf >"$folder/nginx.conf"
taskset -c 0 "$(command -v nginx || echo /usr/sbin/nginx)" -p "$folder" -c "$folder/nginx.conf" 2>>"$folder/error.log" &
nginx=$!
for ((attempt = 0; attempt < 100; attempt++)); do
  if (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then break; fi
  sleep 0.05
done
for ((round = 0; round < rounds; round++)); do
  outcome=$("$target/release/examples/load" "127.0.0.1:$port" /cached.jpg 32 3 1) || { cat "$folder/error.log" >&2; exit 1; }
  echo "{\"peer\":\"nginx\",\"workload\":\"W7\",\"round\":$round,${outcome#\{}"
done
