"""The other side of the WebSocket suite: the `websockets` package as client and as server.

    websocket.py client ws://HOST:PORT/     speaks with an echo, prints `done`
    websocket.py stream ws://HOST:PORT/     sends bytes to an echo of streams, prints `done`
    websocket.py server                     prints `port N`, echoes, and closes when told `close`
"""

import asyncio
import sys

from websockets.asyncio.client import connect
from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed, InvalidStatus

MESSAGES = [
    "",
    "hello",
    "näh ☃ 😀",
    b"",
    bytes(range(256)),
    "x" * 125,
    "x" * 126,
    "x" * 65535,
    "y" * 65536,
    bytes(1_000_000),
    "again and again " * 5000,
]


async def fragments():
    for piece in ["one ", "", "two ", "thrée"]:
        yield piece


async def client(url):
    for compression in [None, "deflate"]:
        async with connect(url, compression=compression, max_size=None) as socket:
            for message in MESSAGES:
                await socket.send(message)
                assert await socket.recv() == message, message[:20]
            for message in MESSAGES:
                await socket.send(message)
            for message in MESSAGES:
                assert await socket.recv() == message, message[:20]
            await socket.send(fragments())
            assert await socket.recv() == "one two thrée"
            await (await socket.ping(b"there?"))
            await socket.close(4001, "enough")
            assert socket.close_code == 4001, socket.close_code

    async with connect(url, subprotocols=["v0", "v1"]) as socket:
        assert socket.subprotocol == "v1"
        await socket.send("bye")
        try:
            while True:
                await socket.recv()
        except ConnectionClosed as closed:
            assert closed.rcvd.code == 4002 and closed.rcvd.reason == "as you wish", closed

    # Longer than is allowed there. Leaving an `async with` would abort a transport that is gone already.
    socket = await connect(url, compression=None)
    try:
        await socket.send(bytes(17 * 1024 * 1024))
        await socket.recv()
        raise AssertionError("a message that is too long was taken")
    except ConnectionClosed as closed:
        assert closed.rcvd and closed.rcvd.code == 1009, closed

    try:
        async with connect(url, origin="https://elsewhere.example"):
            raise AssertionError("a page from elsewhere was let in")
    except InvalidStatus as refused:
        assert refused.response.status_code == 403
    print("done", flush=True)


async def stream(url):
    sent = b"".join(bytes([index % 251]) * (index * 37) for index in range(200))
    async with connect(url, compression=None) as socket:
        async def send():
            for start in range(0, len(sent), 5000):
                await socket.send(sent[start : start + 5000])
        sending = asyncio.create_task(send())
        heard = b""
        while len(heard) < len(sent):
            heard += await socket.recv()
        await sending
        assert heard == sent
        await socket.close()
        assert socket.close_code == 1000, socket.close_code
    print("done", flush=True)


async def echo(socket):
    try:
        async for message in socket:
            if message == "close":
                await socket.close(4003, "as you wish")
            else:
                await socket.send(message)
    except ConnectionClosed:
        pass


async def server():
    options = {"subprotocols": ["v1"], "max_size": None}
    async with serve(echo, "127.0.0.1", 0, **options) as listening:
        print("port", listening.sockets[0].getsockname()[1], flush=True)
        await asyncio.get_running_loop().create_future()


if sys.argv[1] == "client":
    asyncio.run(client(sys.argv[2]))
elif sys.argv[1] == "stream":
    asyncio.run(stream(sys.argv[2]))
else:
    asyncio.run(server())
