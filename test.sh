#!/bin/sh
# Installs what is needed, builds, and passes the tests. Without arguments: the everyday tests.
#   --asan    also the unit tests under AddressSanitizer and UndefinedBehaviorSanitizer
#   --tsan    also the concurrent parts under ThreadSanitizer
#   --peers   also against ImageMagick 7 of a newer Debian release (root; bootstraps it once)
#   --large   also the seed's example with its real limits, on an image that exceeds them (long; needs disk and memory)
set -eu
cd "$(dirname "$0")"

groups=test
asan=0; tsan=0; labels="everyday"
for option in "$@"; do
  case $option in
    --asan) asan=1; groups="$groups asan" ;;
    --tsan) tsan=1; groups="$groups tsan" ;;
    --peers) labels="$labels|peers"; groups="$groups peers" ;;
    --large) labels="$labels|large" ;;
    -h|--help) sed -n '2,7s/^# \{0,1\}//p' "$0"; exit 0 ;;
    *) echo "test.sh: unknown option '$option'; see ./test.sh --help" >&2; exit 2 ;;
  esac
done

sh tools/install.sh $groups
cmake --preset release -DSMALTI_TESTS=ON >/dev/null
cmake --build --preset release
ctest --preset release -L "$labels"
if [ $asan = 1 ]; then
  cmake --preset asan >/dev/null
  cmake --build --preset asan
  ctest --preset asan -L unit
fi
if [ $tsan = 1 ]; then
  cmake --preset tsan >/dev/null
  cmake --build --preset tsan
  ctest --preset tsan -L concurrent
fi
