import { assertEquals } from "@std/assert";
import { FlowGateway } from "./flow_gateway.ts";

Deno.test("FlowGateway carries what its ends send, both ways, and drops nothing", () => {
  const gateway = new FlowGateway(), flow = gateway.open(7), other = gateway.open(8);
  assertEquals(gateway.nat.flows().map(({ state }) => state), ["ESTABLISHED", "ESTABLISHED"]);
  for (let i = 0; i < 200; i++) {
    flow.sendData(1460);
    flow.hostSends(3000);
    gateway.turn();
    flow.sendData(0);
    gateway.turn();
  }
  assertEquals(flow.socket.receivedLength, 200 * 1460);
  assertEquals(flow.receivedLength, 200 * 3000);
  assertEquals([other.socket.receivedLength, other.receivedLength], [0, 0]);
  assertEquals(Object.entries(gateway.nat.counters).filter(([, count]) => count > 0), []);
});

Deno.test("FlowGateway opens no flow for a SYN that is given up, and half-closes one whose guest has finished", () => {
  const gateway = new FlowGateway();
  for (let port = 1; port <= 5000; port++) {
    gateway.syn(port);
    gateway.resetSyn(port);
  }
  assertEquals(gateway.nat.flowCount, 0);
  const flow = gateway.open(1);
  flow.sendFin();
  gateway.turn();
  assertEquals(gateway.nat.flows().map(({ state }) => state), ["CLOSE-WAIT"]);
  assertEquals(flow.socket.closeWriteCalled, true);
});
