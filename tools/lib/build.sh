# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Configuring and building Holdfast itself. Sourced, never run.

# build_dir [NAME]: where meson builds; build-NAME for the sanitizer and clang builds.
build_dir() { printf '%s/build%s' "$HF_ROOT" "${1:+-$1}"; }

# build_project DIR [MESON-OPTION...]: configure if needed, then compile; output only when it fails.
build_project() {
    local dir=$1 log
    shift
    log=$HF_CACHE/log/$(basename "$dir").log
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
