"""shapes.py <shape> <count> [nanoseconds]: the same shapes with Twisted's deferreds.

Prints the CPU nanoseconds of one turn, if asked.
"""

import sys
import time

from twisted.internet.defer import Deferred, succeed


def step(n):
    return n + 1


def fire(links):
    def run():
        d = Deferred()
        for _ in range(links):
            d.addCallback(step)
        d.callback(1)

    return run


def returned():
    d = Deferred()
    inners = [Deferred() for _ in range(10)]
    for inner in inners:
        d.addCallback(lambda _, inner=inner: inner)
    d.callback(1)
    for inner in inners:
        inner.callback(1)


def awaiting(make):
    async def task(d):
        return await d + 1

    def run():
        d, fire = make()
        waiting = Deferred.fromCoroutine(task(d))
        fire()
        return waiting

    return run


def ready():
    return succeed(1), lambda: None


def pending():
    d = Deferred()
    return d, lambda: d.callback(1)


SHAPES = {
    "fire-0": fire(0),
    "fire-1": fire(1),
    "fire-10": fire(10),
    "returned-10": returned,
    "await-ready": awaiting(ready),
    "await-pending": awaiting(pending),
}


def main():
    run, count = SHAPES[sys.argv[1]], int(sys.argv[2])
    before = time.process_time_ns()
    for _ in range(count):
        run()
    if "nanoseconds" in sys.argv[3:]:
        print(round((time.process_time_ns() - before) / count))


main()
