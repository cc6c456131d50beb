// One room with Socket.IO: node socket_io.mjs PORT. Whoever comes is let in, and what
// is said goes to all in it.
import { createServer } from "node:http";
import { Server } from "socket.io";

const http = createServer();
const io = new Server(http, { transports: ["websocket"] });

io.on("connection", (socket) => {
  socket.join("room");
  socket.on("message", (text) => {
    io.to("room").emit("message", text);
  });
});

http.listen(Number(process.argv[2]), "127.0.0.1");
