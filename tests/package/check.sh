#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Runs in a Debian system of its own (tools/lib/package.sh), with the package in /work: installs it and looks at what is there.
set -eu

fail() {
    echo "FAIL: $*" >&2
    exit 1
}

expect() { # WHAT TEXT COMMAND...: the output has the text
    what=$1
    text=$2
    shift 2
    said=$("$@" 2>&1) || fail "$what: $said"
    case $said in
    *"$text"*) echo "ok: $what" ;;
    *) fail "$what: \"$said\" does not say \"$text\"" ;;
    esac
}

version=$(dpkg-parsechangelog -l /work/changelog -SVersion)
deb=/work/holdfast_${version}_amd64.deb

# Through apt: what it depends on is in this release, and nothing else is asked for.
apt-get -q -y --no-install-recommends install "$deb" >/tmp/install 2>&1 || fail "$(cat /tmp/install)"
echo "ok: installs on Debian $(. /etc/os-release && echo "$VERSION_CODENAME")"
expect "vmm runs" "$version" vmm --version
expect "luod runs" "$version" luod --version
expect "luoctl runs" "$version" luoctl --version
for page in vmm.1 luoctl.1 luod.8; do
    [ -f "/usr/share/man/man${page##*.}/$page.gz" ] || grep -q 'path-exclude.*/man' /etc/dpkg/dpkg.cfg.d/* || fail "man page $page is missing"
done
expect "the API document is built in" "openapi" grep -a -o -m1 '"openapi"' /usr/sbin/luod

# systemd knows every directive, and every program is there.
for unit in luod.service holdfast-guests.service holdfast-kexec.service holdfast-vm@web1.service holdfast.slice; do
    said=$(systemd-analyze verify "$unit" 2>&1) || fail "$unit: $said"
    ! echo "$said" | grep -E "holdfast|luod" || fail "$unit: $said"
done
echo "ok: systemd takes the units"
expect "luod.service is enabled" enabled systemctl is-enabled luod.service
expect "holdfast-guests.service is enabled" enabled systemctl is-enabled holdfast-guests.service
expect "holdfast-kexec.service is enabled" enabled systemctl is-enabled holdfast-kexec.service
[ -x /usr/lib/systemd/system-shutdown/holdfast ] || fail "systemd-shutdown's hook is missing"
sh -n /usr/lib/systemd/system-shutdown/holdfast
# Anything but a kexec is none of its business.
/usr/lib/systemd/system-shutdown/holdfast poweroff || fail "the hook hinders a power-off"
/usr/lib/systemd/system-shutdown/holdfast "" || fail "the hook hinders what PID 1 was not told to do by kexec"
systemd-tmpfiles --create holdfast.conf
[ "$(stat -c %a /etc/holdfast/vms)" = 750 ] || fail "/etc/holdfast/vms is not 0750"
echo "ok: hook and tmpfiles"

# The initramfs generators take the hooks.
release=7.3.0-test
mkdir -p "/lib/modules/$release" /boot
touch "/lib/modules/$release/modules.order" "/lib/modules/$release/modules.builtin"
printf 'CONFIG_RD_ZSTD=y\nCONFIG_RD_GZIP=y\n' >"/boot/config-$release"
depmod "$release"
update-initramfs -c -k "$release" >/tmp/initramfs 2>&1 || fail "$(cat /tmp/initramfs)"
lsinitramfs "/boot/initrd.img-$release" >/tmp/list
for file in scripts/init-bottom/holdfast usr/share/holdfast/resume; do
    grep -qx "$file" /tmp/list || fail "initramfs-tools: $file is missing"
done
unmkinitramfs "/boot/initrd.img-$release" /tmp/unpacked
order=$(cat /tmp/unpacked/scripts/init-bottom/ORDER /tmp/unpacked/*/scripts/init-bottom/ORDER 2>/dev/null || true)
case $order in
*/udev*/holdfast*) echo "ok: initramfs-tools has the hook, after udev" ;;
*) fail "initramfs-tools runs the hook too early: $order" ;;
esac
if command -v dracut >/dev/null; then
    dracut --quiet --no-hostonly --no-kernel --modules "base systemd systemd-initrd holdfast" --force /tmp/dracut.img "$release" >/tmp/dracut 2>&1 || fail "$(cat /tmp/dracut)"
    lsinitrd /tmp/dracut.img >/tmp/list
    for file in usr/share/holdfast/resume usr/lib/systemd/system/luod.service initrd.target.wants/luod.service usr/sbin/chroot; do
        grep -q "$file" /tmp/list || fail "dracut: $file is missing"
    done
    echo "ok: dracut has the module"
else
    fail "dracut is missing in this system"
fi

# Removal leaves nothing of the package but what the operator made.
apt-get -q -y purge holdfast >/tmp/purge 2>&1 || fail "$(cat /tmp/purge)"
left=$(find /usr /etc /var/lib/systemd -name '*holdfast*' -o -name 'luod*' 2>/dev/null | grep -vE '^/etc/holdfast' || true)
[ -z "$left" ] || fail "purge leaves: $left"
echo "ok: purged"
