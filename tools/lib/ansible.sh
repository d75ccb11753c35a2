# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Ansible in a Debian forky of its own, from which the tests roll a fleet: that of Debian 12 cannot manage hosts with the Python
# that forky has. Sourced, never run.

ANSIBLE_SUITE=forky

ansible_key() { { printf '%s' "$PACKAGES_FLEET" && grep -vE '^ *(#|$)' "$HF_ROOT/tools/lib/ansible.sh"; } | sha; }

# ansible_root: the unpacked system, to chroot into; or nothing.
ansible_root() {
    local dir
    dir=$HF_CACHE/ansible/$(ansible_key)
    [ ! -f "$dir/complete" ] || printf '%s/root' "$dir"
}

ansible_get() { [ -n "$(ansible_root)" ] || locked ansible ansible_get_locked; }

ansible_get_locked() {
    local tmp
    [ -z "$(ansible_root)" ] || return 0
    [ "$(id -u)" = 0 ] || need "only root can make a Debian for Ansible: run tools/setup as root"
    step "making a Debian forky with Ansible"
    tmp=$(new_dir ansible)
    debian_conf "$ANSIBLE_SUITE"
    # A machine whose mirror is a snapshot says so to its own apt.
    # shellcheck disable=SC2086 # a list of words
    quietly "$HF_CACHE/log/ansible.log" mmdebstrap --mode=root --variant=essential --include="$(echo $PACKAGES_FLEET)" \
        --aptopt='APT::Install-Recommends "false"' --aptopt="$(apt-config dump Acquire::Check-Valid-Until | head -n 1)" \
        --dpkgopt=force-unsafe-io "$ANSIBLE_SUITE" "$tmp/root" "$HF_CACHE/apt/$ANSIBLE_SUITE/sources.list"
    touch "$tmp/complete"
    mkdir -p "$HF_CACHE/ansible"
    rm -rf "${HF_CACHE:?}/ansible/$(ansible_key)"
    mv "$tmp" "$HF_CACHE/ansible/$(ansible_key)"
}
