import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { concat } from "@std/bytes";
import { CAPTURED_HELLOS, clientHello, helloFor, inRecords, sslv2Hello } from "../support/client_hellos.ts";
import { requires } from "../support/requirements.ts";
import { Internet, INTERNET_NEEDS } from "./internet.ts";
import type { Conversation, Fate } from "./names_stream_guest.ts";

const { ignore, reason } = requires(...INTERNET_NEEDS, "curl");
const GUEST = new URL("./names_stream_guest.ts", import.meta.url).pathname;
const DENO = [Deno.execPath(), "run", "--quiet", "--no-prompt", "--no-config", "--allow-net", GUEST];
/** A port whose server sends back what it gets. */
const ECHO = 7000;
const NAMED = helloFor("registry.example");

/** What a guest says in one connection, and what becomes of it. */
type Case = [said: string | Uint8Array, fate: string, more?: Partial<Conversation> & { readonly step?: number }];

/** Has a guest under these rules say all of them to `registry.example`, and looks what becomes of each. */
async function converse(internet: Internet, rules: string[], cases: Readonly<Record<string, Case>>) {
  const conversations = Object.values(cases).map(([said, , { step = 1 << 20, ...more } = {}]): Conversation => {
    const bytes = typeof said === "string" ? new TextEncoder().encode(said) : said, pieces: number[][] = [];
    for (let at = 0; at < bytes.length; at += step) pieces.push([...bytes.subarray(at, at + step)]);
    return { host: "registry.example", port: ECHO, pieces, ...more };
  });
  const { code, stdout, stderr } = await internet.hawser([
    "run",
    ...rules,
    "--",
    ...DENO,
    JSON.stringify(conversations),
  ]);
  assertEquals(code, 0, stderr);
  const fates: Fate[] = JSON.parse(stdout), was = fates.map(({ fate }) => fate);
  const names = Object.keys(cases), expected = Object.values(cases).map(([, fate]) => fate);
  const described = (fates: string[]) => Object.fromEntries(names.map((name, i) => [name, fates[i]]));
  assertEquals(described(was), described(expected), stderr);
  return { fates: Object.fromEntries(names.map((name, i) => [name, fates[i]!])), stderr };
}

function get(...hosts: string[]): string {
  return `GET / HTTP/1.1\r\n${hosts.map((host) => `Host: ${host}\r\n`).join("")}\r\n`;
}

const RESET = "ConnectionReset";

Deno.test({
  name: `hawser run holds a stream to the name that led there, however it is split, and resets it otherwise${reason}`,
  ignore,
  fn: async () => {
    await using internet = await Internet.start();
    const { fates, stderr } = await converse(internet, ["--allow", `registry.example:${ECHO}`], {
      ...Object.fromEntries(
        Object.entries(CAPTURED_HELLOS).map(([program, bytes]): [string, Case] => {
          return [program, [bytes, program === "opensslNameless" ? RESET : "echoed"]];
        }),
      ),
      "a hello, a byte a segment": [NAMED, "echoed", { step: 1 }],
      "a hello, a byte a record": [inRecords(clientHello({ names: ["registry.example"] }), 1), "echoed", { step: 7 }],
      "a hello of 16,384 bytes": [
        inRecords(clientHello({ names: ["registry.example"], size: 16_384 })),
        "echoed",
        { step: 1000 },
      ],
      "a hello of 16,385 bytes": [inRecords(clientHello({ names: ["registry.example"], size: 16_385 })), RESET],
      "a hello and 4 MiB, then FIN": [NAMED, "echoed", { more: 4 << 20, finishes: true }],
      "a hello for another": [helloFor("tenant-a.example"), RESET, { step: 1 }],
      "a hello for an address": [helloFor("93.184.216.10"), RESET],
      "a hello of SSLv2": [sslv2Hello(), RESET],
      "a hello that stops": [NAMED.subarray(0, -1), RESET],
      "a hello that is cut off": [NAMED.subarray(0, -1), RESET, { finishes: true }],
      "a request": [get(`Registry.EXAMPLE.:${ECHO}`), "echoed"],
      "a request, a byte a segment": [`\r\n${get("registry.example")}`, "echoed", { step: 1 }],
      "a request for another": [get("tenant-a.example"), RESET],
      "a request for two": [get("registry.example", "tenant-a.example"), RESET],
      "a request for none": [get(), RESET],
      "a request for a proxy": ["CONNECT tenant-a.example:443 HTTP/1.1\r\n\r\n", RESET],
      "HTTP/2 with prior knowledge": ["PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", RESET],
      "SSH": ["SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n", "echoed", { step: 3 }],
      "SMTP": ["EHLO registry.example\r\nSTARTTLS\r\n", "echoed"],
      "a byte": ["\0", "echoed"],
      "nothing but FIN": ["", "echoed", { finishes: true }],
    });
    const stopped = fates["a hello that stops"]!;
    assert(stopped.ms >= 9900, `refused after ${stopped.ms} ms`);
    assertStringIncludes(stderr, "registry.example");
    const heard = (await internet.visits()).filter(({ kind }) => kind === "echo").map(({ text }) => text);
    assertEquals(heard.filter((text) => text.includes("tenant-a") || text.startsWith("PRI")), []);
  },
});

Deno.test({
  name: `hawser run --names strict refuses what is not verified, and Encrypted Client Hello${reason}`,
  ignore,
  fn: async () => {
    await using internet = await Internet.start();
    const ech = inRecords(clientHello({ names: ["registry.example"], ech: true }));
    for (const isStrict of [true, false]) {
      const fate = isStrict ? RESET : "echoed", names = isStrict ? ["--names", "strict"] : [];
      await converse(internet, ["--allow", `registry.example:${ECHO}`, ...names], {
        "a hello": [NAMED, "echoed"],
        "a request": [get("registry.example"), "echoed"],
        "ECH": [ech, fate],
        "SSH": ["SSH-2.0-x\r\n", fate],
        "nothing but FIN": ["", fate, { finishes: true }],
      });
    }
  },
});

Deno.test({
  name: `hawser run looks at no stream of an unverified rule, and only for denied names without an allow-list${reason}`,
  ignore,
  fn: async () => {
    await using internet = await Internet.start();
    await converse(internet, ["--allow", `registry.example:${ECHO} unverified`], {
      "a hello for another": [helloFor("tenant-a.example"), "echoed"],
      "no hello": [Uint8Array.of(22, 1), "echoed"],
    });
    await converse(internet, ["--deny", "tenant-a.example"], {
      "a hello for one that is denied": [helloFor("tenant-a.example"), RESET, { step: 1 }],
      "a request for one that is denied": [get("tenant-a.example"), RESET],
      "a hello for any other": [helloFor("tenant-b.example"), "echoed"],
      "a request for none": [get(), "echoed"],
      "what is malformed": [concat([Uint8Array.of(22, 2), NAMED]), "echoed"],
    });
  },
});

Deno.test({
  name:
    `hawser run lets curl and openssl reach one tenant of an address and not the other: sessions, resumed ones, early data${reason}`,
  ignore,
  fn: async () => {
    await using internet = await Internet.start();
    internet.serve(
      "world",
      ...["openssl", "s_server", "-accept", "4443", "-4", "-early_data", "-tls1_3", "-quiet"] as const,
      ...["-cert", `${internet.folder}/cert.pem`, "-key", `${internet.folder}/key.pem`],
    );
    const connect = (more: string) =>
      `printf 'GET / HTTP/1.1\\r\\nHost: tenant-a.example\\r\\nConnection: close\\r\\n\\r\\n' |
        timeout 20 openssl s_client -quiet -CAfile "$CA" -verify_return_error -connect tenant-a.example:443 -$version \\
          ${more} 2>&1 | grep -Eo 'hello from .*|errno=104' | head -n 1`;
    const { stdout, stderr } = await internet.run(
      ["--allow", "tenant-a.example:80,443,4443"],
      `cd "$(mktemp -d)"
      curl -sS --cacert "$CA" https://tenant-a.example/ http://tenant-a.example/
      for version in tls1_2 tls1_3; do
        ${connect("-servername tenant-a.example -sess_out session")}
        ${connect("-servername tenant-a.example -sess_in session")}
        ${connect("-servername tenant-b.example")}
        ${connect("-noservername")}
      done
      curl -sS --cacert "$CA" --connect-to tenant-b.example:443:tenant-a.example:443 https://tenant-b.example/ 2>&1 | grep -ic reset
      curl -sS -H 'Host: tenant-b.example' http://tenant-a.example/ 2>&1 | grep -ic reset
      printf early >early
      for last in "-sess_out session" "-sess_in session -early_data early"; do
        (sleep 1; echo Q) | timeout 20 openssl s_client -CAfile "$CA" -connect tenant-a.example:4443 \\
          -servername tenant-a.example -tls1_3 $last 2>&1 | grep -E '^Early data was (not sent|accepted)' | head -n 1
      done
      rm -rf "$PWD"`,
    );
    const each = ["hello from tenant-a.example", "hello from tenant-a.example", "errno=104", "errno=104"];
    const early = ["Early data was not sent", "Early data was accepted"];
    assertEquals(stdout.split("\n"), [...each.slice(0, 2), ...each, ...each, "1", "1", ...early, ""], stderr);
    assert((await internet.visits()).every(({ text }) => !text.includes("tenant-b")), "nothing of tenant-b arrived");
  },
});
