#!/bin/sh
# Makes a directory's disk.img and kernel of a Debian root that comes as a tar
# archive on standard input.
#
#   root.sh DIRECTORY SIZE <ROOT.tar
#
# Runs as root of a user namespace, so that the files keep their owners.
set -eu
umask 022
cd "$1"
size=$2

mkdir root
trap 'rm -rf root' EXIT
tar -C root -xpf - --exclude='./dev/*'
mv root/boot/vmlinuz-* kernel
rm -rf root/boot/* root/var/cache/apt/* root/var/lib/apt/lists/*

# An ordinary account as useradd makes it, with subordinate IDs, and a second
# one whose logins and logouts do not disturb the tests' own session. Both may
# become root for what a machine's owner would do: linger, users' slices.
for account in tester visitor; do
	chroot root useradd --create-home --shell /bin/bash $account
	echo "$account ALL=(ALL) NOPASSWD: ALL" >root/etc/sudoers.d/$account
done
echo guest >root/etc/hostname
printf '127.0.0.1 localhost guest\n::1 localhost\n' >root/etc/hosts
echo '/dev/nvme0n1 / ext4 rw,noatime 0 0' >root/etc/fstab
# A disk is used by one run only, so that its identity may be in it.
echo 7b0f3d1c5a2e4968b1d7c3e5f9a08264 >root/etc/machine-id
mkdir -p root/etc/systemd/journald.conf.d
printf '[Journal]\nStorage=volatile\n' \
	>root/etc/systemd/journald.conf.d/guest.conf
# What follows a logout follows soon: ten seconds elsewhere.
mkdir -p root/etc/systemd/logind.conf.d
printf '[Login]\nUserStopDelaySec=1\n' >root/etc/systemd/logind.conf.d/guest.conf

# The second disk is the payload that run.py made: programs, tests, and the
# script that runs them, in a login session of the account.
units=root/etc/systemd/system
cat >$units/moss-tests.service <<EOF
[Unit]
Description=moss's tests
After=systemd-user-sessions.service

[Service]
Type=simple
User=tester
PAMName=login
ExecStartPre=+/bin/mkdir -p /srv/moss
ExecStartPre=+/bin/tar -C /srv/moss --no-same-owner -xf /dev/nvme1n1
ExecStartPre=+/bin/stty -F /dev/ttyS1 raw -echo
ExecStart=/bin/bash --login /srv/moss/tests/vm/session
StandardOutput=append:/dev/ttyS1
StandardError=append:/dev/ttyS1
# A session that could not even say how it ended.
ExecStopPost=+/bin/sh -c '[ -e /run/moss-reboot ] || poweroff -ff'
# Type=exec waits for pam's process, too, which stays as long as the session.
TimeoutStartSec=infinity
TimeoutStopSec=20

[Install]
WantedBy=multi-user.target
EOF
mkdir -p $units/multi-user.target.wants
ln -s ../moss-tests.service $units/multi-user.target.wants/

# Seconds of the boot that no test asks for.
for unit in apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer \
	e2scrub_all.timer e2scrub_reap.service fstrim.timer \
	getty@tty1.service serial-getty@ttyS0.service \
	systemd-timesyncd.service systemd-networkd.service \
	systemd-binfmt.service proc-sys-fs-binfmt_misc.automount \
	proc-sys-fs-binfmt_misc.mount dev-hugepages.mount dev-mqueue.mount \
	sys-kernel-debug.mount sys-kernel-tracing.mount \
	sys-fs-fuse-connections.mount sys-kernel-config.mount \
	modprobe@.service systemd-update-utmp.service \
	systemd-update-utmp-runlevel.service systemd-random-seed.service \
	systemd-journal-flush.service systemd-pstore.service \
	systemd-sysusers.service systemd-tmpfiles-clean.timer \
	systemd-machine-id-commit.service systemd-hwdb-update.service \
	systemd-modules-load.service systemd-initctl.socket \
	systemd-firstboot.service systemd-repart.service; do
	ln -sf /dev/null $units/$unit
done

mke2fs -q -t ext4 -O ^has_journal -d root disk.img "$size"
