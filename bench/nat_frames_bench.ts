/**
 * What a frame of a guest costs in the gateway, without a system call: from `Guest.receive` to the frames that answer
 * it.
 *
 * A SYN is one of a new flow, together with the RST that ends the flow again, so that the table stays as it is.
 *
 * @module
 */
import { ARP_REQUEST } from "../net/wire/arp.ts";
import { Frame } from "../net/wire/frame.ts";
import { FlowGateway } from "../tests/support/flow_gateway.ts";
import { arpFrame, GATEWAY_IP, GUEST_IP } from "../tests/support/frames.ts";

function arpRequest(): Frame {
  const bytes = arpFrame({ operation: ARP_REQUEST, senderIp: GUEST_IP, targetIp: GATEWAY_IP });
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
