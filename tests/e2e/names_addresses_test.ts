import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { requires } from "../support/requirements.ts";
import { Internet, INTERNET_NEEDS, RESOLVER, ZONE } from "./internet.ts";
import { auditColumn, PROBE, probe } from "./names_support.ts";
import { OrdinaryUser, until } from "./run_support.ts";

const { ignore, reason } = requires(...INTERNET_NEEDS, "python3", "nc", "ss");

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

test("opens no address that no answer has bound, whoever knows it", async (internet) => {
  const { answers, audit, stderr } = await probe(
    internet,
    ["--allow", "registry.example"],
    `for to in ("93.184.216.10", "2606:2800:220:1::10", "93.184.216.40", "8.8.8.8", "10.0.2.2", "fd00::2"):
    \tprint(raw(to, 443), udp(to, 443))
    print(resolve("registry.example"))
    print(http("93.184.216.10", 80, "Host: registry.example"))
    print(udp("93.184.216.20", 443))
    print(raw("93.184.216.40", 443))`,
  );
  assertEquals(answers.slice(0, 4), Array(4).fill("refused unreachable"));
  assertEquals(answers.slice(4), [
    "refused unreachable",
    "refused unreachable",
    "2606:2800:220:1::10 93.184.216.10",
    "open hello from registry.example",
    "unreachable",
    "refused",
  ]);
  assertEquals((await internet.visits()).filter(({ kind }) => kind !== "dns").length, 1);
  assertEquals(auditColumn(audit, "refuse", "address", "protocol", "reason").slice(0, 2), [
    "93.184.216.10 tcp unbound",
    "93.184.216.10 udp unbound",
  ]);
  assertMatch(stderr, /^hawser: warn: Refused tcp 10\.0\.2\.15:\d+ > 93\.184\.216\.10:443 of guest 1: /m);
});

test("refuses a SYN and a query within a millisecond", async (internet) => {
  const { answers } = await probe(
    internet,
    ["--allow", "registry.example:443"],
    `def times(attempt):
    \tresults = []
    \tfor i in range(60):
    \t\tbegan = time.perf_counter()
    \t\tattempt(i)
    \t\tresults.append((time.perf_counter() - began) * 1000)
    \treturn " ".join(f"{ms:.3f}" for ms in sorted(results))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as resolver:
    \tresolver.connect(("10.0.2.3", 53))
    \tdef asks(i):
    \t\tresolver.send(query(f"n{i}.other.example"))
    \t\tassert decode(resolver.recv(9999))[0] == "NXDOMAIN"
    \tprint(times(asks))
    for to in ("93.184.216.40", "2606:2800:220:1::40"):
    \tdef opens(i):
    \t\twith socket.socket(socket.AF_INET6 if ":" in to else socket.AF_INET, socket.SOCK_STREAM) as conn:
    \t\t\tassert conn.connect_ex((to, 443)) == errno.ECONNREFUSED
    \tprint(times(opens))`,
  );
  for (const line of answers) {
    const times = line.split(" ").map(Number);
    assertEquals(times.length, 60);
    // Whoever else has the machine's processors delays some; a wait of ours would delay all.
    assert(times[15]! < 1, line);
  }
});

test("lets a binding lapse that nobody uses, and says which name it had", async (internet) => {
  await internet.zone({ "registry.example": { ...ZONE["registry.example"], ttl: 1 } });
  const { answers, audit, stderr } = await probe(
    internet,
    ["--names-ttl", "1", "--allow", "registry.example:80"],
    `to = resolve("registry.example").split(" ")[1]
    kept = connect(to, 80)
    print(http(to, 80, "Host: registry.example"))
    time.sleep(2.5)
    print(http(to, 80, "Host: registry.example"))
    kept.close()
    print(http("2606:2800:220:1::10", 80, "Host: registry.example"))`,
  );
  // An open flow keeps the binding of its address.
  assertEquals(answers, ["open hello from registry.example", "open hello from registry.example", "refused"]);
  assertEquals(auditColumn(audit, "refuse", "address", "reason", "names"), [
    "2606:2800:220:1::10 expired registry.example",
  ]);
  assertStringIncludes(stderr, "registry.example");
});

test("opens no address of the guest's network, of loopback or of metadata, whatever a name resolves to", async (internet) => {
  // What is in an answer for metadata is denied like the address itself; all else is taken out of the answer.
  const bad: Readonly<Record<string, string>> = {
    loopback: "127.0.0.1",
    gateway: "10.0.2.2",
    guest: "10.0.2.77",
    unspecified: "0.0.0.0",
    metadata: "169.254.169.254",
    mapped: "::ffff:127.0.0.1",
    gateway6: "fd00::2",
    six: "2002:7f00:1::1",
    loopback6: "::1",
    metadata6: "fd00:ec2::254",
    nat64: "64:ff9b::a9fe:a9fe",
  };
  const entries = Object.entries(bad).map(([name, address]) => [`${name}.example`, address] as const);
  const zone = entries.map(([name, address]) => [name, address.includes(":") ? { AAAA: [address] } : { A: [address] }]);
  await internet.zone(Object.fromEntries(zone));
  const { answers } = await probe(
    internet,
    entries.flatMap(([name]) => ["--allow", name]),
    entries.map(([name, address]) =>
      `print(dns("${name}", ${address.includes(":") ? 28 : 1}))\nprint(raw("${address}", 80, b"x"))`
    ).join("\n"),
  );
  entries.forEach(([name, address], i) => {
    const isTold = /^metadata|^nat64/.test(name);
    assertEquals(answers[2 * i], isTold ? `NOERROR ${address}` : "NOERROR", name);
    assertMatch(
      answers[2 * i + 1]!,
      /^(refused|unreachable|.*Network is unreachable)/,
      `${name} ${answers[2 * i + 1]}`,
    );
  });
  assertEquals((await internet.visits()).filter(({ kind }) => kind !== "dns"), []);
});

test("binds a private address for a rule that has the name itself, and for no wildcard", async (internet) => {
  await internet.zone({
    "inside.corp.example": { A: ["10.0.0.1"] },
    "other.corp.example": { A: ["10.0.0.2", "93.184.216.40"] },
    "v6.corp.example": { AAAA: ["64:ff9b::a00:3"] },
  });
  const { answers, audit } = await probe(
    internet,
    ["--allow", "*.corp.example:80", "--allow", "inside.corp.example:80"],
    `print(dns("inside.corp.example"))
    print(dns("other.corp.example"))
    print(dns("v6.corp.example", 28))
    print(http("10.0.0.1", 80, "Host: inside.corp.example"))
    print(http("10.0.0.2", 80, "Host: other.corp.example"))
    print(http("93.184.216.40", 80, "Host: other.corp.example"))`,
  );
  assertEquals(answers, [
    "NOERROR 10.0.0.1",
    "NOERROR 93.184.216.40",
    "NOERROR",
    "open hello from inside.corp.example",
    "refused",
    "open hello from other.corp.example",
  ]);
  assertEquals(auditColumn(audit, "dns", "name", "removed"), [
    "inside.corp.example ",
    "other.corp.example 10.0.0.2",
    "v6.corp.example 64:ff9b::a00:3",
  ]);
});

test("matches datagrams by a rule that says udp, and no other", async (internet) => {
  const script = `print(resolve("cdn.example") != "")
    print(udp("cdn.example", 443))
    print(udp("2606:2800:220:1::20", 123, b"x" * 4000)[:4])
    print(udp("93.184.216.20", 123, b"x" * 4000)[:4])`;
  const tcp = await probe(internet, ["--mtu", "1500", "--allow", "cdn.example"], script);
  assertEquals(tcp.answers, ["True", "unreachable", "unre", "unre"]);
  const udp = await probe(internet, [
    ...["--mtu", "1500", "--allow", "cdn.example:443", "--allow", "udp:cdn.example:123,443"],
  ], script);
  // Every tenant of the address is open over QUIC then, and a warning says so. Fragments are put together first.
  assertEquals(udp.answers, ["True", "open question", "open", "open"]);
  assertStringIncludes(udp.stderr, "QUIC");
  assertEquals(udp.audit.filter(({ event }) => event === "open").length, 3);
});

test("opens a port of the host's loopback by the host's name, and no other", async (internet) => {
  internet.serve("host", "nc", "-lk", "127.0.0.1", "8000");
  await until("it listens", async () => (await internet.onHost("ss -Hltn sport = :8000")) !== "");
  const { answers } = await probe(
    internet,
    ["--allow", "host.docker.internal:8000"],
    `for port in (8000, 8001):
    \ttry:
    \t\tconnect("host.docker.internal", port).close()
    \t\tprint("open")
    \texcept ConnectionRefusedError:
    \t\tprint("refused")
    print(raw("93.184.216.10", 80))`,
  );
  assertEquals(answers, ["open", "refused", "refused"]);
});

Deno.test({
  name:
    `hawser run with names needs no root, and says of each of its lists what an ordinary user's command may${reason}`,
  ignore,
  fn: async () => {
    await using internet = await Internet.start(), user = await OrdinaryUser.create();
    const code = `exec(open("/dev/stdin").read())
for name in ("registry.example", "tenant-a.example"): print(resolve(name), http(name, 80, "Host: " + name))`;
    const script = `exec "$@" <"${PROBE}"`;
    for (const [name, answers] of [["registry.example", "on"], ["tenant-a.example", "no"]]) {
      const words = ["run", "-D", RESOLVER, "--allow", `${name}:80`, "--", "python3", "-c", code];
      const outcome = await user.script(script, words, { around: internet.around });
      assertEquals(outcome.code, 0, outcome.stderr);
      const [registry, tenant] = outcome.stdout.split("\n");
      console.log(outcome);
      assertEquals([registry!.includes("open"), tenant!.includes("open")], [answers === "on", answers === "no"]);
      assertStringIncludes(outcome.stdout, "no name no name");
    }
  },
});
