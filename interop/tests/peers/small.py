"""The other side of the suite of small protocols: Twisted's.

    small.py family             serves echo, discard, chargen, qotd and who; prints `ports N N N N N`
    small.py finger             serves Finger about alice alone; prints `ports N`
    small.py ask PORT QUERY     asks a Finger server, prints what it says
"""

import sys

from twisted.internet import protocol, reactor
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP4ServerEndpoint, connectProtocol
from twisted.protocols import wire
from twisted.protocols.basic import LineReceiver
from twisted.protocols.finger import Finger


class Directory(Finger):
    def getUser(self, slash_w, user):
        if user != b"alice":
            return Finger.getUser(self, slash_w, user)
        long = b"Shell: /bin/sh\r\n" if slash_w else b""
        self._refuseMessage(b"Login: alice\r\n" + long + b"Plan: none")


class Asking(LineReceiver):
    def __init__(self, query):
        self.query = query

    def connectionMade(self):
        self.sendLine(self.query)

    def lineReceived(self, line):
        print(line.decode())

    def connectionLost(self, reason):
        print("end")
        reactor.stop()


def serve(protocols):
    ports = []

    def listening(port):
        ports.append(str(port.getHost().port))

    for made in protocols:
        factory = protocol.Factory.forProtocol(made)
        TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1").listen(factory).addCallback(listening)
    reactor.callWhenRunning(lambda: print("ports", *ports, flush=True))


role = sys.argv[1]
if role == "family":
    serve([wire.Echo, wire.Discard, wire.Chargen, wire.QOTD, wire.Who])
elif role == "finger":
    serve([Directory])
else:
    place = TCP4ClientEndpoint(reactor, "127.0.0.1", int(sys.argv[2]))
    connectProtocol(place, Asking(sys.argv[3].encode()))
reactor.run()
