#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2154 # what dracut sets
# For dracut.modules(7). luod and vmm are taken from the root file system.

check() {
    require_binaries chroot mount || return 1
    return 0
}

depends() {
    echo systemd
}

install() {
    inst_multiple chroot mkdir mount
    inst_simple /usr/share/holdfast/resume
    # The unit has the name of the host's own: systemd keeps it, with its process, when it switches the root.
    inst_simple "$moddir/luod.service" "$systemdsystemunitdir/luod.service"
    $SYSTEMCTL -q --root "$initdir" enable luod.service
}
