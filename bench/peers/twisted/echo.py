"""An echo on Twisted: echo.py PORT."""

import sys

from twisted.internet import protocol, reactor


class Echo(protocol.Protocol):
    def connectionMade(self):
        self.transport.setTcpNoDelay(True)
        # Who does not take his echo is not read from.
        self.transport.registerProducer(self.transport, True)

    def dataReceived(self, data):
        self.transport.write(data)


factory = protocol.Factory.forProtocol(Echo)
factory.noisy = False
port = reactor.listenTCP(int(sys.argv[1]), factory, backlog=4096, interface="127.0.0.1")
print(f"listening 127.0.0.1:{port.getHost().port}", flush=True)
reactor.run()
