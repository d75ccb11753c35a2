# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# shellcheck disable=SC2034 # used by those who source this
# What is installed on the machine itself, and QEMU. Sourced, never run.

# Building Holdfast and the host kernels, and running the emulated host.
PACKAGES_BUILD="gcc libc6-dev make patch meson ninja-build pkg-config
    libfdt-dev device-tree-compiler libjansson-dev libmicrohttpd-dev libcurl4-openssl-dev
    libarchive-dev liburing-dev libseccomp-dev libcmocka-dev zlib1g-dev
    bc flex bison libelf-dev libssl-dev lz4 xz-utils
    python3 busybox-static kexec-tools curl jq ca-certificates git"

# Checking it.
PACKAGES_TEST="clang clang-format-19 clang-tidy clang-tools cppcheck acpica-tools mandoc shellcheck
    pyflakes3"

package_missing() {
    local name
    for name in "$@"; do
        dpkg-query -W -f '${db:Status-Status}\n' "$name" 2>/dev/null | grep -qx installed || printf '%s ' "$name"
    done
}

# packages_install NAME...: only what is missing, from the machine's own sources.
packages_install() {
    local missing log=$HF_CACHE/log/packages.log
    read -ra missing <<<"$(package_missing "$@")"
    [ "${#missing[@]}" -gt 0 ] || return 0
    [ "$(id -u)" = 0 ] || need "these packages are missing and only root can install them: ${missing[*]}"
    command -v apt-get >/dev/null || need "these packages are missing and there is no apt-get here: ${missing[*]}"
    step "installing ${#missing[@]} packages: ${missing[*]}"
    mkdir -p "$HF_CACHE/log"
    export DEBIAN_FRONTEND=noninteractive
    # kexec-tools asks whether it should handle reboots; it should not.
    echo 'kexec-tools kexec-tools/load_kexec boolean false' | debconf-set-selections 2>/dev/null || true
    apt-get -q update >"$log" 2>&1 ||
        need "apt-get update failed, so these packages cannot be had: ${missing[*]} (output: $log)"
    apt-get -q -y --no-install-recommends install "${missing[@]}" >>"$log" 2>&1 ||
        need "apt-get could not install ${missing[*]} (output: $log)"
}

# qemu_good PROGRAM: QEMU 10 or newer? Older ones panic nested guests that have more than one vCPU.
qemu_good() {
    local version
    version=$("$1" --version 2>/dev/null | sed -n 's/.*version \([0-9]*\)\..*/\1/p')
    [ "${version:-0}" -ge 10 ]
}

qemu_path() {
    local program
    for program in "${HOLDFAST_QEMU:-}" "$(command -v qemu-system-x86_64 || true)" "$HF_CACHE/qemu/run"; do
        [ -n "$program" ] && qemu_good "$program" && printf '%s' "$program" && return
    done
    return 0
}

qemu_install() {
    [ -z "$(qemu_path)" ] || return 0
    [ -z "${HOLDFAST_QEMU:-}" ] || need "HOLDFAST_QEMU=$HOLDFAST_QEMU is not QEMU 10 or newer"
    if [ "$(debian_codename)" != bookworm ]; then
        packages_install qemu-system-x86
        [ -n "$(qemu_path)" ] || need "QEMU 10 or newer is needed; this Debian has $(qemu-system-x86_64 --version | head -n 1)"
        return
    fi
    [ "$(id -u)" = 0 ] || need "QEMU 10 or newer is missing and only root can install it"
    qemu_unpack
}

# Debian 12 has QEMU 7.2; its backports have 10.0. A QEMU that the machine may already use stays what it is: the newer
# one is unpacked in the cache, with the libraries that it needs and the machine lacks.
qemu_unpack() {
    local suite=bookworm-backports version tmp
    debian_conf "$suite"
    version=$(debian_newest "$suite" qemu-system-x86 1:10.)
    [ -n "$version" ] || die "Debian's $suite has no QEMU 10 (any more): install QEMU 10 and name it in HOLDFAST_QEMU"
    step "fetching QEMU ${version%%+*} from Debian's $suite"
    tmp=$(new_dir qemu)
    qemu_packages "$version" "$tmp/debs"
    mkdir -p "$tmp/root"
    for deb in "$tmp"/debs/*.deb; do
        dpkg-deb -x "$deb" "$tmp/root"
    done
    rm -rf "$tmp/debs"
    cat >"$tmp/run" <<'EOF'
#!/bin/sh
# QEMU and its libraries, unpacked from Debian's packages by tools/setup.
here=$(dirname "$(readlink -f "$0")")/root
libs=$here/usr/lib/x86_64-linux-gnu
LD_LIBRARY_PATH=$libs:$here/lib/x86_64-linux-gnu QEMU_MODULE_DIR=$libs/qemu \
    exec "$here/usr/bin/qemu-system-x86_64" -L "$here/usr/share/qemu" -L "$here/usr/share/seabios" "$@"
EOF
    chmod +x "$tmp/run"
    qemu_good "$tmp/run" || die "the QEMU unpacked in $tmp does not run: $("$tmp/run" --version 2>&1 | head -n 1)"
    rm -rf "$HF_CACHE/qemu"
    mv "$tmp" "$HF_CACHE/qemu"
}

# qemu_packages VERSION DIR: the packages that an install would bring, as apt sees it on this machine.
qemu_packages() {
    local suite=bookworm-backports dir=$HF_CACHE/apt/qemu conf
    conf=$dir/apt.conf
    mkdir -p "$dir"/{lists/partial,archives/partial,sources.d} "$2"
    debian_own_sources >"$dir/sources.list"
    cat "$HF_CACHE/apt/$suite/sources.list" >>"$dir/sources.list"
    sed -e "s|$HF_CACHE/apt/$suite|$dir|" -e '/State::status/d' -e '/extended_states/d' \
        "$HF_CACHE/apt/$suite/apt.conf" >"$conf"
    APT_CONFIG=$conf quietly "$HF_CACHE/log/apt-qemu.log" apt-get -q update
    APT_CONFIG=$conf quietly "$HF_CACHE/log/qemu.log" apt-get -q -y --no-install-recommends --download-only \
        -t "$suite" install "qemu-system-x86=$1"
    mv "$dir"/archives/*.deb "$2/"
}
