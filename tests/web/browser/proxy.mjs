// A network that fails on request: a TCP proxy before a server.
//
//   const net = await openProxy(serverUrl);
//   ... // browse net.url
//   net.cut();                        // every connection ends with a reset
//   net.stall("down");                // stays open, and nothing more arrives: half-open
//   net.flow();                       // and arrives after all
//   net.strand();                     // the same for those that are open now, for good
//   net.admit("silent");              // new connections are accepted and never answered
//   net.admit("refused");             // or reset at once
//   net.slow(20_000);                 // bytes in a second, in each direction
//   net.refuseWebSockets(true);       // answered with 400, as by an old proxy
//   await net.close();
//
// A direction is "up" (to the server), "down", or both if left out.

import { once } from "node:events";
import { createConnection, createServer } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";

const BAD_REQUEST = "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

export async function openProxy(target) {
  const { hostname, port } = new URL(target);
  const clients = new Set();
  const stranded = new WeakSet();
  const stalled = { up: undefined, down: undefined };
  let admission = "open";
  let bytesPerSecond = Infinity;
  let isWithoutWebSockets = false;

  const server = createServer({ noDelay: true }, (client) => {
    client.on("error", () => {});
    clients.add(client);
    client.once("close", () => clients.delete(client));
    if (admission === "refused") client.resetAndDestroy();
    else if (admission === "silent") client.resume();
    else void serve(client);
  });

  async function serve(client) {
    const sent = client[Symbol.asyncIterator]();
    const { value: head } = await sent.next().catch(() => ({}));
    if (!head || client.destroyed) return;
    if (isWithoutWebSockets && /\r\nupgrade: websocket\r\n/i.test(head.toString("latin1"))) {
      client.end(BAD_REQUEST);
      return;
    }
    const upstream = createConnection({ host: hostname, port: Number(port), noDelay: true });
    upstream.on("error", () => {});
    upstream.once("close", () => client.destroy());
    client.once("close", () => upstream.destroy());
    upstream.write(head);
    const isStranded = () => stranded.has(client);
    void pass(sent, upstream, "up", isStranded);
    void pass(upstream, client, "down", isStranded);
  }

  async function pass(from, to, direction, isStranded) {
    try {
      for await (const bytes of from) {
        if (bytesPerSecond < Infinity) await sleep((bytes.length / bytesPerSecond) * 1_000);
        await stalled[direction]?.over;
        if (!to.writable) return;
        if (isStranded()) continue;
        if (!to.write(bytes)) {
          await new Promise((go) => void to.once("drain", go).once("close", go));
        }
      }
      to.end();
    } catch {
      to.destroy(); // reset by the other side
    }
  }

  const directions = (one) => (one ? [one] : ["up", "down"]);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    url: `http://127.0.0.1:${server.address().port}`,
    connections: () => clients.size,
    cut() {
      for (const client of clients) client.resetAndDestroy();
    },
    stall(one) {
      for (const direction of directions(one)) {
        stalled[direction] ??= gate();
      }
    },
    strand() {
      for (const client of clients) stranded.add(client);
    },
    flow(one) {
      for (const direction of directions(one)) {
        stalled[direction]?.end();
        stalled[direction] = undefined;
      }
    },
    admit(how) {
      admission = how;
    },
    slow(bytes) {
      bytesPerSecond = bytes;
    },
    refuseWebSockets(on) {
      isWithoutWebSockets = on;
    },
    async close() {
      this.flow();
      for (const client of clients) client.destroy();
      server.close();
      await once(server, "close");
    },
  };
}

function gate() {
  let end;
  const over = new Promise((go) => {
    end = go;
  });
  return { over, end };
}
