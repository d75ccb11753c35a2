# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# The checks of tools/test that look at the text of the project. Sourced, never run.

# One version everywhere: others lay the same code out differently. Both Debian 12 and 13 have this one.
CLANG_FORMAT=clang-format-19
FILE_LINES_MAX=600

tracked() { git -C "$HF_ROOT" ls-files --cached --others --exclude-standard -- "$@" | while read -r f; do [ ! -f "$HF_ROOT/$f" ] || printf '%s\n' "$f"; done; }

lint_format() {
    tracked '*.c' '*.h' | xargs -r "$CLANG_FORMAT" --dry-run --Werror ||
        { echo "lay them out with: $CLANG_FORMAT -i FILE..." && return 1; }
}

lint_spdx() {
    local file bad=0
    while read -r file; do
        case $file in
        LICENSE* | debian/changelog | debian/copyright | debian/source/* | *.md | *.json | *.svg | *.gitignore | tests/golden/* | tests/fuzz/corpus/*) continue ;;
        esac
        head -n 3 "$file" | grep -q 'SPDX-License-Identifier:' || { echo "$file: no SPDX line at its top" && bad=1; }
    done < <(tracked)
    return $bad
}

lint_size() {
    local file lines bad=0
    while read -r file; do
        lines=$(wc -l <"$file")
        [ "$lines" -le $FILE_LINES_MAX ] || { echo "$file: $lines lines, more than $FILE_LINES_MAX" && bad=1; }
    done < <(tracked '*.c' '*.h' '*.py' '*.sh')
    return $bad
}

lint_man() {
    local pages
    pages=$(tracked 'man/*.[1-9]')
    [ -n "$pages" ] || { echo "there are no man pages" && return 1; }
    # shellcheck disable=SC2086
    mandoc -T lint -W warning $pages
}

lint_shell() {
    local scripts
    scripts=$({ tracked '*.sh' && tracked tools .ci tests | while read -r f; do
        head -c 40 "$f" | tr -d '\0' | grep -qE '^#!.*\b(ba)?sh\b' && printf '%s\n' "$f" || true; done; } | sort -u)
    # shellcheck disable=SC2086
    shellcheck -x -P SCRIPTDIR -P "$HF_ROOT" -S warning $scripts
}

lint_python() {
    local scripts
    scripts=$({ tracked '*.py' && tracked tools tests | while read -r f; do
        head -c 40 "$f" | tr -d '\0' | grep -qE '^#!.*python3' && printf '%s\n' "$f" || true; done; } | sort -u)
    # shellcheck disable=SC2086
    pyflakes3 $scripts
}

lint_cppcheck() {
    local folders
    folders=$(tracked '*.c' | cut -d/ -f1 | sort -u | grep -v -x tests)
    # shellcheck disable=SC2086
    cppcheck -q -j "$(nproc)" -i "$HF_ROOT/iommu/kernel" --std=c11 --enable=warning,portability --inline-suppr --error-exitcode=1 \
        --suppress=missingInclude --suppress=unusedStructMember --suppress=preprocessorErrorDirective \
        -D__x86_64__ -D__GNUC__ -I "$HF_ROOT" $folders
}
