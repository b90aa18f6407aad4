import { assert, assertEquals } from "@std/assert";
import { TCP_FIN, TCP_RST, TCP_SYN } from "../../../net/wire/tcp.ts";
import { TcpRelay } from "../../../nat/relay/tcp_relay.ts";
import { NatScript } from "../../support/nat_script.ts";
import { notPlain } from "../../support/plain_data.ts";

/** The only relay of the gateway, which is plain data, the same again after it was copied. */
function relayOf(script: NatScript): TcpRelay {
  const [relay] = script.nat.registry.all();
  assert(relay instanceof TcpRelay);
  assertEquals(notPlain({ relay: relay.record, endpoint: relay.endpoint.records }, "flow"), []);
  assertEquals(structuredClone(relay.record), relay.record);
  return relay;
}

Deno.test("TcpRelay is plain data while the host connects, open, half closed either way and draining", () => {
  const connecting = new NatScript();
  connecting.send({ flags: TCP_SYN });
  assertEquals(relayOf(connecting).record.known, true);
  connecting.send({ flags: TCP_RST });
  connecting.take();
  connecting.assertEmpty();
  const script = new NatScript(), socket = script.open();
  socket.budget = 3;
  script.send({ payload: "hello" });
  const { record, endpoint } = relayOf(script);
  assertEquals([record.bytesToHost, endpoint.queued, record.toHost.finished], [3, 2, false]);
  script.send({ flags: 16 | TCP_FIN });
  assertEquals(relayOf(script).record.toHost, { finished: true, closed: false, failed: false });
  socket.hostEof();
  script.host.run();
  assertEquals(relayOf(script).record.toGuest.finished, true);
  script.receiveAll();
  script.send({});
  assertEquals([relayOf(script).record.guestEnd, script.nat.flows()[0]!.state], ["finished", "draining"]);
  socket.budget = Infinity;
  script.host.run();
  assertEquals([record.toHost.closed, record.ended, record.ending], [true, true, "guestFirst"]);
  script.assertEmpty();
});

Deno.test("TcpRelay that the guest or the host resets says so in its record", () => {
  const script = new NatScript(), socket = script.open(), { record } = relayOf(script);
  socket.hostResets();
  script.host.run();
  assertEquals([record.toHost.failed, record.brokenOff, record.ending], [true, true, "resetByHost"]);
  script.take();
  script.assertEmpty();
  const other = new NatScript();
  other.open();
  const { record: reset } = relayOf(other);
  other.send({ flags: TCP_RST });
  assertEquals([reset.guestEnd, reset.ending, reset.ended], ["reset", "resetByGuest", true]);
  other.assertEmpty();
});
