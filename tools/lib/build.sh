# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Configuring and building Holdfast itself. Sourced, never run.

# build_dir [NAME]: where meson builds; build-NAME for the sanitizer and clang builds.
build_dir() { printf '%s/build%s' "$HF_ROOT" "${1:+-$1}"; }

# compiler NAME: what meson is to call. It looks for ccache itself only where it chooses the compiler.
compiler() {
    if command -v ccache >/dev/null; then
        printf 'ccache %s' "$1"
    else
        printf '%s' "$1"
    fi
}

# build_project DIR [MESON-OPTION...]: configure if needed, then compile; output only when it fails.
build_project() {
    local dir=$1 log
    shift
    log=$HF_CACHE/log/$(basename "$dir").log
    # A fresh clone, as CI makes it each time, compiles only what is new.
    export CCACHE_DIR=$HF_CACHE/ccache CCACHE_BASEDIR=$HF_ROOT CCACHE_MAXSIZE=2G
    # What is debugged must name its own sources; the others may come from a clone in another place.
    if [ "${dir##*/}" = build ]; then
        unset CCACHE_NOHASHDIR
    else
        export CCACHE_NOHASHDIR=yes
    fi
    if [ ! -f "$HF_ROOT/meson.build" ]; then
        warn "there is no meson.build in $HF_ROOT yet: nothing was built"
        return
    fi
    set -- "-Duapi_headers=$(uapi_dir)" "$@"
    if [ ! -f "$dir/build.ninja" ]; then
        step "configuring $(basename "$dir")"
        quietly "$log" meson setup "$dir" "$HF_ROOT" "$@"
    elif [ "$(cat "$dir/.holdfast-options" 2>/dev/null)" != "$*" ]; then
        quietly "$log" meson configure "$dir" "$@"
    fi
    printf '%s' "$*" >"$dir/.holdfast-options"
    step "building $(basename "$dir")"
    quietly "$log" ninja -C "$dir"
}
