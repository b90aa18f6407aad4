import { assertEquals } from "@std/assert";
import { seenAddress } from "../../nat/forwards.ts";
import { IpAddress, parseIpv4 } from "../../net/wire/address.ts";
import { TCP_ACK, TCP_RST, TCP_SYN } from "../../net/wire/tcp.ts";
import { ask } from "../support/frames.ts";
import { NatScript } from "../support/nat_script.ts";
import { type ScriptRules, scriptRules } from "../support/rules.ts";

const ip = parseIpv4;
const NETWORK = {
  ipv4: { guest: "192.168.7.20/24", gateway: "192.168.7.1", relaysSubnet: true },
  ipv6: { guest: "2001:db8:7::20/64", gateway: "fe80::1", relaysSubnet: true },
} as const;
const ADDRESSES = { dnsAddresses: ["169.254.1.1"], hostAliases: ["169.254.1.2"] };

/** A gateway whose guest has an address of the host's network. */
function relayed(rules: ScriptRules = {}): NatScript {
  const script = new NatScript({ rules: { network: NETWORK, ...ADDRESSES, ...rules }, maxFlows: 20 });
  script.guestIp = ip("192.168.7.20");
  return script;
}

/** What the host was asked for by a guest that asks at each of these addresses, and whether each was refused. */
function reached(script: NatScript, ...destinations: string[]): string[] {
  return destinations.map((destination, i) => {
    const isIpv4 = !destination.includes(":"), source = isIpv4 ? "192.168.7.20" : "2001:db8:7::20";
    const family = isIpv4 ? 4 : 6, before = script.host.sockets.length;
    script.frame(ask("tcp", destination, { source, family, sourcePort: 40000 + i, ttl: 1 }));
    const [socket] = script.host.sockets.slice(before), [reply] = script.take();
    if (socket !== undefined) return `${socket.target.address}`;
    return reply?.flags === (TCP_RST | TCP_ACK) ? "reset" : "dropped";
  });
}

Deno.test("a guest in the host's network reaches its neighbours on its link, the host, and nobody under its own address", () => {
  const script = relayed();
  assertEquals(
    reached(
      script,
      "192.168.7.30",
      "192.168.7.1",
      "169.254.1.2",
      "192.168.7.20",
      "192.168.7.255",
      "2001:db8:7::30",
      "fe80::1",
    ),
    ["192.168.7.30", "127.0.0.1", "127.0.0.1", "reset", "dropped", "2001:db8:7::30", "::1"],
  );
  assertEquals(script.nat.counters.ttlExceeded, 0, "no hop is taken on the link, nor at the gateway's addresses");
  assertEquals(reached(script, "192.168.8.30"), ["dropped"]);
  assertEquals(script.nat.counters.ttlExceeded, 1);
  script.nat.close();
});

Deno.test("without host loopback the gateway is the real one, and echo to it is relayed", () => {
  const script = relayed({ hostLoopback: false });
  assertEquals(reached(script, "192.168.7.1", "fe80::1", "169.254.1.2"), ["192.168.7.1", "reset", "127.0.0.1"]);
  const echo = (destination: string) => {
    script.frame(ask("icmp", destination, { source: "192.168.7.20" }));
    const replies = script.takeIcmp().length;
    return replies > 0 ? "answered" : script.host.pingSockets.at(-1)?.sent.map(({ to }) => `${to}`).join(" ");
  };
  assertEquals(["169.254.1.1", "169.254.1.2", "192.168.7.1"].map(echo), ["answered", "answered", "192.168.7.1"]);
  script.nat.close();
  const open = relayed();
  open.frame(ask("icmp", "192.168.7.1", { source: "192.168.7.20" }));
  assertEquals(
    [open.takeIcmp().length, open.host.pingSockets.length],
    [1, 0],
    "where it stands for the host it answers",
  );
  open.nat.close();
});

Deno.test("a guest under an address that is taken is told whose it is, and a second address of the subnet is its own", () => {
  const script = relayed();
  for (const source of ["192.168.7.1", "169.254.1.2", "192.168.7.255"]) {
    script.frame(ask("tcp", "192.168.7.30", { source }));
  }
  script.frame(ask("tcp", "192.168.7.30", { source: "192.168.7.21" }));
  assertEquals([script.nat.counters.spoofedAddress, script.host.sockets.length], [3, 1]);
  assertEquals(script.warnings, [
    "Guest 1 on script uses 192.168.7.1, which is the gateway's: give it another address of 192.168.7.0/24, " +
    "e.g. 192.168.7.20",
  ]);
  script.nat.close();
});

Deno.test("DNS and the host outside of the subnet are on the link for whoever asks there, and their addresses are taken", () => {
  const script = relayed({ network: { ipv4: { ...NETWORK.ipv4, relaysSubnet: false } } });
  for (const address of ["169.254.1.1", "169.254.1.2"]) script.sendArp(1, ip(address));
  assertEquals([script.nat.counters.arpIgnored, script.take().length], [0, 0]);
  script.sendArp(1, ip("169.254.1.3"));
  assertEquals(script.nat.counters.arpIgnored, 1);
  script.nat.close();
});

Deno.test("a guest without a subnet, behind a gateway that is not of it, has all that any guest has", () => {
  const script = new NatScript({
    rules: { network: { ipv4: { guest: "192.0.2.5/32", gateway: "198.51.100.1" } }, dnsServers: ["203.0.113.53"] },
  });
  script.guestIp = ip("192.0.2.5");
  script.remoteIp = ip("198.51.100.1");
  script.sendArp(1, ip("198.51.100.1"));
  assertEquals(script.nat.counters.arpIgnored, 0);
  script.sendArp(1, ip("198.51.100.2"));
  assertEquals(script.nat.counters.arpIgnored, 1, "nobody else is on its link");
  const socket = script.open();
  assertEquals(`${socket.target.address}`, "127.0.0.1");
  script.remoteIp = ip("203.0.113.9");
  script.guestPort++;
  assertEquals(`${script.open().target.address}`, "203.0.113.9");
  assertEquals(script.nat.flows().map(({ guest }) => guest), ["192.0.2.5:40000", "192.0.2.5:40001"]);
  script.nat.close();
});

Deno.test("a client of a forward is seen by its address, unless that is the guest's own or one of the gateway's", () => {
  const rules = scriptRules({ network: NETWORK, ...ADDRESSES });
  const seen = (client: string, guest = "192.168.7.20") =>
    `${
      seenAddress(
        {
          rules,
          ipv6Routes: { has: () => true, changed: () => () => {} },
        },
        IpAddress.parse(client),
        IpAddress.parse(guest),
      )
    }`;
  for (const client of ["192.168.7.30", "203.0.113.7"]) assertEquals(seen(client), client);
  for (const client of ["127.0.0.1", "192.168.7.20", "192.168.7.1", "169.254.1.2", "192.168.7.255"]) {
    assertEquals(seen(client), "192.168.7.1", client);
  }
  const guest6 = "2001:db8:7::20";
  assertEquals([seen("2001:db8:7::30", guest6), seen(guest6, guest6), seen("::1", guest6)], [
    "2001:db8:7::30",
    "fe80::1",
    "fe80::1",
  ]);
});

Deno.test("a guest that a client comes to by the link-local gateway answers it", () => {
  const script = relayed();
  script.frame(ask("tcp", "fe80::1", { source: "2001:db8:7::20", family: 6 }));
  const [socket] = script.host.sockets;
  socket!.accept();
  script.host.run();
  const [reply] = script.take();
  assertEquals([reply?.flags, reply?.from, reply?.to], [TCP_SYN | TCP_ACK, "[fe80::1]:80", "[2001:db8:7::20]:40000"]);
  script.nat.close();
});
