# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# A small Debian system on a disk image, in which test guests run real programs: Debian 13's packages, unpacked and not
# configured, for a guest whose PID 1 is ours. Sourced, never run.

GUEST_ROOT_SUITE=trixie
# fio brings Python along.
GUEST_ROOT_PACKAGES="base-files dash coreutils e2fsprogs fio python3 sqlite3"
# What no program of them opens.
GUEST_ROOT_LEFT_OUT="usr/share/doc usr/share/man usr/share/locale usr/share/info var/cache"
# Modules of Python that are compiled beforehand: an emulated guest takes half a minute for it, at each start.
GUEST_ROOT_MODULES="sqlite3, threading, time, binascii"
GUEST_ROOT_SIZE=256M

guest_root_key() { grep -vE '^ *(#|$)' "$HF_ROOT/tools/lib/guest-root.sh" | sha; }

# guest_root_path: the image, an ext4 file system that is to be copied before it is written to; or nothing.
guest_root_path() {
    local dir
    dir=$HF_CACHE/guest-root/$(guest_root_key)
    [ ! -f "$dir/image" ] || printf '%s/image' "$dir"
}

guest_root_get() { [ -n "$(guest_root_path)" ] || locked guest-root guest_root_get_locked; }

guest_root_get_locked() {
    local tmp deb
    [ -z "$(guest_root_path)" ] || return 0
    step "making the image of a small Debian 13 for test guests"
    tmp=$(new_dir guest-root)
    # shellcheck disable=SC2086 # a list of words
    debian_fetch_all guest-root "$GUEST_ROOT_SUITE" "$tmp/debs" $GUEST_ROOT_PACKAGES
    mkdir "$tmp/root"
    for deb in "$tmp"/debs/*.deb; do
        dpkg-deb -x "$deb" "$tmp/root"
    done
    find "$tmp/debs" -name '*.deb' -printf '%f\n' | sort >"$tmp/packages"
    (cd "$tmp/root" && rm -rf $GUEST_ROOT_LEFT_OUT && mkdir -p dev proc run srv sys tmp work)
    guest_root_python "$tmp/root" -IS -c "import $GUEST_ROOT_MODULES" || die "the Python unpacked in $tmp does not run"
    # As the packages' own scripts would make them.
    printf 'root:x:0:0:root:/root:/bin/sh\n' >"$tmp/root/etc/passwd"
    printf 'root:x:0:\n' >"$tmp/root/etc/group"
    quietly "$HF_CACHE/log/guest-root.log" guest_root_image "$tmp/root" "$tmp/image"
    rm -rf "$tmp/debs" "$tmp/root"
    mkdir -p "$HF_CACHE/guest-root"
    rm -rf "${HF_CACHE:?}/guest-root/$(guest_root_key)"
    mv "$tmp" "$HF_CACHE/guest-root/$(guest_root_key)"
}

# guest_root_python FOLDER ARGUMENT...: the Python that was unpacked there, with its own C library.
guest_root_python() {
    local libs=$1/usr/lib/x86_64-linux-gnu
    "$libs/ld-linux-x86-64.so.2" --library-path "$libs" "$1/usr/bin/python3" "${@:2}"
}

# guest_root_image FOLDER IMAGE: without a mount, so without root's rights.
guest_root_image() {
    truncate -s "$GUEST_ROOT_SIZE" "$2"
    PATH=$PATH:/usr/sbin:/sbin mkfs.ext4 -q -F -L guest-root -E root_owner=0:0 -d "$1" "$2"
}
