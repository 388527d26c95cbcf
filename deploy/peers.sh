#!/usr/bin/env bash
# Sets up the peers of `make bench-peers` below target/peers, each in the version that is written here. What cannot be had
# is said in one sentence and left out. Usage: deploy/peers.sh
set -uo pipefail
cd "$(dirname "$0")/.."

sharp=0.35.5 ipx=3.1.1 oximg=0.18.1 pyvips=3.2.0 pillow_simd=12.1.1.post0 thumbor=7.8.0
folder=${CARGO_TARGET_DIR:-target}/peers
mkdir -p "$folder"
folder=$(cd "$folder" && pwd)

say() { printf 'peers: %s\n' "$*" >&2; }

# once NAME VERSION COMMAND...: runs a command unless it already succeeded for this version.
once() {
  local name=$1 version=$2
  shift 2
  if [[ $(cat "$folder/$name.done" 2>/dev/null) == "$version" ]]; then return 0; fi
  say "setting up $name $version"
  if "$@" >"$folder/$name.log" 2>&1; then
    printf '%s\n' "$version" >"$folder/$name.done"
  else
    say "$name $version cannot be had here ($folder/$name.log says why) and is left out."
    return 1
  fi
}

node_peers() {
  mkdir -p "$folder/node"
  printf '{"private":true,"type":"module"}\n' >"$folder/node/package.json"
  npm install --prefix "$folder/node" --no-audit --no-fund --loglevel=error "sharp@$sharp" "ipx@$ipx" </dev/null
}

venv() {
  local name=$1
  shift
  python3 -m venv --clear "$folder/$name" && "$folder/$name/bin/pip" install -q --disable-pip-version-check "$@"
}

# A program beside ours, in a folder of its own: nothing of it is ever linked.
oximg_program() {
  # Outside of this repository, so that its Cargo.toml and its lints have no say.
  (cd / && CARGO_TARGET_DIR="$folder/oximg-build" cargo install oximg --version "$oximg" --locked --root "$folder/oximg") \
    && rm -rf "$folder/oximg-build"
}

: >"$folder/versions.txt"
once node "sharp@$sharp ipx@$ipx" node_peers && echo "ipx $ipx (with its own sharp)" >>"$folder/versions.txt"
once py "pyvips@$pyvips pillow-simd@$pillow_simd" venv py "pyvips[binary]==$pyvips" "Pillow-SIMD==$pillow_simd"
once thumbor "$thumbor" venv thumbor "thumbor==$thumbor" && echo "thumbor $thumbor" >>"$folder/versions.txt"
once oximg "$oximg" oximg_program && echo "oximg $oximg (oximg-speed: OXIMG_RESIZE=srgb OXIMG_DCT_MARGIN=1 PRESET=fast)" >>"$folder/versions.txt"
if [[ -x /usr/sbin/nginx ]]; then
  /usr/sbin/nginx -v 2>>"$folder/versions.txt"
else
  say 'nginx is not installed (apt-get install nginx libnginx-mod-http-image-filter) and is left out.'
fi
if ! "$folder/py/bin/python" -c 'from PIL import features; raise SystemExit(not features.check("webp"))' 2>/dev/null; then
  say 'Pillow-SIMD was built without WebP (libwebp-dev was missing when it was set up): its W1w and W2w are left out.'
fi
exit 0
