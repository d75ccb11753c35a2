# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# The results of tools/test, one a line in a file: pass, fail or skip, a name, and why. Sourced, never run.

RESULTS=

results_begin() { RESULTS=$(mktemp "${TMPDIR:-/tmp}/holdfast-results.XXXXXX"); }

passed() { printf 'pass\t%s\n' "$1" >>"$RESULTS"; }

failed() {
    printf 'fail\t%s\t%s\n' "$1" "$2" >>"$RESULTS"
    printf 'FAILED %s: %s\n' "$1" "$2"
}

skipped() {
    printf 'skip\t%s\t%s\n' "$1" "$2" >>"$RESULTS"
    printf 'skipped %s: %s\n' "$1" "$2"
}

# tried NAME COMMAND...: passed if the command succeeds; else failed, with the end of its output.
tried() {
    local name=$1 log status=0
    shift
    log=$HF_CACHE/log/test-${name//[^a-z0-9-]/-}.log
    "$@" >"$log" 2>&1 </dev/null || status=$?
    if [ $status = 0 ]; then
        passed "$name"
    else
        tail -n 30 "$log" | sed 's/^/    | /'
        failed "$name" "status $status, log at $log"
    fi
}

# results_meson PART DIR: each test of the last meson run in that build directory.
results_meson() {
    local log=$2/meson-logs/testlog.json name result
    while IFS=$'\t' read -r name result; do
        case $result in
        OK | EXPECTEDFAIL) passed "$1/$name" ;;
        SKIP) skipped "$1/$name" "$(jq -r --arg n "$name" 'select(.name == $n) | .stdout // "it gave no reason"' "$log" | tail -n 1)" ;;
        *) failed "$1/$name" "$result, log at $2/meson-logs/testlog.txt" ;;
        esac
    done < <(jq -r '[.name, .result] | @tsv' "$log")
}

# results_host JSON: each scenario of a run of tests/host/run.
results_host() {
    local name result why
    while IFS=$'\t' read -r name result why; do
        case $result in
        passed) passed "host/$name" ;;
        again) printf 'again\t%s\t%s\n' "host/$name" "$why" >>"$RESULTS" ;;
        *) failed "host/$name" "$why" ;;
        esac
    done < <(jq -r '.scenarios[] | [.scenario, .result, "\(.why), log at \(.log)"] | @tsv' "$1")
}

# results_end: the last line; fails if anything failed or nothing was tested.
results_end() {
    local good bad skip
    good=$(grep -c ^pass "$RESULTS" || true)
    bad=$(grep -c ^fail "$RESULTS" || true)
    skip=$(grep -c ^skip "$RESULTS" || true)
    if [ "$bad" != 0 ]; then
        say "Failed:"
        awk -F'\t' '$1 == "fail" { print "    " $2 ": " $3 }' "$RESULTS"
    fi
    if [ "$skip" != 0 ]; then
        say "Skipped:"
        awk -F'\t' '$1 == "skip" { print "    " $2 ": " $3 }' "$RESULTS"
    fi
    if grep -q ^again "$RESULTS"; then
        say "The emulation failed, and these were run once more (docs/decisions/0004):"
        awk -F'\t' '$1 == "again" { print "    " $2 ": " $3 }' "$RESULTS"
    fi
    rm -f "$RESULTS"
    if [ "$skip" != 0 ]; then
        say "$good passed, $bad failed, $skip skipped"
    else
        say "$good passed, $bad failed"
    fi
    [ "$bad" = 0 ] && [ "$good" != 0 ]
}
