# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# shellcheck disable=SC2034 # used by those who source this
# The Debian package, built and tried in Debian systems of their own. Needs debian.sh. Sourced, never run.

PACKAGE_SUITES="trixie forky"
# What a package is built with anywhere, and what the tests of the package need.
PACKAGE_ROOT_ALWAYS="build-essential,debhelper,lintian,systemd,initramfs-tools,dracut-core,cpio,zstd,man-db"

# The packages that debian/control builds with, for apt.
package_build_depends() {
    sed -n '/^Build-Depends:/,/^[^ ]/p' "$HF_ROOT/debian/control" |
        sed -n 's/^Build-Depends://; s/([^)]*)//g; s/^ *//; /^[A-Z][A-Za-z-]*:/d; p' | tr -d ' \n' | sed 's/,$//'
}

package_root_key() { { printf '%s' "$PACKAGE_ROOT_ALWAYS" && declare -f package_root_get_locked && package_build_depends; } | sha; }

# package_root SUITE: an unpacked Debian with all that is needed to build the package there and to try it; or nothing.
package_root() {
    local dir
    dir=$HF_CACHE/package-root/$1-$(package_root_key)
    [ ! -f "$dir/complete" ] || printf '%s/root' "$dir"
}

package_root_get() { [ -n "$(package_root "$1")" ] || locked "package-root-$1" package_root_get_locked "$1"; }

package_root_get_locked() {
    local suite=$1 tmp opts=() line
    [ -z "$(package_root "$suite")" ] || return 0
    [ "$(id -u)" = 0 ] || need "a Debian system to build the package in can only be made by root"
    step "making a Debian $suite to build and try the package in"
    tmp=$(new_dir package-root)
    # How the machine itself reaches its mirror.
    while read -r line; do
        opts+=("--aptopt=$line")
    done < <(apt-config dump | grep -E '^Acquire::(https?::Proxy|Check-(Valid-Until|Date)|Languages) ')
    debian_conf "$suite"
    cp "$(dirname "$DEBIAN_CONF")/sources.list" "$tmp/sources.list"
    # The headers of Linux 7.x: trixie has them in its backports only.
    if [ "$suite" = trixie ]; then
        debian_conf trixie-backports
        cat "$(dirname "$DEBIAN_CONF")/sources.list" >>"$tmp/sources.list"
        opts+=('--customize-hook=chroot "$1" apt-get -q -y -t trixie-backports install linux-libc-dev')
    fi
    quietly "$HF_CACHE/log/package-root-$suite.log" mmdebstrap --mode=root --variant=minbase --skip=check/qemu \
        "${opts[@]}" --aptopt='APT::Install-Recommends "false"' \
        --include="$PACKAGE_ROOT_ALWAYS,$(package_build_depends)" "$suite" "$tmp/root" "$tmp/sources.list"
    touch "$tmp/complete"
    mkdir -p "$HF_CACHE/package-root"
    rm -rf "${HF_CACHE:?}/package-root/$suite-"*
    mv "$tmp" "$HF_CACHE/package-root/$suite-$(package_root_key)"
}

# package_inside SUITE DIR COMMAND...: run it as root of a copy of that system which is gone afterwards; DIR is its /work.
package_inside() {
    local root tmp status=0
    root=$(package_root "$1")
    tmp=$(new_dir package-inside)
    mkdir "$tmp"/{upper,work,root}
    # In a mount namespace of its own: nothing is left behind, however this ends.
    unshare --mount --pid --fork --kill-child bash -euc '
        tmp=$1 root=$2 dir=$3
        shift 3
        mount -t overlay overlay -o "lowerdir=$root,upperdir=$tmp/upper,workdir=$tmp/work" "$tmp/root"
        mount -t proc proc "$tmp/root/proc"
        mount -t tmpfs tmpfs "$tmp/root/run"
        mkdir "$tmp/root/work"
        mount --bind "$dir" "$tmp/root/work"
        exec chroot "$tmp/root" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 \
            DEBIAN_FRONTEND=noninteractive "$@"' - "$tmp" "$root" "$2" "${@:3}" || status=$?
    rm -rf --one-file-system "$tmp"
    return $status
}

# What the package is made of.
package_sources() {
    (cd "$HF_ROOT" && git ls-files --cached --others --exclude-standard -- \
        LICENSE LICENSES base debian devices docs/api initramfs iommu luo man meson.build meson_options.txt systemd tools/lib/embed.py vmm |
        while read -r file; do [ ! -f "$file" ] || printf '%s\n' "$file"; done)
}

package_key() {
    { package_build_depends && package_sources && (cd "$HF_ROOT" && package_sources | tr '\n' '\0' | xargs -0 cat); } | sha
}

# package_build SUITE DIR: the .deb, its .changes and so on into DIR.
package_build() {
    mkdir -p "$2/holdfast"
    package_sources | tar -cf - -C "$HF_ROOT" --files-from=- | tar -xf - -C "$2/holdfast"
    package_inside "$1" "$2" sh -euc 'cd /work/holdfast && dpkg-buildpackage -b -us -uc'
    rm -rf "$2/holdfast"
}

# package_path: the folder that has the package of this tree as it is, built for trixie; or nothing.
package_path() {
    local dir
    dir=$HF_CACHE/package/$(package_key)
    [ ! -f "$dir/complete" ] || printf '%s' "$dir"
}

package_get() { [ -n "$(package_path)" ] || locked package package_get_locked; }

package_get_locked() {
    local tmp key
    [ -z "$(package_path)" ] || return 0
    package_root_get trixie
    key=$(package_key)
    step "building the Debian package"
    tmp=$(new_dir package)
    quietly "$HF_CACHE/log/package.log" package_build trixie "$tmp"
    touch "$tmp/complete"
    mkdir -p "$HF_CACHE/package"
    # A tree that is being worked on leaves one behind with each change.
    find "$HF_CACHE/package" -mindepth 1 -maxdepth 1 -mtime +1 -exec rm -rf {} +
    mv "$tmp" "$HF_CACHE/package/$key"
}

# package_check SUITE: installs the package there and looks at it (tests/package/check.sh).
package_check() {
    local dir status=0
    package_root_get "$1"
    dir=$(new_dir package-check)
    cp "$(package_path)"/*.deb "$HF_ROOT/tests/package/check.sh" "$HF_ROOT/debian/changelog" "$dir/"
    package_inside "$1" "$dir" sh /work/check.sh || status=$?
    rm -rf "$dir"
    return $status
}

# Errors and warnings of Debian's own checker.
package_lintian() {
    local dir status=0
    dir=$(new_dir package-check)
    cp "$(package_path)"/holdfast* "$dir/"
    package_inside trixie "$dir" sh -c 'lintian --allow-root --fail-on error,warning /work/*.changes' || status=$?
    rm -rf "$dir"
    return $status
}

# Built again, it is the same to the byte.
package_again() {
    local dir status=0
    dir=$(new_dir package-again)
    quietly "$HF_CACHE/log/package-again.log" package_build trixie "$dir"
    (cd "$dir" && sha256sum ./*.deb) >"$dir/sums"
    (cd "$(package_path)" && sha256sum -c "$dir/sums") || status=$?
    rm -rf "$dir"
    return $status
}
