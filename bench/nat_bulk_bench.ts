/**
 * A mebibyte through the gateway in each direction, without system calls and without copies: what the stack itself
 * costs.
 *
 * The segments are those of a link with offload (64 KiB) and of a plain one (1460 bytes). `constrained_window` sends to
 * a guest whose window is small, so that every window full waits for the guest's acknowledgement. `verified` is a
 * flow whose name a judge has verified: it should cost what one costs that nobody has looked at.
 *
 * @module
 */
import { FlowGateway } from "../tests/support/flow_gateway.ts";

const MIB = 1 << 20;
/** Segments that come in one turn at most, as from a TAP. */
const BATCH = 32;

for (const [link, offload, segment] of [["offload", true, 65160], ["plain", false, 1460]] as const) {
  for (const filtered of [false, true]) {
    const gateway = new FlowGateway({ offload, filtered }), flow = gateway.open(1);
    const by = filtered ? ", verified" : "";
    Deno.bench(
      `tcp_bulk_throughput_1mb, guest to host, ${link}${by}`,
      { group: `1 MiB to the host, ${link}`, baseline: !filtered },
      () => {
        const before = flow.socket.receivedLength;
        for (let sent = 0; sent < MIB;) {
          for (let i = 0; i < BATCH && sent < MIB; i++, sent += segment) flow.sendData(Math.min(segment, MIB - sent));
          gateway.turn();
        }
        if (flow.socket.receivedLength - before !== MIB) throw new Error("Cannot go on: bytes are missing at the host");
      },
    );
    Deno.bench(
      `tcp_bulk_throughput_1mb, host to guest, ${link}${by}`,
      { group: `1 MiB to the guest, ${link}`, baseline: !filtered },
      () => hostToGuest(gateway, MIB),
    );
  }
}

for (const window of [4096, 16384, 65536]) {
  const gateway = new FlowGateway({ offload: false }), flow = gateway.open(1);
  flow.window = window >>> 7;
  flow.sendData(0);
  Deno.bench(
    `tcp_bulk_throughput_constrained_window ${window}`,
    { group: "1 MiB to a small window", baseline: window === 4096 },
    () => hostToGuest(gateway, MIB),
  );
}

/** Bytes arrive at the socket of the flow from port 1; the guest acknowledges at the end of every turn. */
function hostToGuest(gateway: FlowGateway, length: number): void {
  const flow = gateway.ends[1]!, end = flow.receivedLength + length;
  flow.hostSends(length);
  for (let rounds = 0; flow.receivedLength < end; rounds++) {
    if (rounds > 10_000) throw new Error("Cannot go on: bytes are missing at the guest");
    gateway.turn();
    flow.sendData(0);
    gateway.turn();
    if (flow.socket.available > 0) flow.socket.handler.hostReadable();
  }
}
