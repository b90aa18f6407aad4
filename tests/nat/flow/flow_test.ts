import { assertEquals } from "@std/assert";
import { IpAddress } from "../../../net/wire/address.ts";
import { TCP_ACK, TCP_FIN } from "../../../net/wire/tcp.ts";
import { NatScript } from "../../support/nat_script.ts";

Deno.test("flows() shows a TCP flow with each of its figures as it happened", () => {
  const script = new NatScript(), socket = script.open({ window: 100 });
  socket.budget = 3;
  script.advance(5);
  script.send({ payload: "hello", window: 100 });
  socket.hostSends("answer that is acknowledged");
  script.host.run();
  script.receiveAll();
  script.send({ window: 100 });
  socket.hostSends("and that is not");
  script.host.run();
  // The timeout of a path of no delay is 200 ms; the repetition is due once within this.
  script.advance(250);
  assertEquals(script.nat.flows(), [{
    number: 1,
    protocol: "tcp",
    guestNumber: 1,
    guest: "10.0.2.15:40000",
    target: "10.0.2.2:80",
    host: "127.0.0.1:80",
    openedBy: "guest",
    state: "ESTABLISHED",
    bytesFromGuest: 5,
    bytesToHost: 3,
    bytesFromHost: 42,
    bytesToGuest: 27,
    retransmissions: 1,
    ageMs: 255,
    idleMs: 250,
  }]);
  socket.budget = Infinity;
  script.send({ flags: TCP_ACK | TCP_FIN, window: 100 });
  script.receiveAll();
  script.send({ window: 100 });
  const [flow] = script.nat.flows();
  assertEquals([flow!.state, flow!.bytesToHost, flow!.bytesToGuest, flow!.idleMs], ["CLOSE-WAIT", 5, 42, 0]);
  script.nat.close();
  script.take();
  script.assertEmpty();
});

Deno.test("flows() shows which host address a flow came to when the first one refused", () => {
  const script = new NatScript();
  script.send({ flags: 2, ack: 0 });
  script.host.onlyConnect().refuse();
  script.host.run();
  const [flow] = script.nat.flows();
  assertEquals([flow!.target, flow!.host, flow!.state], ["10.0.2.2:80", "[::1]:80", "LISTEN"]);
  script.nat.close();
  script.take();
  script.assertEmpty();
});

Deno.test("flows() shows a UDP flow with the latest address it asked", () => {
  const script = new NatScript();
  script.frame(script.datagram("first", { port: 4000 }));
  script.advance(20);
  script.frame(script.datagram("second", { port: 5000 }));
  script.advance(30);
  const [socket] = script.host.udpSockets;
  socket!.hostSends("an answer", { address: IpAddress.parse("127.0.0.1"), port: 5000 });
  script.host.run();
  script.advance(7);
  assertEquals(script.nat.flows(), [{
    number: 1,
    protocol: "udp",
    guestNumber: 1,
    guest: "10.0.2.15:40000",
    target: "10.0.2.2:5000",
    host: "127.0.0.1:5000",
    openedBy: "guest",
    state: "open",
    bytesFromGuest: 11,
    bytesToHost: 11,
    bytesFromHost: 9,
    bytesToGuest: 9,
    retransmissions: 0,
    ageMs: 57,
    idleMs: 7,
  }]);
  script.nat.close();
  script.assertEmpty();
});

Deno.test("flows() tells guests with the same address apart by their number", () => {
  const script = new NatScript();
  const second = script.nat.attach({ name: "2", mtu: 1500, offload: false, send: () => true, flush() {} });
  script.frame(script.datagram("x", { port: 4000 }));
  second.receive(script.pointAt(script.datagram("x", { port: 4000 })));
  script.host.wake();
  script.host.run();
  assertEquals(script.nat.flows().map((flow) => [flow.guestNumber, flow.guest]), [
    [1, "10.0.2.15:40000"],
    [2, "10.0.2.15:40000"],
  ]);
  script.nat.close();
  script.assertEmpty();
});
