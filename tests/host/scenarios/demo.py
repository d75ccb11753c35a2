# SPDX-License-Identifier: Apache-2.0
"""One guest lives through one upgrade of its host's kernel, told for people (tools/demo)."""

from lib import updates
from lib.guest import Guest

SCENARIO = {"memory": 2560, "deadline": 240}


def run(host):
    say = host.report.say
    say(f"A host boots with Linux {host.setup.release(host.old)}; a guest with two CPUs and 512 MiB starts on it.")
    updates.start_luod(host)
    guest = Guest(host, "demo", memory="512M", fill="128M", options=f"--agent {updates.AGENT}").start()
    before = guest.wait_beats(3)
    say(f"The guest's heartbeat before: {before.text}")
    say(f"Now the host goes to Linux {host.setup.release(host.new)}: luoctl update --kernel ... --initrd ...")
    updates.update(host, [guest], host.new, "the update")
    after = guest.wait_beats(3)
    say(f"The guest's heartbeat after:  {after.text}")
    guest.check_sound("after the update")
    guest.check_realtime("after the update")
    say("How long the guest stood still, and where the time went, as luoctl timeline shows it:")
    updates.timeline(host)
