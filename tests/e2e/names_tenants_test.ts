import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { requires } from "../support/requirements.ts";
import { Internet, INTERNET_NEEDS, ZONE } from "./internet.ts";
import { auditColumn, probe } from "./names_support.ts";
import { until } from "./run_support.ts";

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

for (const [family, address] of [["IPv4", "93.184.216.20"], ["IPv6", "2606:2800:220:1::20"]] as const) {
  test(`opens one tenant of an address that many share, over ${family}, and no other`, async (internet) => {
    const { answers, audit, stderr } = await probe(
      internet,
      ["--allow", "tenant-a.example:80,443,8443", "--allow", "registry.example:443"],
      `print(resolve("tenant-a.example"))
      print(tls("${address}", 443, "tenant-a.example"))
      print(tls("${address}", 443, "tenant-b.example"))
      print(tls("${address}", 8443, "tenant-b.example"))
      print(tls("${address}", 443, "registry.example"))
      print(tls("${address}", 443, None))
      print(http("${address}", 80, "Host: tenant-a.example"))
      print(http("${address}", 80, "Host: tenant-b.example"))
      print(http("${address}", 80, line="GET / HTTP/1.0"))
      print(http("${address}", 80, "Host: tenant-a.example", "Host: tenant-b.example"))
      print(http("${address}", 80, "Host: tenant-b.example", "Host: tenant-a.example"))
      print(http("${address}", 3128, "Host: tenant-a.example"))`,
    );
    assertEquals(answers, [
      "2606:2800:220:1::20 93.184.216.20",
      "open hello from tenant-a.example",
      "reset",
      "reset",
      "reset",
      "reset",
      "open hello from tenant-a.example",
      "reset",
      "reset",
      "reset",
      "reset",
      "refused",
    ]);
    // What was refused has told the server nothing.
    const texts = (await internet.visits()).filter(({ kind }) => kind !== "dns").map(({ text }) => text);
    assertEquals(texts.filter((text) => text !== ""), [
      "GET / HTTP/1.1 | tenant-a.example",
      "GET / HTTP/1.1 | tenant-a.example",
    ]);
    assertEquals(auditColumn(audit, "refuse", "reason", "name", "port"), [
      "sniRefused tenant-b.example 443",
      "sniRefused tenant-b.example 8443",
      "sniRefused registry.example 443",
      "sniRefused undefined 443",
      "hostRefused tenant-b.example 80",
      "hostRefused undefined 80",
      "hostRefused undefined 80",
      "hostRefused undefined 80",
      "notAllowed undefined 3128",
    ]);
    assertMatch(
      stderr,
      /Refused tcp \S+ > tenant-a\.example:443 \(.*\) of guest 1: its TLS ClientHello names tenant-b\.example, .*;/,
    );
  });
}

test("takes Host as it may be written, and what leads to another host as what it is", async (internet) => {
  const { answers } = await probe(
    internet,
    ["--allow", "registry.example:80,3128", "--allow", "tenant-a.example:443"],
    `to = resolve("registry.example").split(" ")[1]
    print(http(to, 80, "Host: registry.example:80"))
    print(http(to, 80, "host:REGISTRY.Example.:80"))
    print(http(to, 80, "Host: registry.example."))
    print(http(to, 80, "Host: [2606:2800:220:1::10]"))
    print(http(to, 80, "Host: 93.184.216.10"))
    print(http(to, 80, "Host: "))
    print(http(to, 80, "Host: registry.example, other.example"))
    print(http(to, 80, "Host: registry.example@other.example"))
    print(http(to, 80, "Host : other.example", "Host: registry.example"))
    print(http(to, 80, "Host: registry.example", line="\\r\\n\\r\\nGET / HTTP/1.1"))
    print(http(to, 3128, "Host: registry.example", line="GET http://registry.example/ HTTP/1.1"))
    print(http(to, 3128, "Host: registry.example", line="GET http://other.example/ HTTP/1.1"))
    print(http(to, 3128, "Host: registry.example", line="CONNECT other.example:443 HTTP/1.1"))
    print(http(to, 3128, "Host: tenant-a.example:443", line="CONNECT tenant-a.example:443 HTTP/1.1"))`,
  );
  assertEquals(answers.map((answer) => answer.split(" ")[0]), [
    "open",
    "open",
    "open",
    "reset",
    "reset",
    "reset",
    "reset",
    "reset",
    "reset",
    "open",
    "open",
    "reset",
    "reset",
    "open",
  ]);
});

test("knows a ClientHello however it is cut, and both versions of TLS", async (internet) => {
  const { answers, audit } = await probe(
    internet,
    ["--allow", "tenant-a.example:443"],
    `to = resolve("tenant-a.example").split(" ")[1]
    print(tls(to, 443, "tenant-a.example", ssl.TLSVersion.TLSv1_2))
    print(tls(to, 443, "tenant-a.example", ssl.TLSVersion.TLSv1_3))
    print(tls(to, 443, "tenant-b.example", ssl.TLSVersion.TLSv1_2))
    print(tls(to, 443, "TENANT-A.example"))
    bytewise = lambda data: [data[i:i + 1] for i in range(len(data))]
    print(raw(to, 443, *bytewise(hello("tenant-b.example")[:120]), hello("tenant-b.example")[120:]))
    right = hello("tenant-a.example")
    print(raw(to, 443, *bytewise(right[:120]), right[120:])[:4])
    records = [right[:1] + right[1:3] + struct.pack(">H", len(part)) + part for part in (right[5:7], right[7:100], right[100:])]
    print(raw(to, 443, *records)[:4])
    print(raw(to, 443, right[:3] + struct.pack(">H", 0) + right[5:]))
    print(raw(to, 443, right[:40] + bytes(200)))`,
  );
  assertEquals(answers, [
    "open hello from tenant-a.example",
    "open hello from tenant-a.example",
    "reset",
    "open hello from tenant-a.example",
    "reset",
    "open",
    "open",
    "reset",
    "reset",
  ]);
  assertEquals(auditColumn(audit, "verified", "via", "name"), Array(5).fill("sni tenant-a.example"));
});

test("judges each flow of a key anew, whatever became of the one before", async (internet) => {
  const { answers } = await probe(
    internet,
    ["--allow", "tenant-a.example:443"],
    `to = "93.184.216.20"
    print(tls(to, 443, "tenant-a.example", source=40000))
    print(resolve("tenant-a.example") != "")
    for sni in ("tenant-b.example", "tenant-a.example", None, "tenant-a.example", "tenant-b.example"):
    \tprint(tls(to, 443, sni, source=40000))`,
  );
  assertEquals(answers, [
    // A SYN before the name was asked.
    "refused",
    "True",
    "reset",
    "open hello from tenant-a.example",
    "reset",
    "open hello from tenant-a.example",
    "reset",
  ]);
});

test("lets protocols pass in which the server speaks first, by their binding alone, and says so", async (internet) => {
  const starttls = `raw("mail.example", 25, b"EHLO me\\r\\n", b"STARTTLS\\r\\n", hello("tenant-b.example"))[:4]`;
  const script = `print(raw("mail.example", 25, b"EHLO me\\r\\n")[:4])
    print(${starttls})
    print(raw("mail.example", 5432, b"\\x00\\x00\\x00\\x08\\x04\\xd2\\x16\\x2f"))`;
  const allow = ["--allow", "mail.example:25", "--allow", "mail.example:5432"];
  const open = await probe(internet, allow, script);
  assertEquals(open.answers.map((answer) => answer.slice(0, 4)), ["open", "open", "open"]);
  assertEquals(auditColumn(open.audit, "close", "verified"), ["false", "false", "false"]);
  // The name inside, after STARTTLS, has arrived, as SECURITY.md says.
  assertStringIncludes((await internet.visits()).map(({ text }) => text).join(), "tenant-b.example");
  const strict = await probe(internet, [...allow, "--names", "strict"], script);
  assertEquals(strict.answers.slice(2), ["reset"]);
  assertEquals([...new Set(auditColumn(strict.audit, "refuse", "reason"))], ["unverified"]);
  const asked = await probe(internet, [
    ...["--allow", "mail.example:25 unverified", "--allow", "mail.example:5432 unverified"],
    ...["--names", "strict"],
  ], script);
  assertEquals(asked.answers.map((answer) => answer.slice(0, 4)), ["open", "open", "open"]);
});

test("does not look at the streams of a rule that says unverified, nor at those of an address", async (internet) => {
  const { answers, audit } = await probe(
    internet,
    ["--allow", "tenant-a.example:443 unverified", "--allow", "93.184.216.40:443"],
    `to = resolve("tenant-a.example").split(" ")[1]
    print(tls(to, 443, None, inside="x.example"))
    print(tls(to, 443, "tenant-b.example"))
    print(tls("93.184.216.40", 443, "whatever.example"))`,
  );
  assertEquals(answers, [
    "open hello from x.example",
    "open hello from tenant-b.example",
    "open hello from whatever.example",
  ]);
  assertEquals(auditColumn(audit, "open", "rule", "names"), [
    "allow tenant-a.example:443 unverified tenant-a.example",
    "allow tenant-a.example:443 unverified tenant-a.example",
    "allow 93.184.216.40:443 ",
  ]);
  assertEquals(Object.keys(ZONE).includes("tenant-a.example"), true);
});

test("passes a ClientHello that looks like ECH, unless it is strict, and says that it did", async (internet) => {
  const script = `resolve("tenant-a.example")
    grease = with_extension(hello("tenant-a.example"), 0xfe0d, bytes(120))
    print(raw("93.184.216.20", 443, grease)[:4])
    print(raw("93.184.216.20", 443, with_extension(hello("tenant-b.example"), 0xfe0d, bytes(120))))`;
  const allow = ["--allow", "tenant-a.example:443"];
  const plain = await probe(internet, allow, script);
  assertEquals(plain.answers, ["open", "reset"]);
  assertEquals(auditColumn(plain.audit, "verified", "name", "ech"), ["tenant-a.example true"]);
  const strict = await probe(internet, [...allow, "--names", "strict"], script);
  assertEquals(strict.answers, ["rese", "reset"]);
});

test("gives the server no byte of what comes behind a refused ClientHello, and all of it behind another", async (internet) => {
  const { answers } = await probe(
    internet,
    ["--allow", "tenant-a.example:7000"],
    `resolve("tenant-a.example")
    for name in ("tenant-b.example", "tenant-a.example"):
    \tprint(raw("93.184.216.20", 7000, hello(name) + b"EARLY" * 5000)[:4])`,
  );
  assertEquals(answers, ["rese", "open"]);
  const texts = (await internet.visits()).filter(({ kind }) => kind === "echo").map(({ text }) => text.length);
  assertEquals([texts[0], texts[1]! > 0], [0, true]);
});

Deno.test({
  name: `hawser run with names verifies resumed sessions of TLS anew, 0-RTT data with them${reason}`,
  ignore,
  fn: async () => {
    await using internet = await Internet.start();
    const { folder } = internet, log = `${folder}/tls.log`;
    const server = `-accept 8444 -cert "$1/cert.pem" -key "$1/key.pem" -tls1_3 -early_data`;
    internet.serve("world", "sh", "-c", `exec openssl s_server ${server} >"$1/tls.log" 2>&1`, "sh", folder);
    await until("the server listens", async () => (await internet.inWorld("ss -Hltn sport = :8444")) !== "");
    const { stdout, code } = await internet.run(
      ["--allow", "tenant-a.example:8444"],
      `cd "${folder}" && printf 'zero round trips' >early && shopt -s expand_aliases
      client() { timeout 20 openssl s_client -connect tenant-a.example:8444 "$@" >>client.log 2>&1; }
      { until [ -s session ]; do sleep 0.05; done; } | client -servername tenant-a.example -sess_out session
      { until grep -q 'zero round trips' tls.log; do sleep 0.05; done; } |
        client -servername tenant-a.example -sess_in session -early_data early
      echo mark >>tls.log
      client -servername tenant-b.example -sess_in session </dev/null && echo reached
      client -noservername -sess_in session </dev/null && echo reached
      grep -c "Early data was accepted" client.log`,
    );
    assertEquals([stdout, code], ["1\n", 0], await Deno.readTextFile(`${folder}/client.log`));
    assertStringIncludes(await Deno.readTextFile(log), "zero round trips");
  },
});
