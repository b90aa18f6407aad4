/**
 * For tests of hosts without IPv6, in a network namespace of its own: a server of one page on 192.0.2.1, and DNS on
 * loopback in which every name has that address alone, or with the argument `both` also 2001:db8::1, where nobody is.
 * It writes "ready" and goes on until it is killed.
 *
 * @module
 */
import { DnsServer, respondWith } from "../support/dns_server.ts";

const ipv6 = Deno.args[0] === "both" ? [0x20, 0x01, 0x0d, 0xb8, ...new Array<number>(11).fill(0), 1] : [];
await DnsServer.start(respondWith([192, 0, 2, 1], 300, ipv6), { port: 5300 });
Deno.serve({ hostname: "192.0.2.1", port: 8080, onListen: () => console.log("ready") }, () => new Response("IPv4\n"));
