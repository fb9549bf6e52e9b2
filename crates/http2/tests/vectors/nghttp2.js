// Has Node's nghttp2 send requests to a server that prints their field blocks.
"use strict";
const http2 = require("http2"), net = require("net");

let state = 7541;
const below = max => {
  state = (state * 1103515245 + 12345) % 2147483648;
  return Math.floor(state / 65536) % max;
};
const one = list => list[below(list.length)];
const NAMES = ["accept", "cache-control", "content-type", "cookie", "etag", "range", "user-agent", "x-a", "x-long-name-of-a-field"];
const VALUES = ["1", "text/html", "no-cache", "gzip, deflate", "!\"#$%&'()*+,-./:;<=>?@[]^_`{|}~", "x".repeat(300), "\xe9\xff"];
const hex = text => Buffer.from(text, "latin1").toString("hex");

function request() {
  const fields = {
    ":method": one(["GET", "POST", "PATCH"]), ":scheme": one(["http", "https"]),
    ":path": one(["/", "/index.html", `/a/b?c=${below(5)}`]), ":authority": one(["example.com", "a.example:8443"]),
  };
  for (let count = below(9); count > 0; count--) fields[one(NAMES)] = one(VALUES);
  const secret = Object.keys(fields).filter(name => !name.startsWith(":") && below(4) == 0);
  if (secret.length > 0) fields[http2.sensitiveHeaders] = secret;
  return fields;
}

function frames(socket, take) {
  let rest = Buffer.alloc(0);
  socket.on("data", data => {
    rest = Buffer.concat([rest, data]);
    if (rest.length >= 24 && rest.toString("latin1", 0, 3) == "PRI") rest = rest.subarray(24);
    while (rest.length >= 9 && rest.length >= 9 + rest.readUIntBE(0, 3)) {
      const end = 9 + rest.readUIntBE(0, 3);
      take(rest[3], rest[4], rest.readUInt32BE(5), rest.subarray(9, end));
      rest = rest.subarray(end);
    }
  });
}

function connection(table, count, done) {
  const said = [];
  const server = net.createServer(socket => {
    socket.on("error", () => {});
    const settings = Buffer.from("000006040000000000000100000000", "hex");
    settings.writeUInt32BE(table, 11);
    socket.write(settings);
    frames(socket, (kind, flags, stream, payload) => {
      if (kind == 4 && !(flags & 1)) socket.write(Buffer.from("000000040100000000", "hex"));
      // Once the client has heard of the table, it may ask.
      if (kind == 4 && flags & 1) ask();
      if (kind != 1) return;
      // A priority stands in front of the block where this is set.
      said.push(payload.subarray(flags & 32 ? 5 : 0).toString("hex"));
      const answer = Buffer.from("000001010500000000" + "88", "hex");
      answer.writeUInt32BE(stream, 5);
      socket.write(answer);
    });
  });
  const asked = [];
  let client;
  function ask() {
    if (asked.length == count) {
      client.destroy();
      return server.close(() => {
        console.log("connection");
        console.log(`table ${table}`);
        asked.forEach((fields, index) => {
          console.log("block", said[index]);
          const secret = fields[http2.sensitiveHeaders] || [];
          for (const name of Object.keys(fields)) {
            console.log(secret.includes(name) ? "!" : "+", `${hex(name)}:${hex(fields[name])}`);
          }
        });
        done();
      });
    }
    const fields = request();
    asked.push(fields);
    const stream = client.request(fields, { endStream: true });
    stream.on("response", () => {});
    stream.on("data", () => {});
    stream.on("error", () => {});
    stream.on("close", ask);
  }
  server.listen(0, "127.0.0.1", () => {
    client = http2.connect(`http://127.0.0.1:${server.address().port}`);
    client.on("error", () => {});
  });
}

const tables = [4096, 4096, 4096, 100, 1000, 0];
(function next() {
  if (tables.length > 0) connection(tables.shift(), 20, next);
})();
