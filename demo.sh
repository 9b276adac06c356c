#!/bin/sh
# One command: installs what is needed, builds, starts two pixel servers, and sharpens a real photograph whose pixels
# do not fit the client's limits. Leaves the result in demo-output/.
#   ./demo.sh [PICTURE]
set -eu
cd "$(dirname "$0")"
picture=${1:-}

sh tools/install.sh demo
cmake --preset release -DSMALTI_TESTS=OFF >/dev/null
cmake --build --preset release --target smalti
smalti=$PWD/build/release/smalti

[ -n "$picture" ] || picture=$(find /usr/share/backgrounds -name '*.jpg' -size +500k | sort | head -n 1)
[ -r "$picture" ] || { echo "demo.sh: cannot read the picture '$picture'" >&2; exit 1; }

mkdir -p demo-output
stage=$(mktemp -d)
servers=""
finish() {
  for pid in $servers; do kill "$pid" 2>/dev/null || true; done
  wait
  rm -rf "$stage"
}
trap finish EXIT
trap 'exit 130' INT TERM

# The shared secret of this demonstration; its own policy folder leaves yours alone.
cat >"$stage/policy.xml" <<POLICY
<policymap>
  <policy domain="cache" name="shared-secret" value="$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')" stealth="true"/>
</policymap>
POLICY
export SMALTI_CONFIGURE_PATH="$stage"

hosts=""
for number in 1 2; do
  XDG_STATE_HOME="$stage/state-$number" "$smalti" -distribute-cache 127.0.0.1:0 >"$stage/ready-$number" &
  servers="$servers $!"
  tries=0
  until address=$(grep -o '127\.0\.0\.1:[0-9]*' "$stage/ready-$number"); do
    tries=$((tries + 1))
    [ $tries -lt 200 ] || { echo "demo.sh: server $number did not start" >&2; exit 1; }
    sleep 0.05
  done
  hosts="$hosts${hosts:+,}$address"
done

echo "Two pixel servers: $hosts"
echo "+ smalti -limit memory 4MiB -limit disk 4MiB -define registry:cache:hosts=$hosts $picture -sharpen 5x2 demo-output/sharpened.png"
"$smalti" -verbose -limit memory 4MiB -limit disk 4MiB -define "registry:cache:hosts=$hosts" "$picture" \
  -sharpen 5x2 demo-output/sharpened.png

echo "The same without servers, to compare:"
"$smalti" "$picture" -sharpen 5x2 demo-output/alone.png
if cmp -s demo-output/sharpened.png demo-output/alone.png; then echo "Both results are the same, byte for byte."
else echo "demo.sh: the results differ" >&2; exit 1
fi
echo "Look at demo-output/sharpened.png"
