# SPDX-License-Identifier: Apache-2.0
"""The entropy device of a test guest (guest/rng.c)."""


def reading(host, guest, when, before):
    """The reading goes on, every piece is whole and another than the one before; how many there were."""
    seen = guest.ask("rng")
    host.check(
        seen["source"].startswith("virtio_rng"),
        f"{when}: the guest's generator is {seen['source']}",
        f"{when}: the guest's generator is {seen['source']}, not the virtio device",
    )
    guest.wait_beats(2)
    later = guest.ask("rng")
    host.check(
        before <= seen["reads"] < later["reads"] and later["failed"] == 0 and later["repeated"] == 0,
        f"{when}: reading goes on: {later['reads']} pieces of 64 bytes, none short, none like the one before",
        f"{when}: before {before}, then {seen.text}, then {later.text}",
    )
    return later["reads"]
