# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# What is taken from Debian as it is: the kernel's uAPI headers of 7.3, the cloud kernels that guests boot, and a kernel
# as new as ours that cannot hand anything over.
# Sourced, never run.

# uapi_dir: the directory to give to the compiler, or nothing.
uapi_dir() {
    local version
    version=$(cat "$HF_CACHE/uapi/version" 2>/dev/null || true)
    [ -z "$version" ] || printf '%s/uapi/include' "$HF_CACHE"
}

uapi_get() { [ -n "$(uapi_dir)" ] || locked uapi uapi_get_locked; }

uapi_get_locked() {
    local version tmp
    [ -z "$(uapi_dir)" ] || return 0
    debian_conf trixie-backports
    version=$(debian_newest trixie-backports linux-libc-dev 7.3.)
    [ -n "$version" ] || die "Debian's trixie-backports has no linux-libc-dev 7.3 (any more)"
    step "fetching the uAPI headers of Linux ${version%%-*}"
    tmp=$(new_dir uapi)
    debian_fetch trixie-backports linux-libc-dev "$version" "$tmp/deb"
    mkdir "$tmp/include"
    cp -rL "$tmp/deb/usr/include"/{linux,asm-generic,x86_64-linux-gnu/asm} "$tmp/include/"
    rm -rf "$tmp/deb"
    [ -f "$tmp/include/linux/liveupdate.h" ] || die "linux-libc-dev $version has no linux/liveupdate.h"
    printf '%s\n' "$version" >"$tmp/version"
    rm -rf "$HF_CACHE/uapi"
    mv "$tmp" "$HF_CACHE/uapi"
}

# cloud_dir RELEASE-NUMBER: holds vmlinuz, release, and lib/modules; or nothing.
cloud_dir() {
    [ ! -f "$HF_CACHE/cloud/$1/release" ] || printf '%s/cloud/%s' "$HF_CACHE" "$1"
}

# cloud_get NUMBER CODENAME
cloud_get() { [ -n "$(cloud_dir "$1")" ] || locked "cloud-$1" cloud_get_locked "$1" "$2"; }

cloud_get_locked() {
    local image version tmp
    [ -z "$(cloud_dir "$1")" ] || return 0
    debian_conf "$2"
    image=$(APT_CONFIG=$DEBIAN_CONF apt-cache depends linux-image-cloud-amd64 |
        sed -n 's/.*Depends: \(linux-image-.*-cloud-amd64\)$/\1/p' | head -n 1)
    [ -n "$image" ] || die "Debian's $2 has no linux-image-cloud-amd64"
    version=$(debian_newest "$2" "$image")
    step "fetching Debian $1's cloud kernel ($image $version)"
    tmp=$(new_dir cloud)
    debian_fetch "$2" "$image" "$version" "$tmp/deb"
    mkdir "$tmp/lib"
    mv "$tmp"/deb/boot/vmlinuz-* "$tmp/vmlinuz"
    mv "$tmp"/deb/boot/config-* "$tmp/config"
    mv "$(dirname "$(find "$tmp/deb" -type d -path '*/modules/*-cloud-amd64' -print -quit)")" "$tmp/lib/modules"
    rm -rf "$tmp/deb"
    find "$tmp/lib/modules" -mindepth 1 -maxdepth 1 -printf '%f\n' >"$tmp/release"
    mkdir -p "$HF_CACHE/cloud"
    rm -rf "${HF_CACHE:?}/cloud/$1"
    mv "$tmp" "$HF_CACHE/cloud/$1"
}

# stock_dir: Debian's own kernel 7.3, which has no KHO: holds vmlinuz, config and release; or nothing.
stock_dir() {
    [ ! -f "$HF_CACHE/stock/release" ] || printf '%s/stock' "$HF_CACHE"
}

stock_get() { [ -n "$(stock_dir)" ] || locked stock stock_get_locked; }

stock_get_locked() {
    local release version tmp
    [ -z "$(stock_dir)" ] || return 0
    debian_conf trixie-backports
    # The image is in linux-binary-RELEASE, its configuration in linux-base-RELEASE.
    release=$(APT_CONFIG=$DEBIAN_CONF apt-cache pkgnames linux-binary-7.3. |
        sed -n 's/^linux-binary-\(.*-cloud-amd64\)$/\1/p' | sort -V | tail -n 1)
    [ -n "$release" ] || die "Debian's trixie-backports has no linux-binary-7.3.*-cloud-amd64 (any more)"
    version=$(debian_newest trixie-backports "linux-binary-$release")
    step "fetching Debian's own kernel $release"
    tmp=$(new_dir stock)
    debian_fetch trixie-backports "linux-binary-$release" "$version" "$tmp/deb"
    debian_fetch trixie-backports "linux-base-$release" "$version" "$tmp/deb"
    mv "$tmp/deb/usr/lib/modules/$release"/{vmlinuz,config} "$tmp/" || die "Debian's $release lies elsewhere than it did"
    rm -rf "$tmp/deb"
    printf '%s\n' "$release" >"$tmp/release"
    rm -rf "$HF_CACHE/stock"
    mv "$tmp" "$HF_CACHE/stock"
}

# node_modules_dir: what the contract tests of the APIs stand on, by what the lock file names; or nothing.
node_modules_dir() {
    local dir
    dir=$HF_CACHE/node/$(sha256sum "$HF_ROOT/tests/api/package-lock.json" | cut -c 1-16)
    [ ! -f "$dir/complete" ] || printf '%s/node_modules' "$dir"
}

node_modules_get() { [ -n "$(node_modules_dir)" ] || locked node node_modules_get_locked; }

node_modules_get_locked() {
    local tmp
    [ -z "$(node_modules_dir)" ] || return 0
    step "fetching what the contract tests need from the npm registry"
    tmp=$(new_dir node)
    cp "$HF_ROOT"/tests/api/package.json "$HF_ROOT"/tests/api/package-lock.json "$tmp/"
    # A registry that cannot be reached costs these tests, which say so when they are skipped, and not all others.
    if ! npm ci --prefix "$tmp" --ignore-scripts --no-audit --no-fund --omit=dev >"$HF_CACHE/log/npm.log" 2>&1 </dev/null; then
        say "    npm ended with an error ($HF_CACHE/log/npm.log): the contract tests of the APIs cannot be run"
        rm -rf "$tmp"
        return 0
    fi
    touch "$tmp/complete"
    mkdir -p "$HF_CACHE/node"
    rm -rf "${HF_CACHE:?}/node/$(sha256sum "$tmp/package-lock.json" | cut -c 1-16)"
    mv "$tmp" "$HF_CACHE/node/$(sha256sum "$tmp/package-lock.json" | cut -c 1-16)"
}
