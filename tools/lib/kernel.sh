# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# The two kernels of the emulated host, built from Debian's source packages or from a tree that the user names, and kept
# in the cache under a key of everything that went into them. Sourced, never run.
#
# SERIES is 7.2 or 7.3; with "-debug" behind it, it is the kernel that looks for its own bugs, which is made on demand.

# shellcheck source=tools/lib/kernel-recipe.sh
. "$HF_ROOT/tools/lib/kernel-recipe.sh"

KERNEL_SUITE=trixie-backports
KERNEL_CONFIG=$HF_ROOT/tests/host/kernel/host.config
KERNEL_DEBUG=$HF_ROOT/tests/host/kernel/debug.config

# kernel_config SERIES: what tinyconfig is changed by; of the options that debug.config has, only its word counts.
kernel_config() {
    local names
    case $1 in
    *-debug)
        names=$(sed -nE 's/^(# )?(CONFIG_[A-Za-z0-9_]+)(=.*| is not set)$/\2/p' "$KERNEL_DEBUG" | paste -sd'|')
        grep -vE "^(# )?($names)(=| is not set)" "$KERNEL_CONFIG"
        cat "$KERNEL_DEBUG"
        ;;
    *) cat "$KERNEL_CONFIG" ;;
    esac
}

# kernel_version SERIES: the version that set-up has chosen, or nothing.
kernel_version() {
    local dir
    if kernel_is_own "$1"; then
        dir=$HOLDFAST_KERNEL_SRC
        [ -f "$dir/Kconfig" ] || need "HOLDFAST_KERNEL_SRC=$dir is not a kernel tree (no Kconfig there)"
        printf 'own-%s' "$(kernel_own_id "$dir")"
    else
        cat "$HF_CACHE/sources/linux-${1%-debug}/version" 2>/dev/null || true
    fi
}

kernel_is_own() { [ "${1%-debug}" = 7.3 ] && [ -n "${HOLDFAST_KERNEL_SRC:-}" ]; }

# What a user's tree holds: its commit and changes if it is a git tree, else names, sizes and times of its files.
kernel_own_id() {
    if git -C "$1" rev-parse -q --verify HEAD >/dev/null 2>&1; then
        { git -C "$1" rev-parse HEAD && git -C "$1" diff HEAD &&
            git -C "$1" ls-files -o --exclude-standard -z | (cd "$1" && xargs -0r sha256sum); } | sha
    else
        (cd "$1" && find . -type f -printf '%p %s %T@\n' | sort) | sha
    fi
}

# kernel_patches: what the tests need, then where Holdfast's own files are called from.
kernel_patches() {
    local dir
    for dir in "$HF_ROOT/tests/host/kernel/patches" "$HF_ROOT/iommu/kernel/patches"; do
        find "$dir" -maxdepth 1 -name '*.patch' | LC_ALL=C sort
    done
}

# kernel_files: Holdfast's own files, relative to KERNEL_FILES and to a kernel tree.
KERNEL_FILES=$HF_ROOT/iommu/kernel/src
kernel_files() { (cd "$KERNEL_FILES" && find . -type f | LC_ALL=C sort); }

# kernel_key SERIES VERSION
kernel_key() {
    {
        echo "$1 $2"
        kernel_config "$1" | grep -E '^CONFIG_|is not set$'
        grep -vE '^ *(#|$)' "$HF_ROOT/tools/lib/kernel-recipe.sh"
        kernel_patches | xargs cat
        kernel_files
        (cd "$KERNEL_FILES" && kernel_files | xargs cat)
    } | sha
}

# kernel_dir SERIES: where the finished kernel is kept; empty before the first set-up.
kernel_dir() {
    local version
    version=$(kernel_version "$1")
    [ -n "$version" ] || return 0
    printf '%s/kernels/%s-%s' "$HF_CACHE" "$1" "$(kernel_key "$1" "$version")"
}

# kernel_source SERIES: chooses the version (the newest there is, once) and keeps Debian's source package.
kernel_source() {
    local series=${1%-debug} dir version tmp
    dir=$HF_CACHE/sources/linux-$series
    if kernel_is_own "$series" || [ -f "$dir/version" ]; then
        return
    fi
    debian_conf "$KERNEL_SUITE"
    version=$(debian_newest "$KERNEL_SUITE" "linux-source-$series" "$series.")
    [ -n "$version" ] || die "Debian's $KERNEL_SUITE has no linux-source-$series (any more): name a kernel tree of your own in HOLDFAST_KERNEL_SRC"
    step "fetching the source of Linux ${version%%-*} (Debian $version)"
    tmp=$(new_dir source)
    debian_fetch "$KERNEL_SUITE" "linux-source-$series" "$version" "$tmp/deb"
    mv "$tmp/deb/usr/src/linux-source-$series.tar.xz" "$tmp/source.tar.xz"
    rm -rf "$tmp/deb"
    printf '%s\n' "$version" >"$tmp/version"
    mkdir -p "$HF_CACHE/sources"
    rm -rf "$dir"
    mv "$tmp" "$dir"
}

kernel_build() { locked "kernel-$1" kernel_build_locked "$1"; }

# kernels_build SERIES...: all at once: while one is unpacked, configured or linked on one processor, another compiles.
kernels_build() {
    local series status=0
    for series in "$@"; do
        kernel_source "$series"
    done
    KERNEL_BUILDS=()
    trap kernels_end EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
    for series in "$@"; do
        (kernel_build "$series") &
        KERNEL_BUILDS+=($!)
    done
    for series in "$@"; do
        wait -n || status=$?
        # What it failed of has been said.
        [ $status = 0 ] || exit $status
    done
    trap - EXIT INT TERM
}

kernels_end() {
    kill -TERM "${KERNEL_BUILDS[@]}" 2>/dev/null || true
    wait
}

kernel_build_locked() {
    local series=$1 dir version tmp
    kernel_source "$series"
    version=$(kernel_version "$series")
    dir=$(kernel_dir "$series")
    [ ! -f "$dir/bzImage" ] || return 0
    rm -rf "$HF_CACHE/tmp/kernel-$series".*
    tmp=$(new_dir "kernel-$series")
    # A build that is interrupted must not go on, nor leave gigabytes behind.
    KERNEL_TMP=$tmp KERNEL_JOB=
    trap kernel_interrupted EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
    mkdir -p "$tmp/out" "$HF_CACHE/log"
    kernel_unpack "$series" "$tmp"
    kernel_config "$series" >"$tmp/config"
    step "building host kernel $series ($version), $(nproc) jobs at a time; log: $HF_CACHE/log/kernel-$series.log"
    # In a process group of its own, so that all of it can be ended.
    set -m
    (kernel_compile "$tmp/src" "$tmp/build" "$tmp/out" "$tmp/config") >"$HF_CACHE/log/kernel-$series.log" 2>&1 </dev/null &
    KERNEL_JOB=$!
    set +m
    kernel_watch "$KERNEL_JOB" "$series" "$HF_CACHE/log/kernel-$series.log"
    KERNEL_JOB=
    printf '%s\n' "$version" >"$tmp/out/version"
    mkdir -p "$HF_CACHE/kernels"
    rm -rf "$dir"
    mv "$tmp/out" "$dir"
    trap - EXIT INT TERM
    rm -rf "$tmp"
    kernel_prune "$series"
    say "    kernel $(cat "$dir/release") is ready ($(du -k "$dir/bzImage" | cut -f1) KiB)"
}

# kernel_prune SERIES: of the kernels that other configurations made, the latest few are kept.
kernel_prune() {
    find "$HF_CACHE/kernels" -maxdepth 1 -type d -regex ".*/$1-[0-9a-f]+" -printf '%T@ %p\n' | sort -rn | tail -n +6 |
        cut -d' ' -f2- | xargs -r rm -rf
}

kernel_interrupted() {
    [ -z "$KERNEL_JOB" ] || kill -TERM -- "-$KERNEL_JOB" 2>/dev/null || true
    [ -z "$KERNEL_JOB" ] || wait "$KERNEL_JOB" 2>/dev/null || true
    rm -rf "$KERNEL_TMP"
}

# kernel_unpack SERIES DIR: DIR/src is the source with our files and patches.
kernel_unpack() {
    if kernel_is_own "$1"; then
        [ ! -f "$HOLDFAST_KERNEL_SRC/.config" ] ||
            need "the kernel tree $HOLDFAST_KERNEL_SRC was built in place: run 'make mrproper' there, or name a clean git worktree of it"
        kernel_unpack_own "$(cd "$HOLDFAST_KERNEL_SRC" && pwd)" "$2"
        return
    fi
    step "unpacking the source of Linux ${1%-debug}"
    mkdir "$2/src"
    tar -C "$2/src" --strip-components=1 -xf "$HF_CACHE/sources/linux-${1%-debug}/source.tar.xz"
    kernel_add "$2/src" || die "Linux $(kernel_version "$1"): $KERNEL_WHY"
}

# kernel_unpack_own TREE DIR: the same of a user's tree, which is only read. If ours does not go in, it is built as it is.
kernel_unpack_own() {
    mkdir "$2/src"
    # First only what is changed: all of it is more than a gigabyte.
    (cd "$1" && kernel_changes | tar -cf - -T -) | tar -C "$2/src" -xf -
    if kernel_clashes "$1" || ! kernel_add "$2/src" >/dev/null; then
        say "    $1 is built without Holdfast's live update of devices (iommu/kernel; policy=preserve): $KERNEL_WHY"
        rm -rf "$2/src"
        ln -s "$1" "$2/src"
        return
    fi
    rm -rf "$2/src"
    mkdir "$2/src"
    step "copying the kernel tree $1"
    tar -C "$1" --exclude=./.git -cf - . | tar -C "$2/src" -xf -
    kernel_add "$2/src" || die "$1: $KERNEL_WHY"
}

# kernel_changes: the files of this folder that our patches change.
kernel_changes() {
    local file
    kernel_patches | xargs sed -n 's,^--- a/,,p' | cut -f1 | sort -u | while read -r file; do
        [ ! -f "$file" ] || printf '%s\n' "$file"
    done
}

# kernel_clashes TREE: it has a file of its own where one of ours would be; KERNEL_WHY names it.
kernel_clashes() {
    local file
    while read -r file; do
        [ -e "$1/$file" ] || continue
        KERNEL_WHY="it has ${file#./} of its own"
        return 0
    done < <(kernel_files)
    return 1
}

# kernel_add TREE: our files and patches into a tree of ours; false with KERNEL_WHY if a patch does not apply.
kernel_add() {
    local patch
    cp -r "$KERNEL_FILES/." "$1/"
    while read -r patch; do
        say "    applying $(basename "$patch")"
        patch -d "$1" -p1 -s -f >/dev/null <"$patch" && continue
        KERNEL_WHY="the patch ${patch#"$HF_ROOT"/} does not apply"
        return 1
    done < <(kernel_patches)
}

kernel_compile() {
    set -e
    mkdir -p "$2"
    recipe_configure "$1" "$2" "$4"
    # First what is quick to fail.
    recipe_selftests "$1" "$2" "$3/selftests"
    recipe_make "$1" "$2" -j"$(nproc)" bzImage
    recipe_install "$1" "$2" "$3"
}

# kernel_watch PID SERIES LOG: a line every ten seconds until the build is done.
kernel_watch() {
    local count last=$SECONDS about begin=$SECONDS
    about=$(cat "$HF_CACHE/kernels/objects" 2>/dev/null || echo 1700)
    while kill -0 "$1" 2>/dev/null; do
        sleep 1
        [ $((SECONDS - last)) -ge 10 ] || continue
        last=$SECONDS
        count=$(grep -cE '^  (CC|AS) ' "$3" || true)
        say "    kernel $2: $count of about $about objects, $((SECONDS - begin)) s, now $(awk '/^  [A-Z]+ / && $NF !~ "^/" { l = $NF } END { print l }' "$3")"
    done
    wait "$1" || {
        tail -n 20 "$3" | sed 's/^/    | /' >&2
        die "building kernel $2 failed (whole output: $3)"
    }
    mkdir -p "$HF_CACHE/kernels"
    grep -cE '^  (CC|AS) ' "$3" >"$HF_CACHE/kernels/objects" || true
}
