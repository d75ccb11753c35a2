# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# How a host kernel is made from its source. The text of this file is part of the key under which the result is kept:
# what is changed here builds all kernels again. Sourced by kernel.sh.

recipe_make() {
    make -C "$1" O="$2" ARCH=x86_64 LOCALVERSION=-holdfast \
        KBUILD_BUILD_USER=holdfast KBUILD_BUILD_HOST=holdfast "${@:3}"
}

# recipe_configure SOURCE BUILD CONFIG: tinyconfig, then our options; fails naming each option that did not come out.
recipe_configure() {
    recipe_make "$1" "$2" -s tinyconfig
    cat "$3" >>"$2/.config"
    recipe_make "$1" "$2" -s olddefconfig 2>&1 | grep -v 'override: reassigning' || true
    recipe_check "$2/.config" "$3"
}

recipe_check() {
    local line before='' name bad=0
    while read -r line; do
        case $line in
        CONFIG_*=*)
            grep -qxF "$line" "$1" || [ "$before" = "# may be absent" ] ||
                { echo "not in the kernel's configuration: $line" && bad=1; }
            ;;
        '# CONFIG_'*' is not set')
            name=${line#\# } name=${name% is not set}
            ! grep -q "^$name=" "$1" || { echo "still in the kernel's configuration: $(grep "^$name=" "$1")" && bad=1; }
            ;;
        esac
        before=$line
    done <"$2"
    return $bad
}

# recipe_selftests SOURCE BUILD DIR: the kernel's own live update tests, static, so that they run in any initrd.
recipe_selftests() {
    local from=$1/tools/testing/selftests test helpers
    mkdir -p "$2/luo-headers/linux" "$3"
    cp "$1/include/uapi/linux/liveupdate.h" "$2/luo-headers/linux/"
    # The helpers moved to lib/ after 7.2.
    helpers=$(find "$from/liveupdate" -path '*/lib/*.c' -o -name luo_test_utils.c)
    for test in "$from"/liveupdate/liveupdate.c "$from"/liveupdate/luo_*.c; do
        [ "$test" != "$helpers" ] || continue
        # shellcheck disable=SC2086
        gcc -static -O2 -D_GNU_SOURCE -isystem "$2/luo-headers" -I"$from" -I"$from/liveupdate/lib/include" \
            "$test" $helpers -o "$3/$(basename "$test" .c)"
    done
}

# recipe_install SOURCE BUILD DIR: what the tests use of a finished build.
recipe_install() {
    cp "$2/arch/x86/boot/bzImage" "$3/bzImage"
    strip --strip-debug -o "$3/vmlinux" "$2/vmlinux"
    cp "$2/System.map" "$3/System.map"
    cp "$2/.config" "$3/config"
    cp "$2/include/config/kernel.release" "$3/release"
}
