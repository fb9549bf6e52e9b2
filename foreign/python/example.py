"""A page of Ropewalk's and a server of asyncio's, on one thread.

Build the module with `cargo build -p ropewalk-python` in `foreign/`, copy `libropewalk_asyncio.so` to
`ropewalk_asyncio.so` beside this file or on PYTHONPATH, and run this. Either page may be asked; asking
asyncio's for /stop ends both.
"""

import asyncio

import ropewalk_asyncio


class Host:
    """Runs what has `fileno`, `turn` and `over` in an asyncio loop."""

    def __init__(self, hosted, loop):
        self.hosted, self.loop = hosted, loop
        self.turns, self.timer = 0, None
        self.over = loop.create_future()
        loop.add_reader(hosted.fileno(), self.turn)
        # What is there already, and the first deadline.
        loop.call_soon(self.turn)

    def turn(self):
        if self.over.done():
            return
        self.turns += 1
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
        wait = self.hosted.turn()
        if self.hosted.over:
            self.loop.remove_reader(self.hosted.fileno())
            self.over.set_result(None)
        elif wait is not None:
            self.timer = self.loop.call_later(wait, self.turn)


async def main():
    page = ropewalk_asyncio.Page()
    host = Host(page, asyncio.get_running_loop())
    visitors = 0

    async def serve(reader, writer):
        nonlocal visitors
        visitors += 1
        asked = await reader.readline()
        text = f"asyncio's visitor {visitors}\n"
        writer.write(f"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{text}".encode())
        await writer.drain()
        writer.close()
        if b" /stop " in asked:
            page.stop()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    print("listening", page.address, flush=True)
    print("asyncio", ":".join(map(str, server.sockets[0].getsockname())), flush=True)
    await host.over
    server.close()
    print("over after", host.turns, "turns", flush=True)


asyncio.run(main())
