"""Reads programs of deferreds, one a line, and prints what Twisted makes of each.

A line of output has what each link saw and how each chain stands at the end, parted by bars.
"""

import sys

from twisted.internet.defer import AlreadyCalledError, CancelledError, Deferred, TimeoutError
from twisted.internet.task import Clock
from twisted.python.failure import Failure

CHAINS = int(sys.argv[1])


class Broken(Exception):
    pass


def told(got):
    if not isinstance(got, Failure):
        return f"v{got}"
    if got.check(CancelledError):
        return "cancelled"
    if got.check(TimeoutError):
        return "late"
    return f"e{got.value.args[0]}"


class World:
    def __init__(self, ops):
        self.clock = Clock()
        self.trace = []
        self.consumed = [False] * CHAINS
        self.fired = [False] * CHAINS
        self.cancellers = {int(op[1]): op[2:] for op in ops if op[0] == "canceller"}
        self.chains = [self.make(slot) for slot in range(CHAINS)]
        for at, op in enumerate(ops):
            if op[0] != "canceller":
                self.step(at, op[0], op[1:])
        for slot, chain in enumerate(self.chains):
            if not self.consumed[slot]:
                ended = chain.called and not chain.paused and not isinstance(chain.result, Deferred)
                self.trace.append(f"{slot}={told(chain.result) if ended else 'waiting'}")
        for chain in self.chains:
            chain.addErrback(lambda _: None)

    def make(self, slot):
        if slot not in self.cancellers:
            return Deferred()
        kind, *args = self.cancellers[slot]

        def cancel(_):
            if kind == "value":
                self.fire(slot, int(args[0]))
            elif kind == "failure":
                self.fire(slot, Failure(Broken(int(args[0]))))

        return Deferred(cancel)

    def fire(self, slot, result):
        if self.fired[slot]:
            return
        self.fired[slot] = True
        try:
            self.chains[slot].callback(result)
        except AlreadyCalledError:
            # It was cancelled, and its canceller gave nothing.
            pass

    def cancel(self, slot):
        if not self.consumed[slot]:
            self.chains[slot].cancel()

    def step(self, at, verb, args):
        if verb == "advance":
            self.clock.advance(int(args[0]))
            return
        slot = int(args[0])
        if verb == "fire":
            self.fire(slot, int(args[1]))
        elif verb == "fail":
            self.fire(slot, Failure(Broken(int(args[1]))))
        elif verb == "cancel":
            self.cancel(slot)
        elif self.consumed[slot]:
            pass
        elif verb == "timeout":
            self.chains[slot].addTimeout(int(args[1]), self.clock)
        elif verb == "both":

            def both(got):
                self.trace.append(f"both{at} {told(got)}")
                return got

            self.chains[slot].addBoth(both)
        else:
            self.link(at, verb, slot, args[1], [int(arg) for arg in args[2:]])

    def link(self, at, verb, slot, step, args):
        if step == "return":
            if args[0] == slot or self.consumed[args[0]]:
                return
            self.consumed[args[0]] = True

        def act(got):
            self.trace.append(f"{'cb' if verb == 'callback' else 'eb'}{at} {told(got)}")
            if step == "give":
                return args[0] if isinstance(got, Failure) else got + args[0]
            if step == "fail":
                raise Broken(args[0])
            if step == "return":
                return self.chains[args[0]]
            if step == "fire":
                self.fire(*args)
            elif step == "cancel":
                self.cancel(args[0])
            return got

        if verb == "callback":
            self.chains[slot].addCallback(act)
        else:
            self.chains[slot].addErrback(act)


for line in sys.stdin:
    ops = [op.split() for op in line.strip().split(";")]
    print("|".join(World(ops).trace))
