"""The other side of the AMP suite: `amp.py PEM serve` or `amp.py PEM call PORT [asked]`.

PEM has the certificate that proves who a server is, and its key. With `asked`, the server is made to
ask for TLS too.
"""

import datetime
import decimal
import math
import sys

from twisted.internet import defer, endpoints, error, protocol, reactor, ssl, task
from twisted.protocols import amp
from twisted.python.filepath import FilePath


class OnFire(Exception):
    pass


class Sum(amp.Command):
    arguments = [(b"a", amp.Integer()), (b"b", amp.Integer())]
    response = [(b"total", amp.Integer())]


class Divide(amp.Command):
    arguments = [(b"numerator", amp.Integer()), (b"denominator", amp.Integer())]
    response = [(b"result", amp.Float())]
    errors = {ZeroDivisionError: b"ZERO_DIVISION"}
    fatalErrors = {OnFire: b"ON_FIRE"}


class Delay(amp.Command):
    arguments = [(b"number", amp.Integer()), (b"seconds", amp.Float())]
    response = [(b"number", amp.Integer())]


class Note(amp.Command):
    arguments = [(b"text", amp.Unicode())]
    requiresAnswer = False


class Notes(amp.Command):
    response = [(b"notes", amp.ListOf(amp.Unicode()))]


class CallBack(amp.Command):
    arguments = [(b"a", amp.Integer()), (b"b", amp.Integer())]
    response = [(b"total", amp.Integer())]


class Strange(amp.Command):
    pass


class Encrypt(amp.Command):
    """Has the other side ask for TLS."""


with open(sys.argv[1]) as pem:
    CERTIFICATE = ssl.PrivateCertificate.loadPEM(pem.read())
AUTHORITIES = [ssl.Certificate(CERTIFICATE.original)]

VALUES = [
    (b"integer", amp.Integer()),
    (b"huge", amp.Integer()),
    (b"raw", amp.String()),
    (b"text", amp.Unicode()),
    (b"floats", amp.ListOf(amp.Float())),
    (b"yes", amp.Boolean()),
    (b"no", amp.Boolean()),
    (b"decimals", amp.ListOf(amp.Decimal())),
    (b"moment", amp.DateTime()),
    (b"elsewhere", amp.DateTime()),
    (b"path", amp.Path()),
    (b"numbers", amp.ListOf(amp.Integer())),
    (b"nested", amp.ListOf(amp.ListOf(amp.Unicode()))),
    (b"rows", amp.AmpList([(b"x", amp.Integer()), (b"y", amp.Unicode(optional=True))])),
    (b"absent", amp.Integer(optional=True)),
    (b"present", amp.Integer(optional=True)),
    (b"a-b", amp.Unicode()),
    (b"class", amp.Unicode()),
]


class Echo(amp.Command):
    arguments = VALUES
    response = VALUES


class Upgrade(amp.ProtocolSwitchCommand):
    arguments = [(b"to", amp.Unicode())]
    errors = {ZeroDivisionError: b"ZERO_DIVISION"}


def values():
    """What both sides send, and expect to get back."""
    return dict(
        integer=-42,
        huge=10**100,
        raw=bytes(range(256)),
        text="n\u00e4h \u2603",
        floats=[0.1, 1e16, 1e-5, -0.0, 5e-324, 1.5e300, math.inf, -math.inf],
        yes=True,
        no=False,
        decimals=[decimal.Decimal(each) for each in ("1.10", "1E+2", "-Infinity", "-0.00")],
        moment=datetime.datetime(2024, 1, 2, 3, 4, 5, 6, tzinfo=amp.utc),
        elsewhere=datetime.datetime(
            2024, 2, 29, 23, 59, 59, 999999,
            tzinfo=datetime.timezone(datetime.timedelta(hours=-5, minutes=-30)),
        ),
        path=FilePath("/tmp/\u00e4"),
        numbers=[1, 20, 500],
        nested=[["a", ""], []],
        rows=[dict(x=1), dict(x=2, y="z")],
        present=7,
        a_b="dashed",
        Class="keyword",
    )


def seen(values):
    """Values as they are compared: an absent one is as good as `None`."""
    values = {key: value for key, value in values.items() if value is not None}
    values["rows"] = [
        {key: value for key, value in row.items() if value is not None} for row in values["rows"]
    ]
    values["decimals"] = [str(each) for each in values["decimals"]]
    values["floats"] = [repr(each) for each in values["floats"]]
    return values


class Shout(protocol.Protocol):
    """Says its name, and everything that it hears in capitals."""

    def connectionMade(self):
        self.transport.write(b"twisted here\n")

    def dataReceived(self, data):
        self.transport.write(data.upper())


class Side(amp.AMP):
    def __init__(self, is_client=False):
        super().__init__()
        self.notes = []
        self.is_client = is_client
        self.authorities = AUTHORITIES

    def tls(self):
        if self.is_client:
            return {"tls_verifyAuthorities": self.authorities}
        return {"tls_localCertificate": CERTIFICATE}

    @amp.StartTLS.responder
    def start_tls(self):
        return self.tls()

    @Encrypt.responder
    def encrypt(self):
        return self.callRemote(amp.StartTLS, **self.tls()).addCallback(lambda _: {})

    @Sum.responder
    def sum(self, a, b):
        return {"total": a + b}

    @Divide.responder
    def divide(self, numerator, denominator):
        if denominator == -1:
            raise OnFire("it burns")
        if denominator == -2:
            raise KeyError("a secret")
        return {"result": numerator / denominator}

    @Delay.responder
    def delay(self, number, seconds):
        return task.deferLater(reactor, seconds, lambda: {"number": number})

    @Note.responder
    def note(self, text):
        self.notes.append(text)
        return {}

    @Notes.responder
    def all_notes(self):
        return {"notes": self.notes}

    @CallBack.responder
    def call_back(self, a, b):
        return self.callRemote(Sum, a=a, b=b)

    @Echo.responder
    def echo(self, **values):
        return values

    @Upgrade.responder
    def upgrade(self, to):
        if to == "nothing":
            raise ZeroDivisionError("no")
        return Shout()


async def serve():
    endpoint = endpoints.serverFromString(reactor, "tcp:0:interface=127.0.0.1")
    port = await endpoint.listen(protocol.Factory.forProtocol(Side))
    print(f"listening 127.0.0.1:{port.getHost().port}", flush=True)
    await defer.Deferred()


def connect(port):
    endpoint = endpoints.clientFromString(reactor, f"tcp:127.0.0.1:{port}")
    return endpoints.connectProtocol(endpoint, Side(is_client=True))


async def failure(deferred, kind):
    """What a call failed with, which must be of this kind."""
    try:
        result = await deferred
    except kind as why:
        return why
    raise AssertionError(f"{result} where {kind} was expected")


async def gone(side):
    """Waits until the connection has ended."""
    for _ in range(1000):
        if side.transport is None or not side.transport.connected:
            return
        await task.deferLater(reactor, 0.01, lambda: None)
    raise AssertionError("the connection is still there")


class Listener(protocol.Protocol):
    """Hears what the other side of a switch says."""

    def __init__(self):
        self.heard = b""
        self.done = defer.Deferred()

    def connectionMade(self):
        self.transport.write(b"hello\n")

    def dataReceived(self, data):
        self.heard += data
        if self.heard.endswith(b"HELLO\n"):
            self.done.callback(self.heard)


class ListenerFactory(protocol.ClientFactory):
    def buildProtocol(self, addr):
        self.listener = Listener()
        return self.listener


async def check_values(side):
    assert seen(await side.callRemote(Echo, **values())) == seen(values())


async def check_many(side):
    calls = [
        side.callRemote(Delay, number=number, seconds=(number * 7 % 100) / 1000)
        for number in range(200)
    ]
    answers = await defer.gatherResults(calls)
    assert [answer["number"] for answer in answers] == list(range(200))
    assert (await side.callRemote(CallBack, a=13, b=81))["total"] == 94


async def check_notes(side):
    for text in ("one", "two"):
        assert side.callRemote(Note, text=text) is None
    assert (await side.callRemote(Notes))["notes"] == ["one", "two"]


async def check_errors(port):
    side = await connect(port)
    why = await failure(side.callRemote(Divide, numerator=1, denominator=0), ZeroDivisionError)
    assert str(why) == "division by zero", why
    await failure(side.callRemote(Strange), amp.UnhandledCommand)
    assert (await side.callRemote(Divide, numerator=1, denominator=2))["result"] == 0.5
    why = await failure(side.callRemote(Divide, numerator=1, denominator=-1), OnFire)
    assert str(why) == "it burns", why
    await gone(side)
    side = await connect(port)
    waiting = side.callRemote(Delay, number=1, seconds=1000.0)
    await failure(
        side.callRemote(Divide, numerator=1, denominator=-2), amp.UnknownRemoteError
    )
    await failure(waiting, error.ConnectionDone)


async def check_tls(port):
    side = await connect(port)
    answer = side.callRemote(amp.StartTLS, **side.tls())
    total = side.callRemote(Sum, a=13, b=81)
    await answer
    assert (await total)["total"] == 94
    assert side.peerCertificate == AUTHORITIES[0]
    await failure(side.callRemote(Strange), amp.UnhandledCommand)
    await failure(defer.maybeDeferred(side.callRemote, amp.StartTLS), amp.OnlyOneTLS)

    # The other side asks, which listened. Twisted cannot: bytes that come right behind the answer,
    # as the handshake of a client does, it takes for a box.
    if "asked" in sys.argv:
        side = await connect(port)
        await side.callRemote(Encrypt)
        assert side.peerCertificate == AUTHORITIES[0]
        await check_values(side)

    # Somebody else is trusted.
    side = await connect(port)
    key = ssl.KeyPair.generate()
    side.authorities = [key.selfSignedCert(1, CN="somebody else")]
    await side.callRemote(amp.StartTLS, **side.tls())
    await failure(side.callRemote(Sum, a=1, b=2), ssl.SSL.Error)


async def check_switch(port):
    side = await connect(port)
    await failure(side.callRemote(Upgrade, ListenerFactory(), to="nothing"), ZeroDivisionError)
    assert (await side.callRemote(Sum, a=1, b=2))["total"] == 3
    factory = ListenerFactory()
    answer = side.callRemote(Upgrade, factory, to="shout")
    await failure(defer.maybeDeferred(side.callRemote, Sum, a=1, b=2), amp.ProtocolSwitched)
    await answer
    heard = await factory.listener.done
    print(f"heard {heard.decode().splitlines()[0]}", flush=True)


async def call(port):
    side = await connect(port)
    await check_values(side)
    await check_many(side)
    await check_notes(side)
    await check_errors(port)
    await check_tls(port)
    await check_switch(port)
    print("all is well", flush=True)


def main(_):
    what = serve() if sys.argv[2] == "serve" else call(int(sys.argv[3]))
    return defer.Deferred.fromCoroutine(what)


task.react(main)
