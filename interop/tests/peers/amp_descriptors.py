"""The other side of the suite for AMP's descriptors: `amp_descriptors.py serve PATH`, or `call PATH`."""

import os
import sys

from twisted.internet import defer, endpoints, protocol, reactor, task
from twisted.protocols import amp

ROWS = amp.AmpList([(b"name", amp.Unicode()), (b"file", amp.Descriptor())])


class Look(amp.Command):
    arguments = [(b"file", amp.Descriptor())]
    response = [(b"text", amp.Unicode())]


class Hold(amp.Command):
    arguments = [(b"text", amp.Unicode())]
    response = [(b"file", amp.Descriptor())]


class Turn(amp.Command):
    arguments = [
        (b"first", amp.Descriptor()),
        (b"rest", ROWS),
        (b"none", amp.Descriptor(optional=True)),
        (b"some", amp.Descriptor(optional=True)),
    ]
    response = [(b"rows", ROWS)]


def held(text):
    """A descriptor that holds this. It must stay open until it is sent."""
    reader, writer = os.pipe()
    os.write(writer, text.encode())
    os.close(writer)
    return reader


def text(descriptor):
    """What a descriptor holds."""
    with os.fdopen(descriptor) as file:
        return file.read()


class Side(amp.AMP):
    @Look.responder
    def look(self, file):
        return {"text": text(file)}

    @Hold.responder
    def hold(self, text):
        return {"file": held(text)}

    @Turn.responder
    def turn(self, first, rest, none=None, some=None):
        assert none is None
        rows = [{"name": "first", "file": first}, *rest, {"name": "some", "file": some}]
        return {"rows": rows[::-1]}


async def call(path):
    side = await endpoints.connectProtocol(endpoints.UNIXClientEndpoint(reactor, path), Side())
    looks = [side.callRemote(Look, file=held(str(number))) for number in range(40)]
    for number, look in enumerate(looks):
        assert (await look)["text"] == str(number)
    assert text((await side.callRemote(Hold, text="x" * 3000))["file"]) == "x" * 3000
    rest = [{"name": name, "file": held(name.upper())} for name in ("a", "b")]
    turned = await side.callRemote(Turn, first=held("1"), rest=rest, some=held("2"))
    rows = [(row["name"], text(row["file"])) for row in turned["rows"]]
    assert rows == [("some", "2"), ("b", "B"), ("a", "A"), ("first", "1")], rows
    print("all is well", flush=True)


async def serve(path):
    endpoint = endpoints.UNIXServerEndpoint(reactor, path)
    await endpoint.listen(protocol.Factory.forProtocol(Side))
    print("listening", flush=True)
    await defer.Deferred()


def main(_):
    return defer.Deferred.fromCoroutine({"serve": serve, "call": call}[sys.argv[1]](sys.argv[2]))


task.react(main)
