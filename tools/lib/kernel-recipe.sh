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
    local line name bad=0
    while read -r line; do
        case $line in
        CONFIG_*=*) grep -qxF "$line" "$1" || { echo "not in the kernel's configuration: $line" && bad=1; } ;;
        '# CONFIG_'*' is not set')
            name=${line#\# } name=${name% is not set}
            ! grep -q "^$name=" "$1" || { echo "still in the kernel's configuration: $(grep "^$name=" "$1")" && bad=1; }
            ;;
        esac
    done <"$2"
    return $bad
}

# recipe_selftests SOURCE BUILD DIR: the kernel's own live update tests, static, so that they run in an initrd.
recipe_selftests() {
    local from=$1/tools/testing/selftests work=$2/selftests
    recipe_make "$1" "$2" -s headers_install INSTALL_HDR_PATH="$2/headers"
    mkdir -p "$work/tools/testing" "$work/tools/scripts" "$3"
    cp -r "$from" "$work/tools/testing/"
    cp -r "$1/tools/include" "$1/tools/arch" "$work/tools/"
    cp -r "$1/scripts" "$work/"
    make -C "$work/tools/testing/selftests/liveupdate" ARCH=x86_64 LDFLAGS=-static \
        KHDR_INCLUDES="-isystem $2/headers/include"
    find "$work/tools/testing/selftests/liveupdate" -maxdepth 1 -type f \( -perm -u+x -o -name '*.sh' \) \
        -exec cp {} "$3/" \;
}

# recipe_install SOURCE BUILD DIR: what the tests use of a finished build.
recipe_install() {
    cp "$2/arch/x86/boot/bzImage" "$3/bzImage"
    strip --strip-debug -o "$3/vmlinux" "$2/vmlinux"
    cp "$2/System.map" "$3/System.map"
    cp "$2/.config" "$3/config"
    cp "$2/include/config/kernel.release" "$3/release"
}
