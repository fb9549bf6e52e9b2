"""Adds numbers for whoever calls."""

from twisted.internet import endpoints, protocol, reactor
from twisted.protocols import amp


class Sum(amp.Command):
    arguments = [(b"a", amp.Integer()), (b"b", amp.Integer())]
    response = [(b"total", amp.Integer())]


class Adder(amp.AMP):
    @Sum.responder
    def sum(self, a, b):
        return {"total": a + b}


def tell(port):
    print(f"listening 127.0.0.1:{port.getHost().port}", flush=True)


endpoint = endpoints.serverFromString(reactor, "tcp:0:interface=127.0.0.1")
endpoint.listen(protocol.Factory.forProtocol(Adder)).addCallback(tell)
reactor.run()
