"""Twisted's turn: short programs, eight at a time, and the CPU time that starting them took."""

import sys
import time

from twisted.internet import defer, protocol, reactor

SHAPE, COUNT = sys.argv[1], int(sys.argv[2])
AT_A_TIME = 8
PROGRAM = b"/bin/true" if SHAPE == "bare" else b"/bin/echo"
NULL = open("/dev/null", "r+b").fileno()


class Output(protocol.ProcessProtocol):
    def __init__(self):
        self.done, self.said = defer.Deferred(), []

    def outReceived(self, data):
        self.said.append(data)

    def processEnded(self, reason):
        expected = b"" if SHAPE == "bare" else b"hello\n"
        right = reason.value.exitCode == 0 and b"".join(self.said) == expected
        self.done.callback(right)


@defer.inlineCallbacks
def worker(left):
    while left[0] > 0:
        left[0] -= 1
        output = Output()
        pipes = {0: NULL, 1: NULL, 2: NULL} if SHAPE == "bare" else {0: NULL, 1: "r", 2: "r"}
        reactor.spawnProcess(output, PROGRAM, [PROGRAM, b"hello"], env=None, childFDs=pipes)
        if not (yield output.done):
            raise SystemExit("a program went wrong")


def all_of(count):
    left = [count]
    return defer.gatherResults([worker(left) for _ in range(AT_A_TIME)])


@defer.inlineCallbacks
def main():
    yield all_of(AT_A_TIME)
    before = time.process_time()
    yield all_of(COUNT)
    print(int((time.process_time() - before) * 1e6))
    reactor.stop()


reactor.callWhenRunning(main)
reactor.run()
