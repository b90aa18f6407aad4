import { assert, assertEquals, assertMatch } from "@std/assert";
import { decodeDns, DNS_QR, DNS_RA, DNS_RD, type DnsRecordFields } from "../../net/wire/dns.ts";
import { aRecord, cnameRecord, dnsAnswer, nameRecord, soaRecord } from "../support/dns_messages.ts";
import { DnsServer, type Responder } from "../support/dns_server.ts";
import { requires } from "../support/requirements.ts";
import { hawser } from "./run_support.ts";

const run = requires("linux", "root", "tun", "unshare", "ip", "busybox");
const dnsmasq = requires("linux", "root", "tun", "unshare", "ip", "busybox", "dnsmasq");

/** Names that the resolver knows, with all their records. Nobody connects to these addresses. */
const ZONE: Readonly<Record<string, readonly DnsRecordFields[]>> = {
  "www.allowed.test.": [cnameRecord(60, "edge.cdn.test"), { ...aRecord(60, [93, 184, 216, 1]), name: "edge.cdn.test" }],
  "edge.cdn.test.": [aRecord(60, [93, 184, 216, 1])],
  "direct.allowed.test.": [aRecord(60, [93, 184, 216, 2])],
  "_db._tcp.allowed.test.": [nameRecord(33, 60, "db.other.test", [0, 1, 0, 1, 21, 56])],
  "db.other.test.": [aRecord(60, [93, 184, 216, 3])],
  "near.wild.test.": [aRecord(60, [192, 168, 1, 1])],
  "evil.test.": [aRecord(60, [93, 184, 216, 4])],
};

/** A resolver that knows `ZONE`. */
function answerFrom(names: string[]): Responder {
  return ({ bytes }) => {
    const { id, question: [question] } = decodeDns(bytes), { name, type } = question!;
    names.push(name);
    const found = (ZONE[name.toLowerCase()] ?? []).filter((record) => record.type === type || record.type === 5);
    const flags = DNS_QR | DNS_RD | DNS_RA | (name in ZONE ? 0 : 3);
    const none = found.length === 0 ? { authorities: [soaRecord(60, 60)] } : {};
    return dnsAnswer(`${name} ${type}`, { id, flags, answers: found, ...none });
  };
}

const RULES = [
  ...["--allow", "www.allowed.test:443", "--allow", "direct.allowed.test", "--allow", "*.wild.test:443"],
  ...["--allow", "dns:_db._tcp.allowed.test"],
];

/** Runs a script under `RULES`; every name that the resolver was asked for is allowed or named by an answer. */
async function underRules(script: string): Promise<{ stdout: string; stderr: string; names: string[] }> {
  const names: string[] = [];
  await using server = await DnsServer.start(answerFrom(names));
  const words = ["run", "--dns", `127.0.0.1:${server.port}`, ...RULES, "sh", "-c", script];
  const { stdout, stderr } = await hawser(words);
  return { stdout, stderr, names: [...new Set(names)].toSorted() };
}

Deno.test({
  name: `under rules about names glibc and busybox find what is allowed, and nothing else, at once${run.reason}`,
  ignore: run.ignore,
  fn: async () => {
    const { stdout, stderr, names } = await underRules(`
      for name in www.allowed.test direct.allowed.test near.wild.test host.hawser.internal; do
        getent ahostsv4 $name | head -n 1 | cut -d ' ' -f 1 | grep . || echo none
      done
      for name in evil.test allowed.test test edge.cdn.test.evil.test; do getent ahostsv4 $name || echo $?; done
      busybox nslookup evil.test 2>&1 | grep -c "NXDOMAIN"
      busybox nslookup www.allowed.test 2>&1 | grep "^Address: "`);
    assertEquals(stdout.trim().split("\n"), [
      ...["93.184.216.1", "93.184.216.2", "none", "10.0.2.2"],
      // 2 is "name not known"; a time-out would take 5 s, and then be another.
      ...["2", "2", "2", "2"],
      ...["2", "Address: 93.184.216.1"],
    ]);
    assertMatch(stderr, /Refused DNS of guest 1: evil\.test: no allow rule matches; --allow evil\.test would/);
    assertEquals(names, ["direct.allowed.test.", "near.wild.test.", "www.allowed.test."]);
  },
});

Deno.test({
  name:
    `under rules about names a resolver in the guest finds the same, asking for aliases and servers by itself${dnsmasq.reason}`,
  ignore: dnsmasq.ignore,
  fn: async () => {
    const { stdout, names } = await underRules(`
      ask() { busybox nslookup -type=$1 $2 127.0.0.1:5353 2>&1 | tail -n +3 | grep -E "Address|service|NXDOMAIN|$2"; }
      dnsmasq --no-daemon --conf-file=/dev/null --port=5353 --listen-address=127.0.0.1 --bind-interfaces --no-resolv \\
        --server=10.0.2.3 --user=root --no-hosts >/dev/null 2>&1 & server=$!
      for i in $(seq 50); do ask a direct.allowed.test >/dev/null && break; sleep 0.2; done
      ask a direct.allowed.test; ask a db.other.test; ask srv _db._tcp.allowed.test; ask a db.other.test
      ask a www.allowed.test; ask a edge.cdn.test; ask a evil.test
      kill $server`);
    const found = stdout.matchAll(/Address: (\S+)|NXDOMAIN|service = (.*)/g);
    assertEquals([...found].map(([all, address, service]) => address ?? service ?? all), [
      ...["93.184.216.2", "NXDOMAIN", "1 1 5432 db.other.test", "93.184.216.3"],
      ...["93.184.216.1", "93.184.216.1", "NXDOMAIN"],
    ]);
    assert(!names.includes("evil.test."));
  },
});
