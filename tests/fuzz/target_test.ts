import { assert, assertEquals, assertThrows } from "@std/assert";
import { ethernetType, ETHERTYPE_IPV6 } from "../../net/wire/ethernet.ts";
import type { Frame } from "../../net/wire/frame.ts";
import { fuzz } from "./fuzz.ts";
import { mutate } from "./mutate.ts";
import { Random } from "./random.ts";
import { parseScript } from "./script.ts";
import { FuzzTarget } from "./target.ts";

const OPENING = "tcp SYN\nhost accept\ntcp ACK\n";

const ECHO6 = "icmp type=128 to=[fd00::2] hex=00010001";
const SOLICITATION = "icmp type=135 to=[fd00::2] ttl=255 hex=00000000fd000000000000000000000000000002";
const LONG6 = "host udp-send len=3000 from=[::1]:9";

/** Has every frame of IPv6 to the guest changed. */
function spoilFrames({ out: { link } }: FuzzTarget["guest"], spoil: (...frame: [Uint8Array, number, number]) => void) {
  const send = link.send;
  link.send = (frame) => {
    if (ethernetType(frame.bytes, frame.start) === ETHERTYPE_IPV6) spoil(frame.bytes, frame.start, frame.end);
    return send(frame);
  };
}

/** Plays a script against a gateway in which `spoil` has put a defect. */
function play(text: string, spoil: (target: FuzzTarget) => void = () => {}): FuzzTarget {
  const target = new FuzzTarget();
  for (const action of parseScript(OPENING)) target.act(action);
  spoil(target);
  for (const action of parseScript(text)) target.act(action);
  target.close();
  return target;
}

// Defects, each with a script that a sound gateway passes.
const DEFECTS: readonly [string, string, RegExp, (target: FuzzTarget) => void][] = [
  ["throws", "icmp hex=00010001", /out of order/, ({ guest }) => {
    guest.receive = () => {
      throw new Error("out of order");
    };
  }],
  ["drops a frame silently", "tcp ACK len=3", /no effect and moved no counter/, ({ guest }) => {
    guest.receive = () => {};
  }],
  ["counts a frame twice", "ether type=88cc", /moved counters 2 times/, ({ guest, nat }) => {
    const receive = guest.receive.bind(guest);
    guest.receive = (frame: Frame) => {
      receive(frame);
      nat.counters.vlan++;
    };
  }],
  ["writes to the frame it was given", "tcp ACK len=3", /not equal/, ({ guest }) => {
    const receive = guest.receive.bind(guest);
    guest.receive = (frame: Frame) => {
      receive(frame);
      frame.bytes[frame.end] = 0;
    };
  }],
  ["takes more buffers than it may", "tcp ACK len=3", /bytes of buffers/, ({ nat }) => {
    for (let i = 0; i < 100; i++) nat.pool.takeLarge();
  }],
  ["leaves a buffer behind", "tcp ACK len=3", /buffers/, ({ nat }) => void nat.pool.takeSmall()],
  ["sends a wrong checksum", "icmp hex=00010001", /wrong ICMP checksum/, ({ guest }) => {
    const send = guest.ipv4.packet.bind(guest.ipv4);
    guest.ipv4.packet = (bytes, start, end, protocol, ends) => {
      bytes[end - 1]! ^= 1;
      send(bytes, start, end, protocol, ends);
    };
  }],
  ["sends neighbour discovery that a router has passed on", SOLICITATION, /bad neighbour message/, ({ guest }) => {
    spoilFrames(guest, (bytes, start) => void (bytes[start + 14 + 7] = 254));
  }],
  ["sends a hop limit that it does not have", ECHO6, /hop limit/, ({ guest }) => {
    spoilFrames(guest, (bytes, start) => void (bytes[start + 14 + 7] = 1));
  }],
  ["sends a packet from a group", ECHO6, /packet from ff/, ({ guest }) => {
    spoilFrames(guest, (bytes, start) => void (bytes[start + 14 + 8] = 0xff));
  }],
  ["sends a packet from a mapped address", ECHO6, /packet from/, ({ guest }) => {
    const mapped = Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 2, 2);
    spoilFrames(guest, (bytes, start) => bytes.set(mapped, start + 14 + 8));
  }],
  ["sends a wrong checksum in fragments", `udp to=[fd00::2]:9\n${LONG6}`, /wrong UDP checksum/, ({ guest }) => {
    spoilFrames(guest, (bytes, _, end) => void (bytes[end - 1]! ^= 1));
  }],
  ["sends a message with an option of no length", SOLICITATION, /bad neighbour message/, ({ guest }) => {
    spoilFrames(guest, (bytes, start) => void (bytes[start + 14 + 40 + 25] = 0));
  }],
  ["sends a group's packet to one station", SOLICITATION, /group's address and another/, ({ guest }) => {
    spoilFrames(guest, (bytes, start) => void (bytes[start + 14 + 24] = 0xff));
  }],
  ["answers a frame many times", ECHO6, /brought about 10/, ({ guest }) => {
    const { link } = guest.out, send = link.send;
    link.send = (frame) => {
      for (let i = 0; i < 9; i++) send(frame);
      return send(frame);
    };
  }],
  ["listens to the host's routes for ever", "wait 1", /listens to the host's routes/, ({ nat }) => {
    nat.ipv6Routes.changed(() => {});
  }],
  [
    "believes an address that nobody has",
    "udp src=2001:db8::1 to=[2001:db8::7]:9 len=4",
    /address of nobody had an effect/,
    ({ guest }) => {
      guest.speaksFrom = () => true;
    },
  ],
  [
    "believes a guest that it is a router",
    "icmp type=134 src=fe80::15 to=[fd00::2] ttl=255 hex=000000000000000000000000",
    /believed to be a router/,
    ({ guest }) => {
      guest.receive = () => void guest.ipv6.lowerMtu(1300);
    },
  ],
  ["reaches what no guest may reach", "udp to=[fd00:ec2::254]:9 len=4", /asked to reach fd00:ec2::254/, ({ nat }) => {
    Object.assign(nat.rules.egress, { address: () => null });
  }],
  ["sends a packet to another station", "icmp hex=00010001", /somebody else/, ({ guest }) => {
    const { link } = guest.out, send = link.send;
    link.send = (frame) => {
      frame.bytes[frame.start] = 2;
      return send(frame);
    };
  }],
];

for (const [defect, script, message, spoil] of DEFECTS) {
  Deno.test(`FuzzTarget finds out a gateway that ${defect}`, () => {
    play(script);
    const error = assertThrows(() => play(script, spoil), Error);
    assert(message.test(error.message), error.message);
  });
}

Deno.test("FuzzTarget notes what it plays as bytes, which play the same again", () => {
  const first = play(
    "tcp ACK text=hello\nhost send len=30\nwait 300\ntcp ACK opts=0101 ack=-3\ndhcp type=1\nlink full\ntcp ACK",
  );
  const again = new FuzzTarget();
  for (const action of parseScript(first.played.join("\n"))) again.act(action);
  again.close();
  assertEquals(again.played, first.played);
  assertEquals(again.nat.counters, first.nat.counters);
});

Deno.test("parseScript skips comments and blank lines and refuses a verb that is none", () => {
  assertEquals(parseScript("# x\n\n  wait 5  # five\n").map(({ line }) => line), ["wait 5"]);
  assertThrows(() => parseScript("wait 5\nsend nothing"), SyntaxError, '"send" is no verb');
});

Deno.test("FuzzTarget refuses to expect a counter that is none", () => {
  assertThrows(() => play("expect tcpNonsense=1"), SyntaxError, '"tcpNonsense"');
});

Deno.test("fuzz finds nothing in a gateway that keeps its promises, and does the same for the same seed", () => {
  const corpus = [{ name: "a", text: OPENING + "tcp ACK len=100\nhost eof\ntcp FIN,ACK\n" }, {
    name: "b",
    text: "dhcp type=1",
  }];
  const first = fuzz(corpus, 5, (sessions) => sessions < 40), again = fuzz(corpus, 5, (sessions) => sessions < 40);
  assertEquals([[...first.failures], first.sessions], [[], 40]);
  assertEquals(again, first);
});

Deno.test("fuzz keeps of a failing script only the lines that it takes to fail", () => {
  // No gateway has less than no buffers, so whatever comes first is one too many.
  const corpus = [{
    name: "bad",
    text: "options maxBufferBytes=-9000000\ntcp SYN\nwait 1\ntcp SYN port=2\ndhcp type=1",
  }];
  const { failures } = fuzz(corpus, 5, (sessions) => sessions < 40);
  assert(failures.size > 0);
  for (const script of failures.values()) {
    const verbs = parseScript(script).map(({ verb }) => verb);
    assertEquals([verbs.length, verbs[0]], [2, "options"]);
  }
});

Deno.test("mutate makes frames of every kind of change and throws for none, however short the frame", () => {
  const random = new Random(3), lengths = new Set<number>();
  for (let i = 0; i < 20_000; i++) lengths.add(mutate(new Uint8Array(i % 70).fill(0x45), random).length);
  assert(lengths.has(0) && lengths.size > 100);
});
