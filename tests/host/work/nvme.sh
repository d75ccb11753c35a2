#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# fio on the file system of /dev/nvme0n1: "write" writes files in random order, past the page cache, and verifies them; "verify"
# reads what an earlier "write" has left and verifies it.
set -eu

only=
[ "$1" != verify ] || only=--verify_only
mount /dev/nvme0n1 /srv
if ! fio --name=kept --directory=/srv --nrfiles=2 --size=8M --rw=randwrite --bs=4k --randseed=7 --ioengine=libaio --direct=1 \
    --iodepth=8 --fallocate=none --end_fsync=1 --refill_buffers=1 --verify=crc32c --verify_fatal=1 --thread $only \
    --output=/run/fio.out 2>/run/fio.err; then
    umount /srv
    echo "fio: $(head -n 1 /run/fio.err) $(tail -n 1 /run/fio.out)"
    exit 1
fi
umount /srv
echo "serial=$(cat /sys/class/nvme/nvme0/serial) vectors=$(grep -c nvme0 /proc/interrupts)"
