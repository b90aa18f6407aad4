import { assertEquals } from "@std/assert";
import { encodeLocalDnsAnswer, LOCAL_DNS_NAMES } from "../../../nat/service/dns_local.ts";
import { readDnsQuery } from "../../../nat/service/dns_query.ts";
import { IpAddress } from "../../../net/wire/address.ts";
import { dnsQuery, dnsText, type MessageFields, optRecord } from "../../support/dns_messages.ts";
import { painted } from "../../support/packet_bytes.ts";

/** The answer in one line, or null where the name is not local. */
function answer(question: string, fields: MessageFields = {}, gateways = ["10.0.2.2", "fd00::2"]): string | null {
  const message = dnsQuery(question, fields), query = readDnsQuery(message, 0, message.length)!;
  const into = painted(600), length = encodeLocalDnsAnswer(into, 7, query, gateways.map(IpAddress.parse));
  assertEquals([into[6], into[7 + length]], [0xa5, 0xa5]);
  return length === 0 ? null : dnsText(into.slice(7, 7 + length));
}

Deno.test("encodeLocalDnsAnswer gives the gateway's address for every local name", () => {
  assertEquals(LOCAL_DNS_NAMES.length, 6);
  for (const name of LOCAL_DNS_NAMES) {
    assertEquals(answer(`${name} A`), `DNS answer 1 NOERROR, A? ${name}., 1/0/0 records; ${name}. 1 60 10.0.2.2`);
    const ipv6 = `DNS answer 1 NOERROR, AAAA? ${name}., 1/0/0 records; ${name}. 28 60 fd00::2`;
    assertEquals(answer(`${name} AAAA`), ipv6);
  }
  assertEquals(
    answer("host.hawser.internal ANY", { additionals: [optRecord(4096, 0x8000, [0, 10, 0, 1, 7])] }),
    "DNS answer 1 NOERROR, ANY? host.hawser.internal., 2/0/1 records; host.hawser.internal. 1 60 10.0.2.2; " +
      "host.hawser.internal. 28 60 fd00::2; . 41 32768 0",
  );
});

Deno.test("encodeLocalDnsAnswer keeps the letters as they were asked", () => {
  assertEquals(
    answer("hOsT.DOCKER.internal A"),
    "DNS answer 1 NOERROR, A? hOsT.DOCKER.internal., 1/0/0 records; hOsT.DOCKER.internal. 1 60 10.0.2.2",
  );
});

Deno.test("encodeLocalDnsAnswer says of another type or class that there is none, with a SOA record", () => {
  for (const [type, name] of [["TXT", "TXT"], ["65", "HTTPS"], ["SOA", "SOA"]]) {
    assertEquals(
      answer(`host.docker.internal ${type}`),
      `DNS answer 1 NOERROR, ${name}? host.docker.internal., 0/1/0 records; host.docker.internal. 6 60 38`,
    );
  }
  const soa = "0/1/0 records; hawser.internal. 6 60 38";
  assertEquals(answer("host.hawser.internal A 3"), `DNS answer 1 NOERROR, A? host.hawser.internal., ${soa}`);
  assertEquals(answer("Hawser.internal A"), `DNS answer 1 NOERROR, A? Hawser.internal., ${soa.replace("h", "H")}`);
});

Deno.test("encodeLocalDnsAnswer has no address of a family that guests have not", () => {
  const none = (type: string) =>
    `DNS answer 1 NOERROR, ${type}? host.hawser.internal., 0/1/0 records; hawser.internal. 6 60 38`;
  assertEquals(answer("host.hawser.internal AAAA", {}, ["10.0.2.2"]), none("AAAA"));
  assertEquals(answer("host.hawser.internal A", {}, ["fd00::2"]), none("A"));
  assertEquals(
    answer("host.hawser.internal ANY", {}, ["fd00::2"]),
    "DNS answer 1 NOERROR, ANY? host.hawser.internal., 1/0/0 records; host.hawser.internal. 28 60 fd00::2",
  );
});

Deno.test("encodeLocalDnsAnswer says that there is no other name under hawser.internal", () => {
  for (const name of ["x.hawser.internal", "a.host.hawser.internal", "_dns.gateway.hawser.internal"]) {
    assertEquals(
      answer(`${name} A`),
      `DNS answer 1 NXDOMAIN, A? ${name}., 0/1/0 records; hawser.internal. 6 60 38`,
    );
  }
});

Deno.test("encodeLocalDnsAnswer leaves every other name alone", () => {
  const others = ["internal", "docker.internal", "x.docker.internal", "a.host.docker.internal", "xhawser.internal"];
  others.push("host.hawser.internal.test", "containers.internal", "hawser", ".");
  for (const name of others) assertEquals(answer(`${name} A`), null, name);
  // The domain's bytes as the end of one label.
  assertEquals(answer("x\\006hawser\\008internal A"), null);
  assertEquals(answer("host.hawser.internal A", { flags: 5 << 11 }), null, "an update");
  assertEquals(answer("", { questions: ["host.hawser.internal A", "host.hawser.internal A"] }), null);
});

Deno.test("encodeLocalDnsAnswer fits into 512 bytes for the longest name", () => {
  const label = "a".repeat(63), name = `${label}.${label}.${label}.${"b".repeat(44)}.hawser.internal`;
  const text = answer(`${name} A`, { additionals: [optRecord()] })!;
  assertEquals(text.split("; ").slice(1), ["hawser.internal. 6 60 38", ". 41 0 0"]);
});
