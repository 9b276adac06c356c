#!/bin/sh
# Gives a newer Debian release's ImageMagick 7 to the tests, without touching this system: two root folders, `release`
# and `security` (with security updates), each with the Q16 and the Q16-HDRI program. Handshake s is that of packages up
# to deb13u12, n16 that of later ones; point releases move these into `release`, too. Made once, from the mirrors this system's apt uses; kept outside the source tree. Needs root.
#   tools/peers.sh [FOLDER]     prints FOLDER (default: ${XDG_CACHE_HOME:-~/.cache}/smalti/peers)
set -eu

suite=trixie
folder=${1:-${SMALTI_PEERS:-${XDG_CACHE_HOME:-$HOME/.cache}/smalti/peers}}
programs="imagemagick-7.q16 imagemagick-7.q16hdri"

if [ -e "$folder/release/.whole" ] && [ -e "$folder/security/.whole" ]; then
  echo "$folder"
  exit 0
fi
[ "$(id -u)" = 0 ] || { echo "peers.sh: needs root, once, to make $folder" >&2; exit 1; }
command -v debootstrap >/dev/null || { echo "peers.sh: install debootstrap first" >&2; exit 1; }

mirror_of() {  # the first repository of this system whose suite matches $1
  apt-get indextargets --format '$(REPO_URI) $(CODENAME)' 'Created-By: Packages' |
    awk -v suite="$1" '$2 ~ suite { print $1; exit }'
}
here=$(. /etc/os-release && echo "$VERSION_CODENAME")
main=$(mirror_of "^$here\$")
security=$(mirror_of "^$here-security\$")
[ -n "$main" ] || { echo "peers.sh: apt knows no repository of $here" >&2; exit 1; }
if [ -z "$security" ]; then
  echo "peers.sh: the system's apt sources name no $here-security mirror; add one (man sources.list), then try again" >&2
  exit 1
fi

in_root() {  # in_root ROOT command...
  root=$1; shift
  chroot "$root" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 \
    DEBIAN_FRONTEND=noninteractive ${http_proxy:+http_proxy="$http_proxy"} ${https_proxy:+https_proxy="$https_proxy"} "$@"
}

connect_root() {  # names, certificates and proxies as this system has them
  cp -L /etc/resolv.conf "$1/etc/resolv.conf" 2>/dev/null || true
  cp -L /etc/hosts "$1/etc/hosts" 2>/dev/null || true
  apt-config dump | grep -i '^Acquire::[a-z]*::Proxy' >"$1/etc/apt/apt.conf.d/90host" || true
  printf '#!/bin/sh\nexit 101\n' >"$1/usr/sbin/policy-rc.d"  # start no services
  chmod +x "$1/usr/sbin/policy-rc.d"
}

log=$folder/log
mkdir -p "$folder"
rm -rf "$folder/release" "$folder/security" "$folder/making"

echo "Making $folder/release from $main (once; see $log)" >&2
debootstrap --variant=minbase "$suite" "$folder/making" "$main" >"$log" 2>&1
connect_root "$folder/making"
echo "deb $main $suite main" >"$folder/making/etc/apt/sources.list"
in_root "$folder/making" apt-get update >>"$log" 2>&1
in_root "$folder/making" apt-get install -y --no-install-recommends $programs >>"$log" 2>&1
in_root "$folder/making" apt-get clean
touch "$folder/making/.whole"

echo "Making $folder/security from $security" >&2
cp -a "$folder/making" "$folder/security"
rm "$folder/security/.whole"
mv "$folder/making" "$folder/release"
echo "deb $security $suite-security main" >>"$folder/security/etc/apt/sources.list"
in_root "$folder/security" apt-get update >>"$log" 2>&1
in_root "$folder/security" apt-get install -y --no-install-recommends $programs >>"$log" 2>&1
in_root "$folder/security" apt-get clean
touch "$folder/security/.whole"
echo "$folder"
