# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# A Debian forky on a disk image, as a host that an operator would have: systemd, sshd, apt, GRUB's configuration. The
# emulated host boots it with one of our kernels. Sourced, never run.

FORKY_SUITE=forky
# A host's own programs, what an operator and Ansible use, and the libraries that Holdfast's package depends on.
FORKY_PACKAGES="systemd systemd-sysv udev dbus mount e2fsprogs openssh-server iproute2 procps kmod kexec-tools initramfs-tools linux-base
    grub2-common grub-pc-bin curl jq python3 python3-apt
    libbz2-1.0 libcurl4t64 libfdt1 libgnutls30t64 libjansson4 liblz4-1 liblzma5 libmicrohttpd12t64 liburing2 libzstd1 zlib1g"
FORKY_LEFT_OUT=("/usr/share/doc/*" "/usr/share/man/*" "/usr/share/locale/*" "/usr/share/info/*" "/usr/lib/udev/hwdb.d/*")
FORKY_SIZE=1G
# What the harness brings into the image: its agent, and the unit that runs it.
FORKY_AGENT=$HF_ROOT/tests/host/initrd/agent
FORKY_UNIT=$HF_ROOT/tests/host/system

forky_key() {
    { grep -vE '^ *(#|$)' "$HF_ROOT/tools/lib/forky.sh" && cat "$FORKY_AGENT" && cat "$FORKY_UNIT"/*; } | sha
}

# forky_path: the image, an ext4 file system that is to be copied before it is written to; or nothing.
forky_path() {
    local dir
    dir=$HF_CACHE/forky/$(forky_key)
    [ ! -f "$dir/image" ] || printf '%s/image' "$dir"
}

forky_get() { [ -n "$(forky_path)" ] || locked forky forky_get_locked; }

forky_get_locked() {
    local tmp
    [ -z "$(forky_path)" ] || return 0
    [ "$(id -u)" = 0 ] || need "only root can make the image of a Debian forky host: run tools/setup as root"
    step "making the image of a Debian forky host"
    tmp=$(new_dir forky)
    debian_conf "$FORKY_SUITE"
    quietly "$HF_CACHE/log/forky.log" forky_bootstrap "$tmp/root"
    quietly "$HF_CACHE/log/forky-settle.log" forky_settle "$tmp/root"
    quietly "$HF_CACHE/log/forky-image.log" forky_image "$tmp/root" "$tmp/image"
    rm -rf "$tmp/root"
    mkdir -p "$HF_CACHE/forky"
    rm -rf "${HF_CACHE:?}/forky/$(forky_key)"
    mv "$tmp" "$HF_CACHE/forky/$(forky_key)"
}

forky_bootstrap() {
    local pattern options=(--dpkgopt=force-unsafe-io)
    for pattern in "${FORKY_LEFT_OUT[@]}"; do
        options+=("--dpkgopt=path-exclude=$pattern")
    done
    # A machine whose mirror is a snapshot says so to its own apt.
    options+=("--aptopt=$(apt-config dump Acquire::Check-Valid-Until | head -n 1)")
    mmdebstrap --mode=root --variant=apt --include="$(echo $FORKY_PACKAGES)" --aptopt='APT::Install-Recommends "false"' \
        "${options[@]}" "$FORKY_SUITE" "$1" "$HF_CACHE/apt/$FORKY_SUITE/sources.list"
}

# forky_settle FOLDER: what an installer would have asked for, and the harness's agent.
forky_settle() {
    set -e
    # It has no mirror: what a scenario installs, it brings along.
    rm -f "$1"/etc/apt/sources.list "$1"/etc/apt/sources.list.d/*
    rm -rf "$1"/var/cache/apt/*.bin "$1"/var/lib/apt/lists/*
    printf 'host\n' >"$1/etc/hostname"
    printf '127.0.0.1 localhost host\n' >"$1/etc/hosts"
    printf '/dev/vda / ext4 rw 0 1\n' >"$1/etc/fstab"
    : >"$1/etc/machine-id"
    install -m 755 "$FORKY_AGENT" "$1/usr/local/sbin/holdfast-test-agent"
    install -m 644 "$FORKY_UNIT"/*.service "$1/etc/systemd/system/"
    install -m 644 "$FORKY_UNIT"/*.network "$1/etc/systemd/network/"
    # Our kernels unpack no other.
    printf 'COMPRESS=gzip\nCOMPRESSLEVEL=1\nMODULES=list\n' >"$1/etc/initramfs-tools/conf.d/holdfast-test"
    # What a first boot would do is done: it takes an emulated machine a minute.
    touch -r "$1/usr" "$1/etc/.updated" "$1/var/.updated"
    chroot "$1" systemctl -q enable systemd-networkd.service holdfast-test-agent.service
    chroot "$1" systemctl -q mask systemd-networkd-wait-online.service systemd-hwdb-update.service apt-daily.timer \
        apt-daily-upgrade.timer man-db.timer e2scrub_all.timer fstrim.timer
}

# forky_image FOLDER IMAGE: without a mount.
forky_image() {
    truncate -s "$FORKY_SIZE" "$2"
    PATH=$PATH:/usr/sbin:/sbin mkfs.ext4 -q -F -L forky -E root_owner=0:0 -d "$1" "$2"
}
