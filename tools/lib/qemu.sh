# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# QEMU for the emulated host. Sourced, never run.

# QEMU 7 panics nested guests that have more than one vCPU. So Debian's newest is used on every release of Debian, with all
# libraries that it needs, and with two faults taken out (qemu_mend.py); a QEMU that the machine may have for other uses
# stays what it is.
QEMU_SUITE=trixie-backports
QEMU_BASE=trixie
QEMU_MAJOR=11

# qemu_major PROGRAM
qemu_major() {
    local version
    version=$("$1" --version 2>/dev/null | sed -n 's/.*version \([0-9]*\)\..*/\1/p')
    printf '%s' "${version:-0}"
}

# The QEMU to use, or nothing.
qemu_path() {
    if [ -n "${HOLDFAST_QEMU:-}" ]; then
        [ "$(qemu_major "$HOLDFAST_QEMU")" -lt 10 ] || printf '%s' "$HOLDFAST_QEMU"
    elif [ -f "$(qemu_mended)" ]; then
        printf '%s/qemu/run' "$HF_CACHE"
    fi
}

# What says that the QEMU in the cache is mended: a file of its own for each version of what mends it, so that a QEMU which
# another version of tools/setup unpacked is mended, too.
qemu_mended() { printf '%s/qemu/mended-%s' "$HF_CACHE" "$(sha256sum "$HF_ROOT/tools/lib/qemu_mend.py" | head -c 12)"; }

qemu_get() {
    [ -z "$(qemu_path)" ] || return 0
    [ -z "${HOLDFAST_QEMU:-}" ] || need "HOLDFAST_QEMU=$HOLDFAST_QEMU is not QEMU 10 or newer"
    locked qemu qemu_get_locked
}

qemu_get_locked() {
    [ -z "$(qemu_path)" ] || return 0
    [ -f "$HF_CACHE/qemu/version" ] || qemu_unpack
    python3 "$HF_ROOT/tools/lib/qemu_mend.py" "$HF_CACHE/qemu/root/usr/bin/qemu-system-x86_64" >"$HF_CACHE/qemu/mending" ||
        die "QEMU in $HF_CACHE/qemu cannot be mended: remove that folder and run this again"
    mv "$HF_CACHE/qemu/mending" "$(qemu_mended)"
    step "$(cat "$(qemu_mended)") (docs/decisions/0010-qemu-is-mended.md)"
}

qemu_unpack() {
    local version tmp deb
    debian_conf "$QEMU_SUITE"
    version=$(debian_newest "$QEMU_SUITE" qemu-system-x86 "1:$QEMU_MAJOR.")
    [ -n "$version" ] || die "Debian's $QEMU_SUITE has no QEMU $QEMU_MAJOR (any more): name one in HOLDFAST_QEMU"
    step "fetching QEMU ${version%%+*} and its libraries from Debian's $QEMU_SUITE"
    tmp=$(new_dir qemu)
    debian_fetch_all qemu "$QEMU_BASE $QEMU_SUITE" "$tmp/debs" "qemu-system-x86=$version"
    mkdir -p "$tmp/root"
    for deb in "$tmp"/debs/*.deb; do
        dpkg-deb -x "$deb" "$tmp/root"
    done
    rm -rf "$tmp/debs"
    qemu_wrapper >"$tmp/run"
    chmod +x "$tmp/run"
    [ "$(qemu_major "$tmp/run")" -ge "$QEMU_MAJOR" ] ||
        die "the QEMU unpacked in $tmp does not run: $("$tmp/run" --version 2>&1 | head -n 1)"
    printf '%s\n' "$version" >"$tmp/version"
    rm -rf "$HF_CACHE/qemu"
    mv "$tmp" "$HF_CACHE/qemu"
}

# Its C library is newer than that of Debian 12, so it runs with its own loader.
qemu_wrapper() {
    cat <<'EOF2'
#!/bin/sh
# QEMU and its libraries, unpacked from Debian's packages by tools/setup.
root=$(dirname "$(readlink -f "$0")")/root
libs=$root/usr/lib/x86_64-linux-gnu
QEMU_MODULE_DIR=$libs/qemu exec "$libs/ld-linux-x86-64.so.2" --argv0 qemu-system-x86_64 --library-path "$libs" \
    "$root/usr/bin/qemu-system-x86_64" -L "$root/usr/share/qemu" -L "$root/usr/share/seabios" "$@"
EOF2
}
