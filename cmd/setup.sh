# What the project's two commands share: packages, an account, a build.
# Sourced by cmd/quickstart and tests/run; POSIX sh.
#
# Run as root, the work is done by an unprivileged account with sub-IDs: the one
# that called sudo, or `moss`, made when missing. The sources are copied to it,
# so that a checkout below /root works too. moss itself never runs as root.

MOSS_ACCOUNT=${MOSS_ACCOUNT:-${SUDO_USER:-moss}}
[ "$MOSS_ACCOUNT" = root ] && MOSS_ACCOUNT=moss

say() {
	printf '\033[1m==> %s\033[0m\n' "$*" | if [ -t 1 ] && [ -z "${NO_COLOR-}" ]; then cat; else sed 's/\x1b\[[0-9;]*m//g'; fi
}

fail() {
	printf '%s: %s\n' "${0##*/}" "$1" >&2
	[ -z "${2-}" ] || printf '%s\n' "$2" >&2
	exit 1
}

# The distribution's words for what moss builds and runs with.
packages_build() {
	case $1 in
	apt) echo gcc meson ninja-build pkg-config libc6-dev libseccomp-dev \
		libcjson-dev libslirp-dev libglib2.0-dev libarchive-dev \
		libcurl4-openssl-dev libssl-dev zlib1g-dev libzstd-dev python3 ;;
	dnf) echo gcc meson ninja-build pkgconf-pkg-config glibc-static \
		libseccomp-devel cjson-devel libslirp-devel glib2-devel \
		libarchive-devel libcurl-devel openssl-devel zlib-devel \
		libzstd-devel python3 ;;
	pacman) echo gcc meson ninja pkgconf libseccomp cjson libslirp glib2 \
		libarchive curl openssl zlib zstd python ;;
	apk) echo build-base meson ninja pkgconf linux-headers libseccomp-dev \
		cjson-dev libslirp-dev glib-dev libarchive-dev curl-dev \
		openssl-dev zlib-dev zstd-dev python3 ;;
	esac
}

# What makes moss faster, or able to set limits from a login, or to build from
# git repositories; not every distribution has it for every machine.
packages_optional() {
	case $1 in
	apt) echo libsystemd-dev libisal-dev git ;;
	dnf) echo systemd-devel isa-l-devel git-core ;;
	pacman) echo systemd-libs isa-l git ;;
	apk) echo isa-l-dev git ;;
	esac
}

packages_run() {
	case $1 in
	apt) echo uidmap fuse-overlayfs procps gzip busybox-static curl \
		ca-certificates ;;
	dnf) echo shadow-utils fuse-overlayfs procps-ng gzip busybox curl ;;
	pacman) echo shadow fuse-overlayfs procps-ng gzip busybox curl ;;
	apk) echo shadow-uidmap fuse-overlayfs procps gzip busybox-static curl ;;
	esac
}

package_manager() {
	for manager in apt-get dnf pacman apk; do
		if command -v "$manager" >/dev/null 2>&1; then
			echo "${manager%-get}"
			return
		fi
	done
}

package_missing() { # MANAGER PACKAGE...
	manager=$1
	shift
	for package; do
		case $manager in
		apt) dpkg-query -W -f '${Status}' "$package" 2>/dev/null |
			grep -q 'ok installed' || echo "$package" ;;
		dnf) rpm -q "$package" >/dev/null 2>&1 || echo "$package" ;;
		pacman) pacman -Q "$package" >/dev/null 2>&1 || echo "$package" ;;
		apk) apk info -e "$package" >/dev/null 2>&1 || echo "$package" ;;
		esac
	done
}

# Installs what is missing of the packages given. Needs root only if any is.
packages_install() {
	manager=$(package_manager)
	[ -n "$manager" ] || {
		say "no known package manager: assuming the packages are there"
		return 0
	}
	missing=$(package_missing "$manager" "$@" | tr '\n' ' ')
	[ -n "$missing" ] || return 0
	case $manager in
	apt) install="apt-get install -y --no-install-recommends" ;;
	dnf) install="dnf install -y" ;;
	pacman) install="pacman -S --noconfirm --needed" ;;
	apk) install="apk add" ;;
	esac
	as_root=
	if [ "$(id -u)" != 0 ]; then
		command -v sudo >/dev/null 2>&1 ||
			fail "missing packages: $missing" \
				"Ask someone with root to run: $install $missing"
		as_root=sudo
	fi
	say "installing $missing"
	if [ "$manager" = apt ]; then
		$as_root env DEBIAN_FRONTEND=noninteractive apt-get update -qq ||
			true
		install="env DEBIAN_FRONTEND=noninteractive $install -qq"
	fi
	# shellcheck disable=SC2086
	$as_root $install $missing >/dev/null ||
		fail "could not install: $missing" "Try: $install $missing"
}

packages_try() {
	for package; do
		(packages_install "$package") 2>/dev/null ||
			say "doing without $package"
	done
}

# Makes sure account $1 exists; with sub-IDs unless $2 is "none".
account_make() {
	id "$1" >/dev/null 2>&1 || useradd --create-home --shell /bin/sh "$1" ||
		fail "could not make the account $1"
	[ "${2-}" = none ] && {
		sed -i "/^$1:/d" /etc/subuid /etc/subgid
		return
	}
	for kind in uid gid; do
		touch "/etc/sub$kind"
		grep -q "^$1:" "/etc/sub$kind" && continue
		start=$(awk -F: 'BEGIN { top = 100000 }
			$2 + $3 > top { top = $2 + $3 } END { print top }' \
			"/etc/sub$kind")
		echo "$1:$start:65536" >>"/etc/sub$kind"
	done
}

# The kernel's two devices that a rootless container may use.
devices_open() {
	for device in /dev/fuse /dev/net/tun; do
		[ -c "$device" ] || continue
		[ "$(stat -c %a "$device")" = 666 ] || {
			say "opening $device to all users (it was not)"
			chmod 666 "$device"
		}
	done
}

account_home() { getent passwd "$1" | cut -d: -f6; }

# Copies the checkout at $1 to $2, owned by account $3.
sources_copy() {
	# What an older copy has and this one has not would be found by the compiler.
	rm -rf "$2"
	mkdir -p "$2"
	tar -C "$1" --exclude=./.git --exclude='./build*' -cf - . |
		tar -C "$2" --no-same-owner -xf -
	chown -R "$3:" "$2"
}

# Runs the rest as account $1, with a clean environment.
account_run() {
	account=$1
	shift
	home=$(account_home "$account")
	(cd "$home" && exec setpriv --reuid "$account" \
		--regid "$(id -g "$account")" --init-groups \
		env -i HOME="$home" USER="$account" LANG=C.UTF-8 \
		PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
		${TERM:+TERM="$TERM"} ${CI:+CI="$CI"} \
		${NO_COLOR:+NO_COLOR="$NO_COLOR"} "$@")
}

# Configures (once) and builds the sources at $1 into $2.
build() {
	[ -f "$2/build.ninja" ] || meson setup "$2" "$1" ${3-} >"$2.log" 2>&1 || {
		cat "$2.log" >&2
		fail "the build could not be configured"
	}
	ninja -C "$2" >"$2.log" 2>&1 || {
		cat "$2.log" >&2
		fail "the build failed"
	}
}
