// WebSocket by the package `ws`: at `/` an echo, at `/all` what one says goes to all.
// `node ws.js PORT PACKAGE`: the folder of the package.
"use strict";

const [port, folder] = process.argv.slice(2);
const { WebSocketServer } = require(folder);

const server = new WebSocketServer({ host: "127.0.0.1", port: Number(port), perMessageDeflate: false });
const all = new Set();

server.on("connection", (socket, request) => {
  socket.on("error", () => socket.terminate());
  if (request.url === "/all") {
    all.add(socket);
    socket.on("close", () => all.delete(socket));
    socket.on("message", (data, binary) => {
      for (const one of all) one.send(data, { binary });
    });
  } else {
    socket.on("message", (data, binary) => socket.send(data, { binary }));
  }
});
server.on("listening", () => console.log(`listening 127.0.0.1:${server.address().port}`));
