// The other side of the WebSocket suite: the `ws` package as client and as server.
//
//     websocket.js client ws://HOST:PORT/     speaks with an echo, prints `done`
//     websocket.js server                     prints `port N`, echoes, and closes when told `close`
//     websocket.js streams                    the same on streams of HTTP/2 (RFC 8441), which is Node's own

const assert = require("node:assert");
const http2 = require("node:http2");
const { WebSocket, WebSocketServer } = require(process.env.WS_FOLDER);

const MESSAGES = [
  "",
  "hello",
  "näh ☃ 😀",
  Buffer.alloc(0),
  Buffer.from([...Array(256).keys()]),
  "x".repeat(125),
  "x".repeat(126),
  "x".repeat(65535),
  "y".repeat(65536),
  Buffer.alloc(1000000),
  "again and again ".repeat(5000),
];

function next(socket, event) {
  return new Promise((resolve, reject) => {
    socket.once(event, (...args) => resolve(args));
    socket.once("error", reject);
  });
}

function same(data, isBinary, message) {
  assert.strictEqual(isBinary, Buffer.isBuffer(message));
  assert.ok(data.equals(Buffer.from(message)), String(message).slice(0, 20));
}

async function client(url) {
  for (const perMessageDeflate of [false, { threshold: 0 }]) {
    const socket = new WebSocket(url, { perMessageDeflate });
    await next(socket, "open");
    for (const message of MESSAGES) {
      socket.send(message);
      const [data, isBinary] = await next(socket, "message");
      same(data, isBinary, message);
    }
    for (const piece of ["one ", "", "two "]) socket.send(piece, { fin: false });
    socket.send("thrée");
    const [joined] = await next(socket, "message");
    assert.strictEqual(joined.toString(), "one two thrée");
    socket.ping("there?");
    assert.strictEqual((await next(socket, "pong"))[0].toString(), "there?");
    socket.close(4001, "enough");
    assert.strictEqual((await next(socket, "close"))[0], 4001);
  }
  const socket = new WebSocket(url, ["v0", "v1"]);
  await next(socket, "open");
  assert.strictEqual(socket.protocol, "v1");
  socket.send("bye");
  const [code, reason] = await next(socket, "close");
  assert.strictEqual(code, 4002);
  assert.strictEqual(reason.toString(), "as you wish");
  console.log("done");
}

function server() {
  const place = { host: "127.0.0.1", port: 0, maxPayload: 1 << 24 };
  const options = { perMessageDeflate: { threshold: 0 }, handleProtocols: () => "v1" };
  const server = new WebSocketServer({ ...place, ...options });
  server.on("listening", () => console.log("port " + server.address().port));
  server.on("connection", echo);
}

function echo(socket) {
  socket.on("message", (data, isBinary) => {
    if (!isBinary && data.toString() === "close") return socket.close(4003, "as you wish");
    socket.send(data, { binary: isBinary });
  });
}

function streams() {
  const server = http2.createServer({ settings: { enableConnectProtocol: true } });
  server.on("stream", (stream, headers) => {
    if (headers[":protocol"] !== "websocket" || headers["sec-websocket-key"]) {
      stream.respond({ ":status": headers[":method"] === "GET" ? 200 : 400 });
      return stream.end("plain");
    }
    assert.strictEqual(headers["sec-websocket-version"], "13");
    stream.respond({ ":status": 200, "sec-websocket-protocol": "v1" });
    const socket = new WebSocket(null, undefined, {});
    // What the package does once a connection is its own.
    socket._isServer = true;
    socket.setSocket(stream, Buffer.alloc(0), { maxPayload: 1 << 24 });
    echo(socket);
  });
  server.listen(0, "127.0.0.1", () => console.log("port " + server.address().port));
}

const [what, url] = process.argv.slice(2);
if (what === "client") {
  client(url).catch((error) => {
    console.error(error);
    process.exit(1);
  });
} else if (what === "streams") {
  streams();
} else {
  server();
}
