#!/bin/sh
# Installs the Debian packages that Smalti builds with (and, with `test`, those its tests and benches use).
# As root or through sudo; otherwise prints the one line to install with, and stops.
set -eu

build="build-essential cmake ninja-build pkg-config ccache libvips-dev libasio-dev libssl-dev libexpected-dev
  libfmt-dev libpugixml-dev libxxhash-dev liblz4-dev libzstd-dev zlib1g-dev"
# Debian has it for x86-64 only.
[ "$(dpkg --print-architecture)" != amd64 ] || build="$build libipsec-mb-dev"
demo="ukui-wallpapers python3-minimal"
tests="libgtest-dev libgmock-dev libbenchmark-dev python3 imagemagick libvips-tools ukui-wallpapers universal-ctags
  iproute2 procps"
asan=""
tsan="clang-19 libclang-rt-19-dev"
peers="debootstrap"
benches="redis-server redis-tools iperf3 libbenchmark-dev"

wanted=$build
for group in "$@"; do
  case $group in
    demo) wanted="$wanted $demo" ;;
    test) wanted="$wanted $tests" ;;
    asan) wanted="$wanted $asan" ;;
    tsan) wanted="$wanted $tsan" ;;
    peers) wanted="$wanted $peers" ;;
    bench) wanted="$wanted $tests $benches" ;;
    *) echo "install.sh: unknown group '$group': demo, test, asan, tsan, peers or bench" >&2; exit 2 ;;
  esac
done

missing=""
for package in $wanted; do
  dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

if [ "$(id -u)" = 0 ]; then as_root=""
elif command -v sudo >/dev/null && { sudo -n true 2>/dev/null || [ -t 0 ]; }; then as_root="sudo"
else
  echo "These packages are needed; install them as root with:" >&2
  echo "  apt-get update && apt-get install -y --no-install-recommends$missing" >&2
  exit 1
fi
echo "Installing:$missing"
$as_root apt-get update -qq
DEBIAN_FRONTEND=noninteractive $as_root apt-get install -y -qq --no-install-recommends $missing >/dev/null
