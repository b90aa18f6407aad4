/**
 * For the test of NAT64, in a network namespace of its own: a server of one page on 192.0.2.1, and DNS on loopback in
 * which every name has that address alone. It writes "ready" and goes on until it is killed.
 *
 * @module
 */
import { DnsServer, respondWith } from "../support/dns_server.ts";

await DnsServer.start(respondWith([192, 0, 2, 1]), { port: 5300 });
Deno.serve({ hostname: "192.0.2.1", port: 8080, onListen: () => console.log("ready") }, () => new Response("IPv4\n"));
