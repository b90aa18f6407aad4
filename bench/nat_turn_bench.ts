/**
 * What a turn costs while flows are open and nothing happens: it must not depend on how many there are.
 *
 * Mixed flows are a third open TCP connections, a third whose guest has finished (CLOSE-WAIT), a third UDP mappings.
 *
 * @module
 */
import { parseIpv4 } from "../net/wire/address.ts";
import { FlowGateway } from "../tests/support/flow_gateway.ts";
import { udpFrameOfGuest } from "../tests/support/sent_datagrams.ts";

const TURNS = 1000;

function turns(gateway: FlowGateway): void {
  for (let i = 0; i < TURNS; i++) {
    // Less than in `turn`, so that no timer of the flows becomes due however long the benchmark runs.
    gateway.host.time += 1e-7;
    gateway.nat.turn();
  }
}

const group = `${TURNS} turns without work`;
const idle = new FlowGateway();
Deno.bench(`poll_idle, ${TURNS} turns`, { group, baseline: true }, () => turns(idle));

for (const count of [1, 100, 1000]) {
  const gateway = new FlowGateway();
  for (let port = 1; port <= count; port++) gateway.open(port);
  Deno.bench(`poll_with_n_flows ${count}, ${TURNS} turns`, { group }, () => turns(gateway));
}

for (const count of [3, 99, 999]) {
  const gateway = new FlowGateway(), remote = parseIpv4("10.0.2.2");
  for (let port = 1; port <= count; port += 3) {
    gateway.open(port);
    gateway.open(port + 1).sendFin();
    gateway.guest.receive(udpFrameOfGuest({ remote, remotePort: 9, guestPort: port + 2 }, new Uint8Array(8)));
    gateway.turn();
  }
  if (gateway.nat.flowCount !== count) throw new Error(`Cannot go on: there are ${gateway.nat.flowCount} flows`);
  Deno.bench(`poll_with_n_mixed_flows ${count}, ${TURNS} turns`, { group }, () => turns(gateway));
}
