#!/usr/bin/env bash
# Installs what a verb of the Makefile needs and this machine lacks; quick and silent when nothing is missing.
# Usage: deploy/setup.sh run|test|bench
set -euo pipefail
cd "$(dirname "$0")/.."

missing=()   # packages without which the verb fails
optional=()  # packages without which it does less

say() { printf 'setup: %s\n' "$*"; }
fail() { printf 'setup: %s\n' "$*" >&2; exit 1; }

# What dpkg knows, asked once. Machines without dpkg are judged by the probes alone.
installed=$(dpkg-query -W -f '${db:Status-Status} ${Package}\n' 2>/dev/null | sed -n 's/^installed //p' || true)

# A package counts as present when dpkg says so or when its probe succeeds, for it may have come by another way.
present() {
  local package=$1
  shift
  [[ $'\n'$installed$'\n' == *$'\n'"$package"$'\n'* ]] || "$@" >/dev/null 2>&1
}

# need PACKAGE REASON PROBE...: required. want PACKAGE REASON PROBE...: recommended.
need() {
  local package=$1 reason=$2
  shift 2
  present "$package" "$@" || { missing+=("$package"); say "$package is missing: $reason"; }
}
want() {
  local package=$1 reason=$2
  shift 2
  present "$package" "$@" || { optional+=("$package"); say "$package is recommended: $reason"; }
}

has() { command -v "$1" || [[ -x /usr/sbin/$1 ]]; }
has_vulkan_loader() { { ldconfig -p || /sbin/ldconfig -p; } 2>/dev/null | grep -q 'libvulkan\.so\.1'; }
has_software_vulkan() { compgen -G '/usr/share/vulkan/icd.d/lvp_icd*.json' || compgen -G '/etc/vulkan/icd.d/lvp_icd*.json'; }
has_postgres_server() { command -v initdb || compgen -G '/usr/lib/postgresql/*/bin/initdb'; }
has_venv() { python3 -c 'import ensurepip, venv'; }

needs_of_run() {
  need gcc 'compiles the image codecs and SQLite, and links' has cc
  need libc6-dev 'headers of the C library for that compiler' test -e /usr/include/stdio.h
  need nasm 'assembles the SIMD code of the JPEG and AVIF codecs' has nasm
  need cmake 'configures the AVIF codec' has cmake
  need g++ 'compiles parts of the AVIF codec' has c++
  need perl 'writes tables of functions for the AVIF codec' has perl
  need make 'runs the verbs of this project' has make
}

needs_of_test() {
  needs_of_run
  need libvulkan1 'the Vulkan loader, for the tests of the GPU path' has_vulkan_loader
  need mesa-vulkan-drivers 'a Vulkan driver in software, for the tests of the GPU path' has_software_vulkan
  need postgresql 'a private PostgreSQL server, for the tests of that catalog' has_postgres_server
  need strace 'shows in what order an upload reaches the disk' has strace
  need python3-venv 'a private environment for the official Python SDK and the S3 server' has_venv
  need nodejs 'runs the official Node SDK' has node
  need npm 'installs the official Node SDK' has npm
  need openssl 'makes certificates, for the tests of TLS' has openssl
}

# Runs a command as root.
as_root() {
  if [[ $(id -u) == 0 ]]; then "$@"; else sudo "$@"; fi
}

apt() {
  as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -y -o Dpkg::Use-Pty=0 "$@" </dev/null
}

install() {
  say "installing with apt-get: $*"
  if ! compgen -G '/var/lib/apt/lists/*_Packages*' >/dev/null; then apt update; fi
  # A list that is too old names files that are gone; then it is renewed once.
  apt install --no-install-recommends "$@" || { apt update && apt install --no-install-recommends "$@"; }
}

install_packages() {
  [[ ${#missing[@]} -gt 0 || ${#optional[@]} -gt 0 ]] || return 0
  local obstacle=
  if ! command -v apt-get >/dev/null; then
    obstacle='this system has no apt-get'
  elif [[ $(id -u) != 0 ]] && ! command -v sudo >/dev/null; then
    obstacle='that takes root, and there is no sudo'
  fi
  if [[ ${#missing[@]} -eq 0 ]]; then
    # Nobody should have to give a password for something that can be done without.
    if [[ -z $obstacle && $(id -u) == 0 ]]; then
      install "${optional[@]}" || say "going on without: ${optional[*]}"
    else
      say "going on without: ${optional[*]}"
    fi
    return 0
  fi
  if [[ -n $obstacle ]]; then
    fail "cannot install ${missing[*]}: $obstacle. Install them by hand (the names are Debian's), then try again."
  fi
  install "${missing[@]}" "${optional[@]}" || fail "apt-get could not install ${missing[*]}; its messages above say why."
}

need_cargo() {
  command -v cargo >/dev/null || fail 'cargo is missing: install a Rust toolchain (https://rustup.rs), then try again.'
}

# The official Node SDK, as the lock file has it.
node_packages() {
  local from=api/tests/sdk/node to=.tools/node
  if cmp -s "$from/package-lock.json" "$to/package-lock.json" && [[ -d $to/node_modules/cloudinary ]]; then return 0; fi
  say 'installing the official Node SDK into .tools/node'
  mkdir -p "$to"
  cp "$from/package.json" "$from/package-lock.json" "$to"
  (cd "$to" && npm ci --silent --no-audit --no-fund) || { rm -f "$to/package-lock.json"; fail 'npm could not install the Node SDK; its messages above say why.'; }
}

# The official SDK, a reader of pictures that is not ours, and an S3 server, in the versions of the list.
python_environment() {
  local list=api/tests/sdk/requirements.txt copy=.tools/venv/requirements.txt python=.tools/venv/bin/python
  if cmp -s "$list" "$copy" && "$python" -c 'import cloudinary, cloudinary_cli, PIL, moto, flask' 2>/dev/null; then return 0; fi
  say "making .tools/venv with the Python packages of $list: the official SDK and program, Pillow (looks at pictures) and moto (an S3 server)"
  python3 -m venv --clear .tools/venv || fail 'python3 cannot make a virtual environment.'
  "$python" -m pip install --quiet --disable-pip-version-check -r "$list" \
    || fail "pip could not install what $list lists; its messages above say why."
  cp "$list" "$copy"
}

case ${1:-} in
  run)
    need_cargo
    needs_of_run
    want libvulkan1 'lets the server find a graphics card; without it the CPU renders' has_vulkan_loader
    install_packages
    ;;
  test)
    need_cargo
    needs_of_test
    install_packages
    python_environment
    node_packages
    ;;
  bench)
    need_cargo
    needs_of_run
    want libvulkan1 'the Vulkan loader, to measure the GPU path' has_vulkan_loader
    want nodejs 'runs sharp and ipx, peers' has node
    want npm 'installs sharp and ipx' has npm
    want nginx-light 'a peer; its package may also start a server on port 80' has nginx
    want libnginx-mod-http-image-filter 'lets nginx resize' test -e /usr/lib/nginx/modules/ngx_http_image_filter_module.so
    want python3-venv 'a private environment for pyvips, Pillow-SIMD and thumbor' has_venv
    want python3-dev 'headers that Pillow-SIMD is built with' test -e /usr/include/python3/Python.h
    want libjpeg62-turbo-dev 'lets Pillow-SIMD read JPEG' test -e /usr/include/jpeglib.h
    want zlib1g-dev 'lets Pillow-SIMD read PNG' test -e /usr/include/zlib.h
    want libwebp-dev 'lets Pillow-SIMD read and write WebP' test -e /usr/include/webp/encode.h
    install_packages
    ;;
  *)
    fail 'usage: deploy/setup.sh run|test|bench'
    ;;
esac
