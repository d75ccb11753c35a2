# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# shellcheck disable=SC2034 # used by those who source this
# What is installed on the machine itself. Sourced, never run.

# Building Holdfast and the host kernels, and running the emulated host.
PACKAGES_BUILD="gcc libc6-dev make patch meson ninja-build pkg-config
    libfdt-dev device-tree-compiler libjansson-dev libmicrohttpd-dev libcurl4-openssl-dev
    libgnutls28-dev libarchive-dev liblz4-dev liblzma-dev libzstd-dev libbz2-dev liburing-dev libseccomp-dev libcmocka-dev zlib1g-dev
    bc flex bison libelf-dev libssl-dev lz4 xz-utils
    python3 python3-yaml busybox-static kexec-tools curl jq ca-certificates git"

# What tools/bench counts with.
PACKAGES_BENCH="strace valgrind"

# Checking it. meson compiles through ccache where there is one.
PACKAGES_TEST="ccache clang clang-format-19 clang-tidy clang-tools cppcheck acpica-tools mandoc shellcheck
    pyflakes3 e2fsprogs chromium-headless-shell"

# Making Debian systems, and reaching them.
PACKAGES_HOSTS="mmdebstrap openssh-client"

# To roll a fleet with, in a Debian of its own (ansible.sh).
PACKAGES_FLEET="ansible-core openssh-client"

# For the contract tests. Who has Node.js from elsewhere keeps it.
packages_node() {
    command -v node >/dev/null || printf 'nodejs '
    command -v npm >/dev/null || printf 'npm '
}

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
