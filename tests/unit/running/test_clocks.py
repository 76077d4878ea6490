import threading

from nbflow.running.clock import SystemClock
from nbflow.testing.clock import VirtualClock


def test_timers_of_the_system_fire_in_order_and_can_be_cancelled():
    clock, seen, done = SystemClock(), [], threading.Event()
    now = clock.time()
    clock.call_at(now + 0.03, done.set)
    clock.call_at(now + 0.02, lambda: seen.append(2))
    clock.call_at(now + 0.015, lambda: seen.append("cancelled"))()
    clock.call_at(now + 0.01, lambda: seen.append(1))
    assert done.wait(5)
    assert seen == [1, 2]


def test_a_failing_action_stops_no_others():
    clock, done = SystemClock(), threading.Event()
    clock.call_at(clock.time(), lambda: 1 / 0)
    clock.call_at(clock.time() + 0.01, done.set)
    assert done.wait(5)


def test_virtual_time_passes_when_told_to():
    clock, seen = VirtualClock(start=100), []
    clock.call_at(102, lambda: seen.append(clock.time()))
    clock.call_at(101, lambda: clock.call_at(101.5, lambda: seen.append(clock.time())))
    clock.advance(1.9)
    assert (seen, clock.time()) == ([101.5], 101.9)
    clock.advance(1)
    assert (seen, clock.time()) == ([101.5, 102], 102.9)


def test_virtual_time_jumps_to_what_is_next():
    clock, seen = VirtualClock(start=100), []
    clock.call_at(105, lambda: seen.append("cancelled"))()
    clock.call_at(110, lambda: seen.append("done"))
    assert clock.pending == 1
    assert clock.jump()
    assert (seen, clock.time()) == (["done"], 110)
    assert not clock.jump()
