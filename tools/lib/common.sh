# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# shellcheck disable=SC2034 # used by those who source this
# Shared by the scripts in tools/: messages, the cache, locks. Sourced, never run.

HF_ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
HF_CACHE=${HOLDFAST_CACHE:-${HOME:-/root}/.cache/holdfast}

say() { printf '%s\n' "$*"; }
step() { printf '==> %s\n' "$*"; }
warn() { printf 'warning: %s\n' "$*" >&2; }

die() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}

# The machine lacks something that only its owner can provide.
need() {
    printf 'error: %s\n' "$*" >&2
    exit 2
}

# locked NAME COMMAND...: run the command while no other run holds the lock of that name.
locked() {
    local name=$1
    shift
    mkdir -p "$HF_CACHE/locks"
    exec {HF_LOCK_FD}>"$HF_CACHE/locks/$name"
    if ! flock -n "$HF_LOCK_FD"; then
        say "    waiting: another run is at work on $name"
        flock "$HF_LOCK_FD"
    fi
    local fd=$HF_LOCK_FD
    "$@"
    exec {fd}>&-
}

# new_dir: a fresh directory inside the cache, so that a finished one can be renamed into place.
new_dir() {
    mkdir -p "$HF_CACHE/tmp"
    local dir
    dir=$(mktemp -d "$HF_CACHE/tmp/$1.XXXXXX")
    chmod 755 "$dir"
    printf '%s' "$dir"
}

# quietly LOG COMMAND...: the output goes to the log; shown only if the command fails.
quietly() {
    local log=$1
    shift
    mkdir -p "$(dirname "$log")"
    if ! "$@" >"$log" 2>&1 </dev/null; then
        tail -n 25 "$log" | sed 's/^/    | /' >&2
        die "failed: $1 (whole output: $log)"
    fi
}

sha() { sha256sum | cut -c1-16; }
