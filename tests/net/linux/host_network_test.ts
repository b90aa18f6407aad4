import { assertEquals } from "@std/assert";
import type { HostConnection } from "../../../net/linux/host_network.ts";
import { requires } from "../../support/requirements.ts";

const needs = requires("linux", "root", "unshare", "ip");
const NONE = { ipv4: undefined, ipv6: undefined };
const VETH = { name: "veth0", mtu: 1400 };

Deno.test({
  name: `readHostConnection tells interface, addresses and router of each family's default route${needs.reason}`,
  ignore: needs.ignore,
  fn: async () => {
    // The namespace is that of the program which asks, so that is started in one of its own.
    const program = new URL("./host_network_program.ts", import.meta.url);
    const words = ["run", "--no-check", "--allow-ffi", "--allow-read", "--allow-run=ip", program.pathname];
    const { stdout, stderr, code } = await new Deno.Command("unshare", { args: ["-n", Deno.execPath(), ...words] })
      .output();
    const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
    assertEquals([code, text(stderr)], [0, ""]);
    const told = new Map<string, HostConnection | string>(
      text(stdout).trim().split("\n").map((line) => JSON.parse(line)).map(({ name, connection }) => [name, connection]),
    );
    const is = (step: string, expected: HostConnection | string) => {
      const { ipv4, ipv6 } = told.get(step) as HostConnection, found = told.get(step);
      assertEquals(typeof found === "string" ? found : { ipv4, ipv6 }, expected, step);
    };
    const ipv4 = { ...VETH, addresses: ["192.0.2.9/24"], gateway: "192.0.2.1" };
    is("nothing", NONE);
    is("addresses without a route", NONE);
    is("named", { ...NONE, ipv4: JSON.parse(JSON.stringify({ ...ipv4, gateway: undefined })) });
    is("no such interface", "Cannot learn how the host is connected: there is no interface veth9");
    is("IPv4", { ...NONE, ipv4 });
    const ipv6 = { ...VETH, addresses: ["2001:db8::9/64", "2001:db8::8/64"], gateway: "fe80::1" };
    const both = { ...ipv4, addresses: ["192.0.2.9/24", "192.0.2.10/24"] };
    is("both", { ipv4: both, ipv6 });
    const link1 = { name: "link1", mtu: 9000, addresses: ["198.51.100.5/31"], gateway: "198.51.100.4" };
    is("another interface is better for IPv4", { ipv4: link1, ipv6 });
    is("named, the worse one", { ipv4: both, ipv6 });
    const tunnel = { name: "tun9", mtu: 1500, addresses: ["203.0.113.5/32"] };
    is("a tunnel to a peer, without a router", { ipv4: tunnel as never, ipv6 });
    is("a router outside of the subnet, in another table and in the main one", {
      ipv4: { ...link1, gateway: "198.51.100.99" },
      ipv6,
    });
    is("several ways", { ipv4: both, ipv6 });
    is("many routes", { ipv4: both, ipv6 });
  },
});
