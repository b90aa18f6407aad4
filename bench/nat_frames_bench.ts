/**
 * What a frame of a guest costs in the gateway, without a system call: from `Guest.receive` to the frames that answer
 * it.
 *
 * A SYN is one of a new flow, together with the RST that ends the flow again, so that the table stays as it is.
 *
 * @module
 */
import { ARP_LENGTH, ARP_REQUEST, encodeArp } from "../net/wire/arp.ts";
import { MAC_BROADCAST } from "../net/wire/address.ts";
import { encodeEthernet, ETHERNET_HEADER_LENGTH, ETHERTYPE_ARP } from "../net/wire/ethernet.ts";
import { Frame } from "../net/wire/frame.ts";
import { FlowGateway } from "../tests/support/flow_gateway.ts";

const GUEST_MAC = 0x525400123456;

function arpRequest(): Frame {
  const bytes = new Uint8Array(ETHERNET_HEADER_LENGTH + ARP_LENGTH);
  const at = encodeEthernet(bytes, 0, MAC_BROADCAST, GUEST_MAC, ETHERTYPE_ARP);
  const senderIp = 0x0a00020f, targetIp = 0x0a000202;
  encodeArp(bytes, at, { operation: ARP_REQUEST, senderMac: GUEST_MAC, senderIp, targetMac: 0, targetIp });
  return new Frame().set(bytes, 0, bytes.length);
}

{
  const gateway = new FlowGateway();
  let port = 0;
  Deno.bench("process_syn", { group: "SYN", baseline: true }, () => {
    port = (port % 60_000) + 1;
    gateway.syn(port);
    gateway.resetSyn(port);
  });
}

for (const pending of [10, 100, 1000]) {
  const gateway = new FlowGateway();
  for (let port = 1; port <= pending; port++) gateway.syn(port);
  let port = 0;
  Deno.bench(`process_syn_during_pending_connects ${pending}`, { group: "SYN" }, () => {
    port = (port % 60_000) + 1;
    gateway.syn(pending + port);
    gateway.resetSyn(pending + port);
  });
}

{
  const gateway = new FlowGateway(), request = arpRequest();
  Deno.bench("process_arp_request", () => {
    gateway.guest.receive(request);
    gateway.turn();
  });
}
