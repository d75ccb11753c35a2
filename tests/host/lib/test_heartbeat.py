# SPDX-License-Identifier: Apache-2.0
"""Unit tests of heartbeat.py: a check that finds nothing wrong with a broken guest is worse than none."""

import unittest

from . import heartbeat


def line(text):
    text = f"HF {text}"
    return f"{text} *{heartbeat.checksum(text):02x}\n"


def beat(seq, **changes):
    values = {"seq": seq, "counter": seq * 10, "mono": seq * 250, "boot": seq * 250, "real": seq, "tsc": seq * 1000, "id": "01234567"}
    values |= {"spins": f"{seq * 5},{seq * 7}"}
    values |= changes
    return line("beat " + " ".join(f"{key}={value}" for key, value in values.items()))


def log(*texts):
    result = heartbeat.Log()
    for text in texts:
        result.feed(text)
    return result


class Reading(unittest.TestCase):
    def test_a_line_is_read(self):
        said = log(line("check pattern=ok words=12 kmsg=bad")).said
        self.assertEqual([s.word for s in said], ["check"])
        self.assertEqual(said[0]["words"], 12)
        self.assertEqual(said[0]["kmsg"], "bad")

    def test_a_boot_id_of_digits_stays_text(self):
        self.assertEqual(log(beat(1)).said[0]["id"], "01234567")

    def test_a_line_in_pieces_is_read_once(self):
        text = beat(1)
        self.assertEqual(len(log(text[:9], text[9:30], text[30:]).said), 1)

    def test_a_changed_line_is_damaged(self):
        result = log(beat(1).replace("counter=10", "counter=11"))
        self.assertEqual((len(result.said), len(result.damaged)), (0, 1))

    def test_kernel_output_in_front_is_kept_apart(self):
        result = log("[    1.0] hello " + beat(1))
        self.assertEqual((len(result.said), result.kernel), (1, ["[    1.0] hello "]))

    def test_kernel_output_behind_is_kept_apart(self):
        result = log(beat(1).rstrip("\n") + "[    1.000000] hello\n")
        self.assertEqual((len(result.said), result.kernel, result.damaged), (1, ["[    1.000000] hello"], []))

    def test_kernel_output_inside_is_taken_out(self):
        text = beat(1)
        result = log(text[:20] + "[    1.000000] hello\n" + "[    1.000001] more\n" + text[20:])
        self.assertEqual((len(result.said), result.damaged, result.kernel), (1, [], ["[    1.000001] more", "[    1.000000] hello"]))

    def test_a_line_that_lost_something_stays_damaged(self):
        text = beat(1)
        for rest in (text[21:], "", beat(2)):
            result = log(text[:20] + "[    1.000000] hello\n" + rest)
            self.assertEqual(len(result.damaged), 1)
        self.assertEqual(result.said[0]["seq"], 2)


class Judging(unittest.TestCase):
    def assert_complains(self, about, *texts):
        found = heartbeat.complaints(log(*texts))
        self.assertTrue(any(about in complaint for complaint in found), found)

    def test_a_sound_guest(self):
        result = log(line("start cpus=2"), "[    1.0] Linux\n", beat(1), beat(2), beat(4))
        self.assertEqual(heartbeat.complaints(result), [])
        self.assertEqual(heartbeat.missed(result), 1)
        self.assertTrue(heartbeat.alive(result.all("beat")[0], result.last("beat")))

    def test_what_must_not_go_back(self):
        self.assert_complains("counter went back", beat(1), beat(2, counter=3))
        self.assert_complains("CLOCK_MONOTONIC went back by 1", beat(1), beat(2, mono=249))
        self.assert_complains("CLOCK_BOOTTIME", beat(1), beat(2, boot=0))
        self.assert_complains("TSC", beat(1), beat(2, tsc=999))
        self.assert_complains("sequence", beat(2), beat(2))
        self.assert_complains("spinning", beat(1), beat(2, spins="4,14"))

    def test_another_boot(self):
        self.assert_complains("another boot", beat(1), beat(2, id="89abcdef"))
        self.assert_complains("started 2 times", line("start cpus=2"), beat(1), line("start cpus=2"))

    def test_faults_and_kernel_alarms(self):
        self.assert_complains("kind=pattern", line("fault kind=pattern bad=1"))
        self.assert_complains("soft lockup", "[  9.0] watchdog: BUG: soft lockup - CPU#1 stuck for 22s!\n")
        self.assert_complains("rcu: INFO", "[  9.0] rcu: INFO: rcu_sched self-detected stall on CPU\n")

    def test_clocks_by_the_kernel(self):
        # Linux 6.1 and 7.3, kernel/time/clocksource.c: found wrong, and not compared.
        self.assert_complains("unstable", "clocksource: timekeeping watchdog on CPU1: Marking clocksource 'tsc' as unstable because the skew\n")
        self.assert_complains("unstable", "clocksource: Marking clocksource kvm-clock unstable due to frequency skew\n")
        skipped = "clocksource: timekeeping watchdog on CPU0: kvm-clock wd-wd read-back delay of 271674ns\n"
        self.assertEqual(heartbeat.complaints(log(line("start cpus=2"), skipped)), [])

    def test_clocks_compared_over_no_time(self):
        verdict = "[   70.051029] clocksource: Marking clocksource tsc unstable due to frequency skew\n"
        watchdog = "[   70.282566] clocksource: Watchdog               kvm-clock interval: {:16}ns\n"
        clock = "[   70.923208] clocksource: Clocksource                  tsc interval: {:16}ns\n"
        short = log(verdict, watchdog.format(49915), line("beat"), clock.format(48371))
        self.assertEqual(heartbeat.complaints(short), [])
        for wrong in ((500_000_000, 48371), (49915, 500_000_000), (510_000_000, 500_000_000)):
            self.assert_complains("frequency skew", verdict, watchdog.format(wrong[0]), clock.format(wrong[1]))
        self.assert_complains("frequency skew", verdict, watchdog.format(49915))

    def test_a_guest_of_which_one_cpu_stands_still(self):
        before, after = log(beat(1), beat(2, spins="50,7")).said
        self.assertFalse(heartbeat.alive(before, after))

    def test_realtime(self):
        before = heartbeat.realtime_offset(98_600_000_000, 100.0, 100.2)
        self.assertAlmostEqual(before.least, -1.6)
        self.assertAlmostEqual(before.most, -1.4)
        for real, moved, at_most in ((198.5, 0, 0.3), (197.6, -0.8, 1.2), (199.6, 0.8, 1.2)):
            after = heartbeat.realtime_offset(int(real * 1e9), 200.0, 200.2)
            self.assertAlmostEqual(after.moved(before), moved)
            self.assertAlmostEqual(after.moved_at_most(before), at_most)


if __name__ == "__main__":
    unittest.main()
