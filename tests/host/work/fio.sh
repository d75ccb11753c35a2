#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Rounds of fio on /srv in a test guest, until it is killed: each makes files, writes them in random order with many requests
# in flight, past the page cache, and reads back all of it, some while it writes on. A block says in its checksummed header
# where it belongs and from which round it is. A line "round=N passed=N" for each.
set -eu

files=4
# MiB of all files together
size=${1:-16}
round=0

while :; do
    round=$((round + 1))
    echo "round=$round passed=$((round - 1))"
    mkdir /srv/round
    if ! fio --name=verify --directory=/srv/round --nrfiles=$files --size="${size}M" --rw=randwrite --bs=4k --randseed=$round \
        --ioengine=libaio --direct=1 --iodepth=8 --fallocate=none --fsync=128 --end_fsync=1 --refill_buffers=1 \
        --verify=crc32c --verify_fatal=1 --verify_backlog=512 --thread --output=/run/fio.out 2>/run/fio.err; then
        echo "round=$round failed: $(head -n 1 /run/fio.err)"
        exit 1
    fi
    rm -r /srv/round
done
