import { assertEquals, assertMatch } from "@std/assert";
import { requires } from "../support/requirements.ts";
import { Internet, INTERNET_NEEDS, OTHER_RESOLVER, RESOLVER, ZONE } from "./internet.ts";
import { auditColumn, probe } from "./names_support.ts";

const { ignore, reason } = requires(...INTERNET_NEEDS, "python3");

function test(name: string, fn: (internet: Internet) => Promise<void>): void {
  Deno.test({
    name: `hawser run with names ${name}${reason}`,
    ignore,
    fn: async () => {
      await using internet = await Internet.start();
      await fn(internet);
    },
  });
}

/** Questions that reached the resolver. */
async function asked(internet: Internet): Promise<string[]> {
  return (await internet.visits()).filter(({ kind }) => kind === "dns").map(({ text }) => text);
}

test("sends on only queries for names of its list, so that no query carries anything out", async (internet) => {
  const { answers, audit } = await probe(
    internet,
    ["--allow", "registry.example:443"],
    `secret = "c2VjcmV0." * 5 + "attacker.example"
    for kind in (1, 28, 16, 10, 5, 15, 33, 65, 255):
    \tfor tcp in (False, True):
    \t\tprint(dns(secret, kind, tcp=tcp))
    print(dns(secret, server="fd00::3"))
    print(dns("x.registry.example"))
    print(dns("REGISTRY.example", 28))
    print(dns("registry.example", tcp=True))
    print(dns("example"), dns(""), dns("example", 48)[:7])
    print(dns("registry.example", klass=3), dns("registry.example", questions=2), dns("registry.example", flags=0x2100))
    print(dns("use-application-dns.net"), dns("_dns.resolver.arpa", 64))
    print(dns("host.hawser.internal"), dns("registry"))`,
  );
  assertEquals([...new Set(answers.slice(0, 20))], ["NXDOMAIN EDE 15"]);
  assertEquals(answers.slice(20), [
    "NOERROR 2606:2800:220:1::10",
    "NOERROR 93.184.216.10",
    "NOERROR NOERROR NOERROR",
    "FORMERR FORMERR NOTIMP",
    "NXDOMAIN NOERROR",
    "NOERROR 10.0.2.2 NXDOMAIN EDE 15",
  ]);
  const questions = await asked(internet);
  assertEquals(questions.toSorted(), ["48 example (udp)", "A registry.example (tcp)", "AAAA registry.example (udp)"]);
  const refused = audit.filter(({ event, decision }) => event === "dns" && decision === "refused");
  assertEquals(refused.length >= 20, true);
  assertEquals(auditColumn(audit, "dns", "decision", "name").includes("forwarded registry.example"), true);
});

test("opens no other server of DNS, over UDP, TCP or TLS", async (internet) => {
  const { answers } = await probe(
    internet,
    ["--allow", "registry.example:443"],
    `for to in ("${OTHER_RESOLVER}", "${RESOLVER}", "2606:2800:220:1::54"):
    \tprint(dns("registry.example", server=to), dns("registry.example", server=to, tcp=True), tls(to, 853, "registry.example"))`,
  );
  assertEquals(answers, Array(3).fill("unreachable refused refused"));
  assertEquals(await internet.visits(), []);
});

test("reads nothing inside TLS to an allowed name: DNS over HTTPS there tells names, and binds none", async (internet) => {
  const { answers } = await probe(
    internet,
    ["--allow", "cdn.example:443"],
    `print(tls("cdn.example", 443, "cdn.example", inside="doh.example"))
    print(raw("93.184.216.40", 443, b"x"))`,
  );
  assertEquals(answers, ["open hello from doh.example", "refused"]);
});

test("refuses an answer that leads through a name that is denied", async (internet) => {
  const { answers, audit } = await probe(
    internet,
    ["--allow", "tenant-a.example:443", "--deny", "cdn.example"],
    `for kind in (1, 28):
    \tprint(dns("tenant-a.example", kind), dns("tenant-a.example", kind, tcp=True))
    print(raw("93.184.216.20", 443, b"x"))`,
  );
  assertEquals(answers, ["NXDOMAIN EDE 15 NXDOMAIN EDE 15", "NXDOMAIN EDE 15 NXDOMAIN EDE 15", "refused"]);
  assertMatch(auditColumn(audit, "dns", "decision", "rule").join(), /refused deny cdn\.example/);
});

test("binds what comes over TCP after a truncated answer, and names on the way may be asked", async (internet) => {
  await internet.zone({
    ...ZONE,
    "tenant-a.example": { CNAME: "big.example" },
    "big.example": { A: ["93.184.216.21"], truncated: true },
  });
  const { answers } = await probe(
    internet,
    ["--allow", "tenant-a.example:80"],
    `print(dns("big.example"))
    print(resolve("tenant-a.example"))
    print(http("93.184.216.21", 80, "Host: tenant-a.example"))
    print(http("93.184.216.21", 80, "Host: big.example"))
    print(dns("big.example", tcp=True))`,
  );
  assertEquals(answers, [
    "NXDOMAIN EDE 15",
    "93.184.216.21",
    "open hello from tenant-a.example",
    "reset",
    "NOERROR 93.184.216.21",
  ]);
});

test("takes ech and address hints out of HTTPS answers", async (internet) => {
  // Priority 1, target ".", alpn=h2, ipv4hint=93.184.216.40, ech=…, ipv6hint=….
  const hints = "0001" + "00" + "000100030268" + "32" + "000400045db8d828" + "00050004fe0d0000" +
    "0006001026062800022000010000000000000040";
  await internet.zone({ ...ZONE, "registry.example": { ...ZONE["registry.example"], data: { 65: [hints] } } });
  const { answers, audit } = await probe(
    internet,
    ["--allow", "registry.example:443"],
    `print(dns("registry.example", 65), dns("registry.example", 65, tcp=True))
    print(raw("93.184.216.40", 443, b"x"))`,
  );
  const kept = "NOERROR 000100000100030268" + "32";
  assertEquals(answers, [`${kept} ${kept}`, "refused"]);
  assertEquals(auditColumn(audit, "dns", "removed")[0]!.split(",").toSorted(), ["ech", "ipv4hint", "ipv6hint"]);
});
