"""The other side of the TLS suite: Python's `ssl` and Twisted, as client and as server.

    tls.py ssl-client PORT ROOT VERSION [CERT KEY]   asks `who`, says `bye`, prints what it hears
    tls.py twisted-client PORT ROOT                  the same
    tls.py ssl-server CERT KEY                       prints `port N`, gives lines back in capitals
    tls.py twisted-server CERT KEY                   the same
"""

import socket
import ssl
import sys


def ssl_client(port, root, version, *identity):
    context = ssl.create_default_context(cafile=root)
    chosen = {"TLSv1.2": ssl.TLSVersion.TLSv1_2, "TLSv1.3": ssl.TLSVersion.TLSv1_3}[version]
    context.minimum_version = context.maximum_version = chosen
    if identity:
        context.load_cert_chain(*identity)
    with socket.create_connection(("127.0.0.1", int(port))) as plain:
        with context.wrap_socket(
            plain, server_hostname="localhost", suppress_ragged_eofs=False
        ) as stream:
            stream.sendall(b"who\nbye\n")
            # An end without close_notify would raise.
            while data := stream.recv(65536):
                sys.stdout.write(data.decode())


def ssl_server(certificate, key):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    listening = socket.create_server(("127.0.0.1", 0))
    print("port", listening.getsockname()[1], flush=True)
    while True:
        plain, _ = listening.accept()
        with plain, context.wrap_socket(plain, server_side=True) as stream:
            while data := stream.recv(65536):
                stream.sendall(data.upper())
            stream.unwrap()


def twisted_client(port, root):
    from twisted.internet import defer, protocol, reactor, ssl as tls, task
    from twisted.internet.endpoints import HostnameEndpoint, connectProtocol, wrapClientTLS

    class Ask(protocol.Protocol):
        def connectionMade(self):
            self.ended = defer.Deferred()
            self.transport.write(b"who\nbye\n")

        def dataReceived(self, data):
            sys.stdout.write(data.decode())

        def connectionLost(self, reason):
            reason.trap(tls_closed)
            self.ended.callback(None)

    from twisted.internet.error import ConnectionDone as tls_closed

    async def main(reactor):
        with open(root, "rb") as file:
            authority = tls.Certificate.loadPEM(file.read())
        options = tls.optionsForClientTLS("localhost", trustRoot=authority)
        endpoint = wrapClientTLS(options, HostnameEndpoint(reactor, b"127.0.0.1", int(port)))
        ask = await connectProtocol(endpoint, Ask())
        await ask.ended

    task.react(lambda reactor: defer.Deferred.fromCoroutine(main(reactor)))


def twisted_server(certificate, key):
    from twisted.internet import protocol, reactor, ssl as tls

    class Shout(protocol.Protocol):
        def dataReceived(self, data):
            self.transport.write(data.upper())

    with open(certificate) as one, open(key) as other:
        identity = tls.PrivateCertificate.loadPEM(other.read() + one.read())
    factory = protocol.Factory.forProtocol(Shout)
    port = reactor.listenSSL(0, factory, identity.options(), interface="127.0.0.1")
    print("port", port.getHost().port, flush=True)
    reactor.run()


{
    "ssl-client": ssl_client,
    "ssl-server": ssl_server,
    "twisted-client": twisted_client,
    "twisted-server": twisted_server,
}[sys.argv[1]](*sys.argv[2:])
